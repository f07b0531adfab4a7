//! What is wrong with the bytes, and where.

use std::fmt;

/// Bytes that are not what they should be; nothing of them is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {format}: {fault}")]
pub struct Malformed {
    pub(crate) format: &'static str,
    pub(crate) fault: Fault,
}

/// A problem and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Such as `spans[3].tags[0]`; empty for the whole.
    place: String,
    problem: String,
}

impl Fault {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self { place: String::new(), problem: problem.into() }
    }

    /// A required field that is not there.
    pub(crate) fn missing(field: &str) -> Self {
        Self::new(format!("{field} is missing"))
    }

    /// The same, inside `step`.
    #[must_use]
    pub(crate) fn within(mut self, step: impl fmt::Display) -> Self {
        self.place = if self.place.is_empty() { step.to_string() } else { format!("{step}.{}", self.place) };
        self
    }

    /// The same, with how far it was read.
    #[must_use]
    pub(crate) fn at_byte(mut self, byte: usize) -> Self {
        self.problem = format!("{} (before byte {byte})", self.problem);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Fault {}
