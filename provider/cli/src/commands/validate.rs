use std::process::ExitCode;

use crate::args::Validate;
use crate::documents::{self, Purpose};
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(args: &Validate) -> Result<ExitCode, Failure> {
    for declared in documents::load(&args.files, Purpose::Processes)? {
        let tempo = &declared.document.validated;
        output::data(&format!("{}: {} is valid\n", declared.file.display(), tempo.name))?;
    }
    Ok(ExitCode::SUCCESS)
}
