//! Every component in one process, or the one that `-target` names.

use std::process::ExitCode;

fn main() -> ExitCode {
    tempoform_service::run(std::env::args_os())
}
