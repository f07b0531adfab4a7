mod apply;
mod check;
mod destroy;
mod health;
pub(crate) mod local;
mod logs;
mod plan;
mod render;
mod running;
mod status;
pub(crate) mod supervise;
mod validate;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Args, Command, Completions};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

/// What a script sees when there are changes, or when something is not healthy.
const DIFFERENT: u8 = 2;

pub(crate) async fn run(args: Args, invocation: &Invocation) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Validate(args) => validate::run(&args, invocation),
        Command::Render(args) => render::run(&args),
        Command::Plan(args) => plan::run(&args).await,
        Command::Apply(args) => apply::run(&args, invocation).await,
        Command::Status(args) => status::run(&args).await,
        Command::Health(args) => health::run(&args).await,
        Command::Logs(args) => logs::run(&args).await,
        Command::Destroy(args) => destroy::run(&args).await,
        Command::Blocks(args) => crate::blocks::run(args, invocation).await,
        Command::Check(args) => check::run(&args).await,
        Command::Supervise(args) => supervise::run(&args),
        Command::Crd => fine(output::data(&tempoform_api::crd_yaml())),
        Command::Completions(args) => completions(&args),
        Command::Version => fine(output::data(&format!("tempoform {}\n", env!("CARGO_PKG_VERSION")))),
        // Taken before the arguments were parsed.
        Command::Runtime => Ok(crate::runtime::run(Vec::new())),
    }
}

fn fine(result: Result<(), Failure>) -> Result<ExitCode, Failure> {
    result.map(|()| ExitCode::SUCCESS)
}

fn completions(args: &Completions) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "tempoform", &mut script);
    fine(output::data(&String::from_utf8_lossy(&script)))
}
