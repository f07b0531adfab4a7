use std::time::Duration;

use tempoform_engine::apply::{Observer, Progress};
use tempoform_engine::plan::Action;

use crate::output;

/// Prints a line for everything that happens, to standard error.
pub(crate) struct Lines;

impl Observer for Lines {
    fn progress(&self, progress: Progress) {
        output::note(&match progress {
            Progress::Started { object, action } => {
                format!("{}: {}", object.name, present(&object.kind, action))
            }
            Progress::Waiting { object, reason } => format!("{}: waiting: {reason}", object.name),
            Progress::Done { object, action, took } => {
                format!("{}: {} in {}", object.name, past(&object.kind, action), seconds(took))
            }
            // Told in full when the apply ends.
            Progress::Failed { object, reason } => {
                format!("{}: failed: {}", object.name, reason.lines().next().unwrap_or_default())
            }
        });
    }
}

fn present(kind: &str, action: Action) -> &'static str {
    match action {
        Action::Create => "starting",
        Action::Update => "changing",
        Action::Replace => "creating anew",
        Action::Restart => "restarting",
        Action::Delete if RUNNING.contains(&kind) => "flushing and stopping",
        Action::Delete => "deleting",
        Action::NoChange => "as declared",
    }
}

/// Kinds of objects that run.
const RUNNING: [&str; 3] = ["Process", "StatefulSet", "Deployment"];

fn past(kind: &str, action: Action) -> &'static str {
    match (kind, action) {
        (_, Action::Delete) => "gone",
        (kind, _) if RUNNING.contains(&kind) => "ready",
        _ => "written",
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1}s", took.as_secs_f64())
}
