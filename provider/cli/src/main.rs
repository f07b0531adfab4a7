//! The tempoform executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    tempoform::run(std::env::args_os())
}
