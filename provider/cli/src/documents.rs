use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempoform_api::{Problems, TempoDocument};

use crate::args::Files;
use crate::failure::Failure;
use crate::output;

/// A declared Tempo and the file it stands in.
pub(crate) struct Declared {
    pub(crate) document: TempoDocument,
    pub(crate) file: PathBuf,
}

/// Every document of the given files and folders. Warnings are printed.
///
/// Problems of all files are told at once.
pub(crate) fn load(files: &Files) -> Result<Vec<Declared>, Failure> {
    let mut declared: Vec<Declared> = Vec::new();
    let mut problems: Vec<Problems> = Vec::new();
    for file in expand(&files.files)? {
        let text = fs::read_to_string(&file)
            .map_err(|error| Failure::new(format!("cannot read {}", file.display())).because(&error))?;
        match tempoform_api::load(file.display().to_string(), &text) {
            Ok(documents) => {
                declared
                    .extend(documents.into_iter().map(|document| Declared { document, file: file.clone() }));
            }
            Err(found) => problems.push(found),
        }
    }
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
pub(crate) fn load_one(files: &Files) -> Result<Declared, Failure> {
    let mut declared = load(files)?;
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

/// Folders become the YAML files in them.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = yaml_files(path).map_err(|error| {
                Failure::new(format!("cannot read the folder {}", path.display())).because(&error)
            })?;
            if found.is_empty() {
                return Err(Failure::new(format!("there is no .yaml file in {}", path.display())));
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
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

fn told_together(problems: &[Problems]) -> Failure {
    let count: usize = problems.iter().map(Problems::len).sum();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let noun = if count == 1 { "problem" } else { "problems" };
    Failure::new(format!("{count} {noun}; nothing was changed\n{}", text.join("\n")))
}
