//! A program of the control plane as a child process, with its log in a file.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

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
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Tells a program that waits for it, on its standard input, to go on.
    pub(super) fn go_on(&mut self) -> Result<()> {
        let mut input = self.child.stdin.take().context("it was told already")?;
        Ok(writeln!(input)?)
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

    /// What it has used; in a namespace of its own, the first process there.
    pub(super) fn usage(&self) -> Result<Usage> {
        let first = self.children().first().map_or(self.child.id(), |pid| pid.as_raw_nonzero().get() as u32);
        Usage::of(first).with_context(|| self.name.to_owned())
    }

    /// The processes that it has started and waits for.
    fn children(&self) -> Vec<Pid> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
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
        // It may have ended already. `unshare` ends after the first process of its namespace, and that after all others.
        let killed = self.children().into_iter().filter(|pid| kill_process(*pid, Signal::KILL).is_ok());
        if killed.count() == 0 {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}
