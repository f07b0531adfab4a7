use std::process::ExitCode;

use tempoform_local::StateDirectory;
use tracing_subscriber::EnvFilter;

use crate::args::Supervise;
use crate::failure::Failure;

/// The supervisor process. Its standard error is its log.
pub(crate) fn run(args: &Supervise) -> Result<ExitCode, Failure> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let directory = StateDirectory::new(&args.state_dir)
        .map_err(|error| Failure::new("cannot tell the current directory").because(&error))?;
    match tempoform_local::supervisor::supervise(&directory) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new("the supervisor ends").because(&error)),
    }
}
