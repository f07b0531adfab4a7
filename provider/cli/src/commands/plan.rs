use std::process::ExitCode;

use tempoform_engine::plan::{Detail, plan_on};

use super::{DIFFERENT, check, running};
use crate::args::{Format, Plan};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(args: &Plan) -> Result<ExitCode, Failure> {
    let declared = running::load(&args.files, &args.destination)?;
    let (running, desired) = running::declare(&declared, &args.destination).await?;
    let plan = plan_on(running.target(), &desired).await?;
    match args.output {
        Format::Json => output::json(&plan.to_json())?,
        Format::Text => {
            let detail = if args.full { Detail::Full } else { Detail::Summary };
            output::data(&plan.to_human(detail, output::colour()))?;
        }
    }
    if args.check_storage {
        check::before_change(&args.files, "a plan without --check-storage").await?;
    }
    let changes = args.detailed_exitcode && !plan.is_empty();
    Ok(if changes { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}
