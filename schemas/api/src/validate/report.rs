//! Collects what is wrong, and what deserves a word.

use tempoform_document::{Problem, Problems};

/// Why a value is refused, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) help: String,
}

impl Refusal {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// The problems and warnings of one document.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Problems,
    warnings: Vec<Problem>,
}

impl Report {
    /// Notes that the value at `path` is wrong.
    pub(super) fn refuse(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::new(path, message).help(help));
    }

    /// Notes the refusal, if there is one.
    pub(super) fn check(&mut self, path: impl Into<String>, checked: Result<(), Refusal>) {
        if let Err(Refusal { message, help }) = checked {
            self.refuse(path, message, help);
        }
    }

    /// Notes that the value at `path` is allowed but may not be meant.
    pub(super) fn warn(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.warnings.push(Problem::new(path, message).help(help));
    }

    pub(super) fn take_problems(&mut self) -> Problems {
        std::mem::take(&mut self.problems)
    }

    /// Adds what another report found.
    pub(super) fn absorb(&mut self, more: impl IntoIterator<Item = Problem>) {
        self.problems.extend(more);
    }

    pub(super) fn take_warnings(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.warnings)
    }

    /// `value` if nothing was refused.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, Problems> {
        self.problems.into_result(value)
    }
}
