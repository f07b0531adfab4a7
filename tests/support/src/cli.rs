//! The `tempoform` executable on a document of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

use crate::process::executable;

/// A document in a folder of its own, and the commands on it. What it applied is destroyed when dropped.
#[derive(Debug)]
pub struct Cli {
    folder: tempfile::TempDir,
    document: PathBuf,
    environment: Vec<(String, String)>,
}

impl Cli {
    /// A copy of an example of this repository.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn example(name: &str) -> Result<Self> {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name).join("tempo.yaml");
        Self::document(&std::fs::read_to_string(&source).with_context(|| source.display().to_string())?)
    }

    /// A document.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn document(text: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let document = folder.path().join("tempo.yaml");
        std::fs::write(&document, text)?;
        Ok(Self { folder, document, environment: Vec::new() })
    }

    /// Sets a variable for every command.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The document's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Changes the document.
    ///
    /// # Errors
    /// When `from` is not in it, or it cannot be written.
    pub fn edit(&self, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(&self.document)?;
        ensure!(text.contains(from), "{from:?} is not in the document:\n{text}");
        Ok(std::fs::write(&self.document, text.replacen(from, to, 1))?)
    }

    /// `tempoform COMMAND -f DOCUMENT …`, whatever comes of it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, command: &str, arguments: &[&str]) -> Result<Output> {
        Ok(Command::new(executable("tempoform")?)
            .arg(command)
            .arg("-f")
            .arg(&self.document)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()?)
    }

    /// The same, expecting an exit code; what it wrote to standard output.
    ///
    /// # Errors
    /// When the code is another; the text has all that was written.
    pub fn expect(&self, code: i32, command: &str, arguments: &[&str]) -> Result<String> {
        let output = self.run(command, arguments)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.code() == Some(code),
            "tempoform {command} {arguments:?}: {}, expected {code}\n{out}\n{err}",
            output.status
        );
        Ok(out.into_owned())
    }

    /// `status -o json`.
    ///
    /// # Errors
    /// When it fails.
    pub fn status(&self) -> Result<serde_json::Value> {
        let text = self.expect(0, "status", &["-o", "json"])?;
        serde_json::from_str(&text).with_context(|| text)
    }

    /// An endpoint of the first instance of a component that has it, `host:port`.
    ///
    /// # Errors
    /// When none has.
    pub fn endpoint(&self, component: &str, key: &str) -> Result<String> {
        let status = self.status()?;
        let components = status["components"].as_array().context("no components")?;
        let of_component = components.iter().filter(|instance| instance["name"] == component);
        let mut endpoints = of_component.filter_map(|instance| instance["endpoints"][key].as_str());
        Ok(endpoints.next().with_context(|| format!("{component} has no {key}: {status:#}"))?.to_owned())
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        // What was never applied has nothing to destroy.
        drop(self.run("destroy", &["--auto-approve", "--delete-data"]));
    }
}
