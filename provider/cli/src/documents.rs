use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempoform_api::{Problem, Problems, TempoDocument};
use tempoform_engine::render::{self, RenderError};

use crate::args::Files;
use crate::failure::Failure;
use crate::output;

/// A declared Tempo and the file it stands in.
pub(crate) struct Declared {
    pub(crate) document: TempoDocument,
    pub(crate) file: PathBuf,
}

/// What a document has to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To say which Tempo is meant.
    Name,
    /// To run as processes of this machine.
    Processes,
    /// To run as objects of Kubernetes.
    Manifests,
    /// To run somewhere.
    Anything,
}

/// Every document of the given files and folders. Warnings are printed.
///
/// Problems of all files are told at once.
pub(crate) fn load(files: &Files, purpose: Purpose) -> Result<Vec<Declared>, Failure> {
    let mut declared: Vec<Declared> = Vec::new();
    let mut problems: Vec<Problems> = Vec::new();
    for file in expand(&files.files, &mut problems) {
        let (documents, mut found) = read(&file);
        for document in &documents {
            // What `spec.config` merges in is only checked where it is merged.
            if let Err(error) = document.try_render(purpose) {
                found.extend(document.problems(error)?);
            }
        }
        found.sort();
        problems.push(found);
        declared.extend(documents);
    }
    problems.extend(doubles(&declared));
    problems.retain(|found| !found.is_empty());
    if !problems.is_empty() {
        return Err(told_together(&problems));
    }
    for declared in &declared {
        for warning in &declared.document.warnings() {
            output::note(&format!("warning: {}:{warning}", declared.document.source_name()));
        }
    }
    Ok(declared)
}

/// The one document that a command works on.
pub(crate) fn load_one(files: &Files, purpose: Purpose) -> Result<Declared, Failure> {
    let mut declared = load(files, purpose)?;
    let names: Vec<String> = declared.iter().map(|one| one.document.validated.name.clone()).collect();
    match declared.pop() {
        Some(one) if declared.is_empty() => Ok(one),
        _ => Err(Failure::new(format!(
            "this command works on one Tempo, and there are {}: {}",
            names.len(),
            names.join(", ")
        ))
        .help("name the file of one of them with -f")),
    }
}

impl Declared {
    fn try_render(&self, purpose: Purpose) -> Result<(), RenderError> {
        match purpose {
            Purpose::Name => Ok(()),
            Purpose::Processes => render::local(&self.document.validated).map(drop),
            Purpose::Manifests => render::manifests(&self.document.validated).map(drop),
            Purpose::Anything => {
                let local = self.try_render(Purpose::Processes);
                local.or_else(|error| self.try_render(Purpose::Manifests).map_err(|_| error))
            }
        }
    }

    /// The problems of a document that cannot be rendered, with their places in the file.
    fn problems(&self, error: RenderError) -> Result<Problems, Failure> {
        match error {
            RenderError::Config(problems) => Ok(self.document.locate(problems)),
            RenderError::Override { path, message } => {
                Ok(self.document.locate([Problem::new(path, message)]))
            }
            // Not at any one place of the document, or no fault of it.
            other => Err(other.into()),
        }
    }

    /// The failure of a command on a document that cannot be rendered.
    pub(crate) fn failure(&self, error: RenderError) -> Failure {
        self.problems(error).map_or_else(|failure| failure, |problems| told_together(&[problems]))
    }
}

/// The sound documents of a file, and the problems of the others.
fn read(file: &Path) -> (Vec<Declared>, Problems) {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return (Vec::new(), unreadable(file, &error)),
    };
    let (documents, problems) = tempoform_api::load_sound(file.display().to_string(), &text);
    let declared = documents.into_iter().map(|document| Declared { document, file: file.to_owned() });
    (declared.collect(), problems)
}

/// Folders become the YAML files in them; a file that is named twice is taken once.
fn expand(paths: &[PathBuf], problems: &mut Vec<Problems>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        match yaml_files(path) {
            Ok(found) if found.is_empty() => {
                problems.push(whole(path, Problem::new("", "there is no .yaml file in this folder")));
            }
            Ok(found) => files.extend(found),
            Err(error) => problems.push(unreadable(path, &error)),
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
    files
}

fn yaml_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_file()
            && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A Tempo that two files declare. Within one file that is refused as it is read.
fn doubles(declared: &[Declared]) -> Vec<Problems> {
    let mut seen: BTreeMap<(Option<&str>, &str), &Path> = BTreeMap::new();
    let mut found = Vec::new();
    for Declared { document, file } in declared {
        let tempo = &document.validated;
        let former = seen.insert((tempo.namespace.as_deref(), &tempo.name), file);
        if let Some(first) = former.filter(|former| *former != file) {
            let message = format!("{:?} is declared in {} too", tempo.name, first.display());
            let problem = Problem::new("metadata.name", message)
                .help("give one of them another name or namespace, or leave one file out");
            found.push(document.locate([problem]));
        }
    }
    found
}

fn unreadable(path: &Path, error: &io::Error) -> Problems {
    whole(path, Problem::new("", format!("cannot be read: {error}")))
}

fn whole(path: &Path, problem: Problem) -> Problems {
    let mut problems = Problems::new(path.display().to_string());
    problems.push(problem);
    problems
}

fn told_together(problems: &[Problems]) -> Failure {
    let count: usize = problems.iter().map(Problems::len).sum();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let noun = if count == 1 { "problem" } else { "problems" };
    Failure::new(format!("{count} {noun}; nothing was changed\n{}", text.join("\n")))
}
