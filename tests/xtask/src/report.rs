//! What was left out, and why: said at the end, where it is read.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cargo::Environment;

/// Things that could not be had.
#[derive(Debug, Default)]
pub(crate) struct Report {
    skipped: Vec<(String, String)>,
    /// Where tests write what they skipped.
    of_tests: Option<PathBuf>,
}

impl Report {
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        self.skipped.push((what.to_owned(), why.to_owned()));
    }

    /// Has tests write what they skip into a file of `folder`.
    pub(crate) fn skips_of_tests(&mut self, folder: &Path) -> Result<Environment> {
        let file = folder.join(format!("skipped-{}", std::process::id()));
        std::fs::write(&file, "").with_context(|| format!("could not write {}", file.display()))?;
        self.of_tests = Some(file.clone());
        Ok(vec![("TEMPOFORM_TEST_SKIPPED", file.into())])
    }

    pub(crate) fn print(&mut self) {
        if let Some(file) = self.of_tests.take() {
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            self.skipped.extend(written.lines().map(|why| ("a test".to_owned(), why.to_owned())));
            // It is of no more use, and named after this process.
            drop(std::fs::remove_file(&file));
        }
        let mut out = std::io::stderr().lock();
        for (what, why) in &self.skipped {
            // Nobody is there to be told when this fails.
            drop(writeln!(out, "skipped {what}: {why}"));
        }
        if self.skipped.is_empty() {
            drop(writeln!(out, "nothing was skipped"));
        }
    }
}

pub(crate) fn progress(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

pub(crate) fn error(error: &anyhow::Error) {
    drop(writeln!(std::io::stderr(), "error: {error:#}"));
}
