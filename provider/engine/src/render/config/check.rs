//! Whether the runtime will take the configurations that are rendered for it, above all what `spec.config` adds.

use serde_json::{Map, Value};
use tempoform_api::{Problem, Problems, ValidatedTempo};
use tempoform_config::Config;

use super::{Place, Process, escape_hatch, render};
use crate::render::flavour::Flavour;
use crate::render::{RenderError, process, yaml};

/// Reads the configuration of each process as the runtime does. Gives what the runtime warns of in the document's own
/// part: keys without effect above all.
///
/// # Errors
/// Every problem of all of them, each at its field of the document.
pub(crate) fn check<'a>(
    tempo: &ValidatedTempo,
    processes: impl IntoIterator<Item = (Process<'a>, Place)>,
) -> Result<Vec<Problem>, RenderError> {
    let mut warnings = Vec::new();
    let mut found = Problems::default();
    for (process, place) in processes {
        let mut config = render(tempo, &process, &place)?.config;
        config["target"] = process.component.target().into();
        let (problems, notes) = read(config);
        for problem in problems.problems {
            let problem = in_document(problem, &tempo.config, &process);
            if !found.problems.contains(&problem) {
                found.push(problem);
            }
        }
        // What is without effect in ours may well have one in Grafana Tempo.
        let ours = notes.into_iter().filter(|_| process.flavour == Flavour::Native);
        for note in ours.filter_map(|note| in_own_part(note, &tempo.config)) {
            if !warnings.contains(&note) {
                warnings.push(note);
            }
        }
    }
    if found.is_empty() { Ok(warnings) } else { Err(RenderError::Config(found)) }
}

/// What is wrong with a configuration, and what the runtime would warn of.
fn read(config: Value) -> (Problems, Problems) {
    let text = yaml::to_string(&process::with_examples(config));
    match Config::load_with(&text, "", &|variable| Some(example(variable))) {
        Ok(config) => (config.validate(), config.warnings()),
        Err(problems) => (problems, Problems::default()),
    }
}

/// A warning as one of the document, if it is about something that the document says.
fn in_own_part(note: Problem, own: &Map<String, Value>) -> Option<Problem> {
    let written = Value::Object(own.clone());
    names_field(&written, &note.path).then(|| Problem {
        path: tempoform_document::path::child("spec", "config") + &suffix(&note.path),
        line: None,
        column: None,
        ..note
    })
}

/// Something that may stand wherever a variable may: the value itself is known only where the process runs.
fn example(variable: &str) -> String {
    if variable.ends_with("_IP") { "127.0.0.1".to_owned() } else { "1".to_owned() }
}

/// A problem of a configuration as one of the document.
fn in_document(problem: Problem, own: &Map<String, Value>, process: &Process<'_>) -> Problem {
    let Problem { path, message, help, .. } = problem;
    let written = Value::Object(own.clone());
    let (path, message) = if names_field(&written, &path) {
        (tempoform_document::path::child("spec", "config") + &suffix(&path), message)
    } else if own.keys().any(|section| escape_hatch::concerns(section, process)) {
        (
            "spec.config".to_owned(),
            format!("does not go together with {path} of {}, which {message}", process.component),
        )
    } else {
        ("spec".to_owned(), format!("makes a configuration of {} whose {path} {message}", process.component))
    };
    Problem { path, message, help, line: None, column: None }
}

fn suffix(path: &str) -> String {
    if path.is_empty() || path.starts_with('[') { path.to_owned() } else { format!(".{path}") }
}

/// Whether the document itself has written the field.
fn names_field(written: &Value, path: &str) -> bool {
    use tempoform_document::path::{Step, steps};
    let Some(steps) = steps(path).filter(|steps| !steps.is_empty()) else { return false };
    let mut here = written;
    for step in steps {
        let next = match step {
            Step::Key(key) => here.get(&*key),
            Step::Index(index) => here.get(index),
        };
        match next {
            Some(next) => here = next,
            None => return false,
        }
    }
    true
}
