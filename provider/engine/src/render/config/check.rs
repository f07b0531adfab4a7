//! Whether the runtime will take the configurations that are rendered for it, above all what `spec.config` adds.

use serde_json::{Map, Value};
use tempoform_api::{Problem, Problems, ValidatedTempo};
use tempoform_config::Config;

use super::{Place, Process, escape_hatch, render};
use crate::render::{RenderError, process, yaml};

/// Reads the configuration of each process as the runtime does.
///
/// # Errors
/// Every problem of all of them, each at its field of the document.
pub(crate) fn check<'a>(
    tempo: &ValidatedTempo,
    processes: impl IntoIterator<Item = (Process<'a>, Place)>,
) -> Result<(), RenderError> {
    let mut found = Problems::default();
    for (process, place) in processes {
        let mut config = render(tempo, &process, &place)?.config;
        config["target"] = process.component.target().into();
        for problem in problems(config).problems {
            let problem = in_document(problem, &tempo.config, &process);
            if !found.problems.contains(&problem) {
                found.push(problem);
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(RenderError::Config(found)) }
}

fn problems(config: Value) -> Problems {
    let text = yaml::to_string(&process::with_examples(config));
    match Config::load_with(&text, "", &|variable| Some(example(variable))) {
        Ok(config) => config.validate(),
        Err(problems) => problems,
    }
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
    } else if own.keys().any(|section| escape_hatch::concerns(section, process.component)) {
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
