//! The querier alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    tempoform_service::run_component(tempoform_config::Target::Querier)
}
