use std::ffi::{OsStr, OsString};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A call of cargo in the one profile that everything uses.
pub(crate) struct Cargo {
    name: &'static str,
    command: Command,
}

/// What a test is told by its environment.
pub(crate) type Environment = Vec<(&'static str, OsString)>;

impl Cargo {
    /// `cargo NAME --release`.
    pub(crate) fn new(name: &'static str) -> Self {
        let mut cargo = Self::bare(name);
        cargo.command.arg("--release");
        cargo
    }

    /// `cargo NAME`.
    pub(crate) fn bare(name: &'static str) -> Self {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.arg(name);
        Self { name, command }
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn environment(mut self, environment: &Environment) -> Self {
        self.command.envs(environment.iter().map(|(name, value)| (name, value)));
        self
    }

    /// Has `runner` start what cargo has built, with the program and its arguments behind its own.
    pub(crate) fn runner(mut self, runner: &[&str]) -> Self {
        // A list, so that paths may have spaces in them. The form of a list of strings is the same in TOML.
        self.command.arg("--config").arg(format!("target.'cfg(unix)'.runner={runner:?}"));
        self
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let status = self.command.status().with_context(|| format!("could not start cargo {}", self.name))?;
        if !status.success() {
            bail!("cargo {} failed: {status}", self.name);
        }
        Ok(())
    }
}
