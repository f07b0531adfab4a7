//! Documents from YAML, with every problem of a file at once.

mod schema;

use std::collections::HashMap;

use serde_json::Value;
use tempoform_document::{Document, Problem, Problems};

use crate::spec::Tempo;
use crate::validate::validate;
use crate::validated::{Target, ValidatedTempo};
use crate::{API_VERSION, GROUP, KIND};

/// One `Tempo` document of a file: as written, resolved, and where its parts stand.
#[derive(Clone, Debug)]
pub struct TempoDocument {
    /// The resource as it is written.
    pub tempo: Tempo,
    /// The resource with every default filled in.
    pub validated: ValidatedTempo,
    document: Document,
}

impl TempoDocument {
    /// Name of the source for messages, normally the file.
    pub fn source_name(&self) -> &str {
        self.document.source_name()
    }

    /// The document as JSON, as it is written.
    pub fn value(&self) -> &Value {
        self.document.value()
    }

    /// The problems with source name and position, for what is found after loading.
    pub fn locate(&self, problems: impl IntoIterator<Item = Problem>) -> Problems {
        located(&self.document, problems)
    }

    /// [`ValidatedTempo::warnings`] with their positions.
    pub fn warnings(&self) -> Problems {
        self.locate(self.validated.warnings.iter().cloned())
    }

    /// [`ValidatedTempo::target_warnings`] with their positions.
    pub fn target_warnings(&self, target: Target) -> Problems {
        self.locate(self.validated.target_warnings(target).iter().cloned())
    }

    /// Checks what depends on where the Tempo is to run.
    ///
    /// # Errors
    /// As [`ValidatedTempo::check_target`], with positions.
    pub fn check_target(&self, target: Target) -> Result<(), Problems> {
        self.validated.check_target(target).map_err(|problems| self.locate(problems))
    }
}

/// Reads every `Tempo` of a YAML text, in order. `source_name` is for messages, normally the file.
///
/// # Errors
/// Every problem of the whole text with line and column: YAML, other kinds, unknown fields, wrong types, and
/// everything that [`validate`] refuses; also two documents for one Tempo, and none at all.
pub fn load(source_name: impl Into<String>, text: &str) -> Result<Vec<TempoDocument>, Problems> {
    let (loaded, problems) = load_sound(source_name, text);
    problems.into_result(loaded)
}

/// As [`load`], but also gives the documents that nothing is wrong with when others have problems, so that what is
/// checked after loading can be told together with these.
pub fn load_sound(source_name: impl Into<String>, text: &str) -> (Vec<TempoDocument>, Problems) {
    let mut problems = Problems::new(source_name);
    let documents = match Document::parse_all(problems.source_name.clone(), text) {
        Ok(documents) => documents,
        Err(problems) => return (Vec::new(), problems),
    };
    if documents.is_empty() {
        problems.push(Problem::new("", "there is no document in it").help(expected()));
    }
    let mut loaded = Vec::with_capacity(documents.len());
    for document in documents {
        match read(document) {
            Ok(document) => loaded.push(document),
            Err(more) => problems.extend(more),
        }
    }
    refuse_doubles(&loaded, &mut problems);
    problems.sort();
    (loaded, problems)
}

fn expected() -> String {
    format!("a document begins with apiVersion: {API_VERSION} and kind: {KIND}")
}

fn read(document: Document) -> Result<TempoDocument, Problems> {
    check_kind(&document).map_err(|problem| located(&document, [problem]))?;
    document.check(schema::document()).into_result(())?;
    let tempo: Tempo = document.decode()?;
    let validated = validate(&tempo).map_err(|problems| located(&document, problems))?;
    Ok(TempoDocument { tempo, validated, document })
}

fn located(document: &Document, found: impl IntoIterator<Item = Problem>) -> Problems {
    let mut problems = document.problems();
    problems.extend(found.into_iter().map(|problem| document.locate(problem)));
    problems.sort();
    problems
}

fn check_kind(document: &Document) -> Result<(), Problem> {
    let field = |name: &str| document.get(name).and_then(Value::as_str);
    let (Some(api_version), Some(kind)) = (field("apiVersion"), field("kind")) else {
        let missing = if field("kind").is_some() { "apiVersion" } else { "kind" };
        return Err(Problem::new("", format!("this is no Tempo: {missing} is missing")).help(expected()));
    };
    match (api_version, kind) {
        (API_VERSION, KIND) => Ok(()),
        (API_VERSION, other) => {
            Err(Problem::new("kind", format!("{API_VERSION} has no kind {other:?}")).help(format!("write kind: {KIND}")))
        }
        ("tempo.grafana.com/v1alpha1", other) => Err(Problem::new("kind", format!("{other} of the Tempo operator is not read here"))
            .help(format!("write the same as kind: {KIND} of {API_VERSION}; its storage secret's bucket and endpoint go into spec.storage.trace"))),
        (other, KIND) if other.split('/').next() == Some(GROUP) => {
            Err(Problem::new("apiVersion", format!("version {other:?} is not known")).help(format!("write {API_VERSION}")))
        }
        (_, other) => Err(Problem::new("kind", format!("this is a {other}, not a Tempo")).help(expected())),
    }
}

fn refuse_doubles(loaded: &[TempoDocument], problems: &mut Problems) {
    let mut seen = HashMap::new();
    for document in loaded {
        let key = (document.validated.namespace.as_deref(), document.validated.name.as_str());
        let line = document.document.position("metadata.name").map_or(0, |(line, _)| line);
        if let Some(first) = seen.insert(key, line) {
            let problem =
                Problem::new("metadata.name", format!("{:?} is declared twice", document.validated.name))
                    .help(format!("the other one is at line {first}; give one another name or namespace"));
            problems.push(document.document.locate(problem));
        }
    }
}

#[cfg(test)]
mod tests;
