//! The documents of the repository: the examples, and the cases of the engine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempoform_api::{Target, TempoDocument};

/// A document of the repository that can run in Kubernetes.
pub(crate) struct Named {
    /// Its file.
    pub file: PathBuf,
    /// What stands in it.
    pub document: TempoDocument,
}

/// All of them.
pub(crate) fn all() -> Result<Vec<Named>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let examples = files(&root.join("examples"))?.into_iter().map(|folder| folder.join("tempo.yaml"));
    let mut all = Vec::new();
    for file in examples.chain(files(&root.join("provider/engine/tests/cases"))?) {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let documents = tempoform_api::load(file.display().to_string(), &text)?;
        // One example is for this machine alone.
        let documents =
            documents.into_iter().filter(|document| document.check_target(Target::Kubernetes).is_ok());
        all.extend(documents.map(|document| Named { file: file.clone(), document }));
    }
    ensure!(all.len() > 10, "there are only {} documents", all.len());
    Ok(all)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
