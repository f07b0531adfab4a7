//! A program of the control plane as a child process, with its log in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::Usage;

/// Lines of a log that an error shows.
const TAIL: usize = 30;

/// A running program; killed when dropped.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts the program `name` of `executable`, which holds several; its log goes on in `folder`.
    pub(super) fn start(
        executable: &Path,
        name: &'static str,
        folder: &Path,
        arguments: &[String],
    ) -> Result<Self> {
        Self::spawn(Command::new(executable).arg(name), name, folder, arguments)
    }

    /// Starts `command`, which is called `name`.
    pub(super) fn spawn(
        command: &mut Command,
        name: &'static str,
        folder: &Path,
        arguments: &[String],
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let child = command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        Ok(Self { name, child, log })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Fails when it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}\n{}", self.name, self.log_tail()),
        }
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id()).with_context(|| self.name.to_owned())
    }

    /// The last lines of its log, since the file goes with the control plane.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        format!("{}:\n{}", self.log.display(), lines[lines.len().saturating_sub(TAIL)..].join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
