//! From the command line to a running process.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use tempoform_config::{Config, Target};

use crate::args::Args;
use crate::logging::Telemetry;
use crate::process;

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>, only: Option<Target>) -> ExitCode {
    let args = match Args::parse_go_style(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Printing can fail only when nobody reads.
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    if args.version {
        print_line(&mut std::io::stdout(), &format!("tempoform {}", env!("CARGO_PKG_VERSION")));
        return ExitCode::SUCCESS;
    }
    let config = match load(&args, only) {
        Ok(config) => config,
        Err(message) => return fail(USAGE, &message),
    };
    if args.verify {
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("could not start the async runtime: {error}")),
    };
    let warnings = config.warnings();
    let ended = runtime.block_on(async {
        // The exporter of this process's own traces needs the runtime.
        let _telemetry = Telemetry::start(&config.server)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        process::run(config).await
    });
    // A replay that was interrupted reads on otherwise.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the process ends");
            fail(1, &error)
        }
    }
}

fn load(args: &Args, only: Option<Target>) -> Result<Config, String> {
    let path = args.config_file.as_deref().ok_or("no configuration: give it with -config.file=FILE")?;
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let name = path.display().to_string();
    let mut config = Config::load(&text, &name, args.expand_env).map_err(|problems| problems.to_string())?;
    // What must be there depends on what is run.
    if let Some(target) = args.target.or(only) {
        config.target = target;
    }
    config.validate().into_result(()).map_err(|problems| problems.to_string())?;
    Ok(config)
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("could not read the configuration {}: {error}", path.display())
}

fn fail(code: u8, message: &impl Display) -> ExitCode {
    print_line(&mut std::io::stderr(), &format!("error: {message}"));
    ExitCode::from(code)
}

fn print_line(out: &mut impl std::io::Write, line: &str) {
    // There is nowhere left to say that this failed.
    drop(writeln!(out, "{line}"));
}
