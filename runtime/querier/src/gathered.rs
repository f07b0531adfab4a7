//! What the sources answered, put together.

use std::collections::HashSet;

use bytes::Bytes;
use tempoform_core::{Account, Error, ErrorKind, Reservation, Result};
use tempoform_wire::internal::Failure;

use crate::question::{Common, Question};

/// Failures that are named in an answer; of more, the number is told.
const NAMED_FAILURES: usize = 10;

/// What the sources answered, and what is missing.
#[derive(Debug)]
pub(crate) struct Gathered<A> {
    pub(crate) answers: Vec<A>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) account: Account,
    /// Sources that were asked.
    pub(crate) asked: u32,
    /// Why sources did not answer at all.
    errors: Vec<ErrorKind>,
    fresh_blocks: HashSet<Bytes>,
    /// Memory of the answers, held until the query is answered: they are moved into its answer, not copied.
    held: Vec<Reservation>,
}

impl<A> Default for Gathered<A> {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            failures: Vec::new(),
            account: Account::default(),
            asked: 0,
            errors: Vec::new(),
            fresh_blocks: HashSet::new(),
            held: Vec::new(),
        }
    }
}

impl<A> Gathered<A> {
    /// What is missing, for a person; `None` if nothing is.
    pub(crate) fn missing(&self) -> Option<String> {
        let (named, others) = self.failures.split_at(self.failures.len().min(NAMED_FAILURES));
        let mut parts: Vec<_> =
            named.iter().map(|failure| format!("{}: {}", failure.source, failure.message)).collect();
        if !others.is_empty() {
            parts.push(format!("and {} more", others.len()));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Takes the answers apart from what is known about them.
    pub(crate) fn split(self) -> (Vec<A>, Gathered<()>) {
        let Self { answers, failures, account, asked, errors, fresh_blocks, held } = self;
        (answers, Gathered { answers: Vec::new(), failures, account, asked, errors, fresh_blocks, held })
    }

    /// Sources that did not answer at all.
    pub(crate) fn unanswered(&self) -> u32 {
        self.errors.len() as u32
    }

    /// Blocks that ingesters uploaded lately.
    pub(crate) fn take_fresh_blocks(&mut self) -> Vec<Bytes> {
        self.fresh_blocks.drain().collect()
    }

    /// Adds what was gathered for another tenant.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self { answers, failures, account, asked, errors, fresh_blocks: _, held } = other;
        self.answers.extend(answers);
        failures.into_iter().for_each(|failure| self.add_failure(failure));
        self.account.add(&account.snapshot());
        self.asked += asked;
        self.errors.extend(errors);
        self.held.extend(held);
    }

    /// # Errors
    /// When no source answered: with the kind of their errors if all have the same, else "unavailable".
    pub(crate) fn any_answered(self) -> Result<Self> {
        if !self.answers.is_empty() {
            return Ok(self);
        }
        let kind = match self.errors.split_first() {
            Some((first, others)) if others.iter().all(|kind| kind == first) => match first {
                ErrorKind::Exhausted | ErrorKind::Timeout => *first,
                _ => ErrorKind::Unavailable,
            },
            _ => ErrorKind::Unavailable,
        };
        let missing = self.missing().unwrap_or_else(|| "no source is known".to_owned());
        Err(Error::new(kind, format!("nothing could be read: {missing}")))
    }

    /// Adds an answer and the memory that it takes.
    pub(crate) fn add<Q: Question<Answer = A>>(&mut self, mut answer: A, held: Reservation) {
        let Common { fresh_blocks, failures, account } = Q::take_common(&mut answer);
        self.fresh_blocks.extend(fresh_blocks);
        failures.into_iter().for_each(|failure| self.add_failure(failure));
        self.account.add(&account.unwrap_or_default());
        self.answers.push(answer);
        self.held.push(held);
    }

    /// A source gave no answer.
    pub(crate) fn add_unanswered(&mut self, kind: ErrorKind) {
        self.errors.push(kind);
    }

    /// A part is missing.
    pub(crate) fn add_missing(&mut self, source: impl Into<String>, message: impl Into<String>) {
        self.add_failure(Failure { source: source.into(), message: message.into() });
    }

    /// Retrievers that share a query may all tell of the same trouble.
    fn add_failure(&mut self, failure: Failure) {
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_named_once_and_many_are_counted() {
        let mut gathered = Gathered::<()>::default();
        assert_eq!(gathered.missing(), None);
        gathered.add_missing("block 1", "is damaged");
        gathered.add_missing("block 1", "is damaged");
        gathered.add_missing("block 2", "is away");
        assert_eq!(gathered.missing().unwrap(), "block 1: is damaged; block 2: is away");
        (3..=13).for_each(|block| gathered.add_missing(format!("block {block}"), "is away"));
        let missing = gathered.missing().unwrap();
        assert!(missing.contains("block 10: is away; and 3 more"), "{missing}");
    }
}
