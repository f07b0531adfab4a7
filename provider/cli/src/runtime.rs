//! `tempoform runtime …`: the components themselves.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs components. The program's name and `runtime` become the one name that the runtime expects.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let own = std::iter::once(OsString::from("tempoform runtime"));
    tempoform_service::run(own.chain(arguments.into_iter().skip(2)))
}
