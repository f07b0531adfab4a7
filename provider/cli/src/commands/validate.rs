use std::process::ExitCode;

use crate::args::Validate;
use crate::documents;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(args: &Validate) -> Result<ExitCode, Failure> {
    for declared in documents::load(&args.files)? {
        let tempo = &declared.document.validated;
        // What `spec.config` merges in is only checked where it is merged.
        tempoform_engine::render::local(tempo)?;
        output::data(&format!("{}: {} is valid\n", declared.file.display(), tempo.name))?;
    }
    Ok(ExitCode::SUCCESS)
}
