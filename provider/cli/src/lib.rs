//! The command line of tempoform: reads documents, hands them to the engine, and tells what it did.
//!
//! Data go to standard output, everything else to standard error. Exit codes: 0 fine, 1 error,
//! 2 changes or not healthy (with `--detailed-exitcode`). Of `blocks` and `check`, where 1 tells of
//! findings too, 2 is wrong usage.

mod args;
mod blocks;
mod commands;
mod documents;
mod executable;
mod failure;
mod invocation;
mod output;
mod progress;
mod runtime;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Args, Command};
use failure::Failure;
use invocation::Invocation;

/// Runs the command that the arguments (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Everything after `runtime` is the runtime's, with its own flags and help.
    if arguments.get(1).is_some_and(|word| word == "runtime") {
        return runtime::run(arguments);
    }
    let invocation = Invocation::new(arguments.first());
    let begin = format!("Begin with: {}", invocation.command("apply -f examples/quickstart"));
    let parsed = Args::command()
        .after_help(begin)
        .try_get_matches_from(&arguments)
        .and_then(|matches| Args::from_arg_matches(&matches));
    let args = match parsed {
        Ok(args) => args,
        Err(message) => {
            let code = match message.use_stderr() {
                false => 0,
                true if blocks::is_meant(&arguments) => failure::USAGE,
                true => 1,
            };
            // Nobody is left to hear that it could not be printed.
            let _ = message.print();
            return ExitCode::from(code);
        }
    };
    let invocation = invocation.on(&args.command);
    match dispatch(args, &invocation) {
        Ok(code) => code,
        Err(failure) => {
            failure.print(&invocation);
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(args: Args, invocation: &Invocation) -> Result<ExitCode, Failure> {
    if let Command::Supervise(supervise) = &args.command {
        // Before any thread is started: it leaves the session.
        return commands::supervise::run(supervise);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("cannot start the asynchronous runtime").because(&error))?;
    let code = runtime.block_on(commands::run(args, invocation));
    // What was given up (a file system that does not answer) is not waited for.
    runtime.shutdown_background();
    code
}
