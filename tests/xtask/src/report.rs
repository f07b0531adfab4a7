//! What was left out, and why: said at the end, where it is read.

use std::io::Write as _;

/// Things that could not be had.
#[derive(Debug, Default)]
pub(crate) struct Report {
    skipped: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        self.skipped.push((what.to_owned(), why.to_owned()));
    }

    pub(crate) fn print(&self) {
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
