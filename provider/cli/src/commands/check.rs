use std::process::ExitCode;

use serde::Serialize;
use tempoform_block::preflight::{Outcome, Preflight, Step, preflight};

use crate::args::{Check, Files, Format};
use crate::blocks::place::{self, Location};
use crate::failure::Failure;
use crate::output;

/// The answer of `tempoform check -o json`. Fields are added, never renamed or removed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    bucket: &'a str,
    usable: bool,
    #[serde(flatten)]
    report: &'a Preflight,
}

pub(crate) async fn run(args: &Check) -> Result<ExitCode, Failure> {
    let location = place::locate(&args.place)?;
    let report = preflight(location.trace()).await?;
    match args.output {
        Format::Json => {
            output::json(&Answer { bucket: &location.name, usable: report.is_fine(), report: &report })?;
        }
        Format::Text => output::data(&text(&location, &report))?,
    }
    Ok(ExitCode::from(u8::from(!report.is_fine())))
}

/// Tries the bucket of a document before anything is changed. A folder is not tried: components make theirs.
pub(super) async fn before_change(files: &Files, to_leave_out: &str) -> Result<(), Failure> {
    let location = match place::of_document(files) {
        Ok(location) => location,
        // Components may have variables that this command has not.
        Err(failure) => {
            output::note(&format!("warning: the storage was not tried: {failure}"));
            return Ok(());
        }
    };
    if location.is_folder() {
        return Ok(());
    }
    let report = preflight(location.trace()).await?;
    if report.is_fine() {
        output::note(&format!("Storage {}: can be listed, written, read and deleted.", location.name));
        return Ok(());
    }
    let message = format!(
        "the storage cannot be used as it is, so nothing was changed\n{}",
        text(&location, &report).trim_end()
    );
    Err(Failure::new(message).help(format!(
        "mend it and run the command again; `tempoform check` tries the storage alone, {to_leave_out} goes on without"
    )))
}

fn text(location: &Location, report: &Preflight) -> String {
    let mut text = String::new();
    let mut told: Option<&str> = None;
    for Step { action, outcome } in &report.steps {
        let word = action.as_str();
        match outcome {
            Outcome::Works => text.push_str(&format!("ok    {word}\n")),
            Outcome::NotTried => {
                text.push_str(&format!("-     {word:<14}  not tried, for what failed above\n"))
            }
            Outcome::Fails { right, said, advice, .. } => {
                let why = right.map_or_else(
                    || "does not work".to_owned(),
                    |right| format!("refused: {right} is missing"),
                );
                text.push_str(&format!("fail  {word:<14}  {why}\n"));
                if told != Some(advice) {
                    text.push_str(&format!("        {advice}\n        the store said: {}\n", one_line(said)));
                }
                told = Some(advice);
            }
        }
    }
    for key in &report.left_behind {
        text.push_str(&format!("left  {key} could not be deleted, and is still there\n"));
    }
    let verdict = if report.is_fine() { "can be used" } else { "cannot be used as it is" };
    text.push_str(&format!("{} {verdict}.\n", location.name));
    text
}

/// Stores answer in XML over several lines.
fn one_line(text: &str) -> String {
    const MOST: usize = 400;
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
