//! `tempoform blocks …`: the blocks in a bucket, without anything that runs on it.

pub(crate) mod args;
mod choice;
mod drop_trace;
mod find;
mod inspect;
mod list;
pub(crate) mod place;
mod progress;
mod receipt;
mod rewrite;
mod table;
mod trace;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Blocks, BlocksCommand};

use crate::failure::Failure;
use crate::invocation::Invocation;

/// Whether arguments (the program's name first) are those of a command whose exit code 1 tells of findings: this one, and
/// `check`.
pub(crate) fn is_meant(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|word| word == "blocks" || word == "check")
}

pub(crate) async fn run(args: Blocks, invocation: &Invocation) -> Result<ExitCode, Failure> {
    let location = place::locate(&args.place)?;
    match args.command {
        BlocksCommand::List(args) => list::run(&location, &args).await,
        BlocksCommand::Inspect(args) => inspect::run(&location, &args).await,
        BlocksCommand::Verify(args) => verify::run(&location, &args).await,
        BlocksCommand::Trace(args) => trace::run(&location, &args).await,
        BlocksCommand::Find(args) => find::run(&location, &args).await,
        BlocksCommand::Rewrite(args) => rewrite::run(&location, &args).await,
        BlocksCommand::DropTrace(args) => drop_trace::run(&location, &args, invocation).await,
    }
}

/// 0, or 1 where something was found or left undone.
fn code(fine: bool) -> ExitCode {
    ExitCode::from(u8::from(!fine))
}
