use std::process::ExitCode;

use tempoform_engine::health::{Check, Outcome, Report, check};

use super::{DIFFERENT, running};
use crate::args::{Format, Health};
use crate::documents::{self, Purpose};
use crate::failure::Failure;
use crate::output;

pub(crate) async fn run(args: &Health) -> Result<ExitCode, Failure> {
    let declared = documents::load_one(&args.files, Purpose::Name)?;
    let running = running::open(&declared, &args.destination).await?;
    let instances = running.target().endpoints().await?;
    let report = check(&instances, &running::health_options(&declared.document.validated)).await;
    match args.output {
        Format::Json => output::json(&report)?,
        Format::Text => output::data(&to_text(&report))?,
    }
    Ok(match (report.healthy, args.detailed_exitcode) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(DIFFERENT),
        (false, false) => ExitCode::from(1),
    })
}

/// One line a check, then the verdict.
pub(crate) fn to_text(report: &Report) -> String {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Check { name, outcome, duration_ms, reason } in &report.checks {
        let word = match outcome {
            Outcome::Pass => "ok  ",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
        };
        text.push_str(&format!("{word} {name:<width$} {duration_ms:>6} ms  {reason}\n"));
    }
    text.push_str(if report.healthy { "Healthy.\n" } else { "Not healthy.\n" });
    text
}
