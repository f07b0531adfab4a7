use std::process::ExitCode;

use tempoform_engine::target::LogQuery;

use super::running;
use crate::args::Logs;
use crate::documents::{self, Purpose};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(args: &Logs) -> Result<ExitCode, Failure> {
    let declared = documents::load_one(&args.files, Purpose::Name)?;
    let running = running::open(&declared, &args.destination).await?;
    let query = LogQuery { selector: args.selector.clone(), follow: args.follow, tail: args.tail };
    let mut lines = running.target().logs(query).await?;
    while let Some(line) = lines.recv().await {
        output::data(&format!("{} | {}\n", line.instance, line.text))?;
    }
    Ok(ExitCode::SUCCESS)
}
