use std::process::ExitCode;

use tempoform_engine::plan::{Detail, plan};
use tempoform_engine::target::Target as _;

use super::{DIFFERENT, check, local};
use crate::args::{Format, Plan};
use crate::documents::{self, Purpose};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(args: &Plan) -> Result<ExitCode, Failure> {
    let declared = documents::load_one(&args.files, Purpose::Processes)?;
    let (target, desired) = local::declare(&declared)?;
    let plan = plan(target.name(), &desired, &target.observe().await?);
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
