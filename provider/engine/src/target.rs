//! What a place where Tempo can run must be able to do.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::mpsc;

use std::collections::BTreeMap;

use crate::object::{Desired, Instance, Object, ObjectId, Observed};
use crate::plan::{Change, Danger};

/// Why a target could not do something: what, where, and what to do next.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct TargetError {
    message: String,
    help: Option<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl TargetError {
    /// An error; the message is lowercase and names the object.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, source: None }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to do next, when known.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

/// How far an object is from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It serves.
    Ready,
    /// Not yet; why.
    Waiting(String),
    /// It will not come by waiting; why.
    Failed(String),
}

/// What a target would make of a declared state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prospect {
    /// The objects as they would be stored: with the target's defaults, and what it changes or adds.
    pub desired: Desired,
    /// Objects that cannot be changed in place, and why.
    pub replaced: BTreeMap<ObjectId, String>,
    /// What the target itself wants an explicit word for.
    pub dangers: Vec<Danger>,
    /// What could not be found out, or will be in the way.
    pub notes: Vec<String>,
}

/// How a removal treats data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataPolicy {
    /// Data stay where they are.
    Keep,
    /// Data that the target itself keeps are deleted.
    Delete,
}

/// Which log lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// A component (`ingester`), an instance (`ingester-0`), or nothing for all.
    pub selector: Option<String>,
    /// Go on with new lines until the receiver is dropped.
    pub follow: bool,
    /// Lines from the end of each log.
    pub tail: usize,
}

/// One line of a component's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Who wrote it.
    pub instance: String,
    /// Without its line end.
    pub text: String,
}

/// Hears short messages for people.
pub type Listener<'a> = dyn Fn(&str) + Send + Sync + 'a;

/// A place where a declared Tempo can run. The engine decides what to do; a target does it.
///
/// An implementation records each change before it begins and after it is done, so that a later
/// `observe` tells what an interrupted apply left ([`crate::object::Condition::Unfinished`]).
#[async_trait]
pub trait Target: Send + Sync {
    /// Name for people and in plans: `local`.
    fn name(&self) -> &str;

    /// What is there now.
    async fn observe(&self) -> Result<Observed, TargetError>;

    /// What it would make of the declared state, given what it has. Changes nothing.
    async fn prospect(&self, desired: &Desired, _observed: &Observed) -> Result<Prospect, TargetError> {
        Ok(Prospect { desired: desired.clone(), ..Prospect::default() })
    }

    /// Called once before the first change of an apply. On failure nothing was changed.
    async fn begin(&self) -> Result<(), TargetError> {
        Ok(())
    }

    /// Makes one change. `desired` is absent exactly for removals. Returns when the change is
    /// made, not when the object serves; see [`Target::readiness`].
    async fn apply_change(&self, change: &Change, desired: Option<&Object>) -> Result<(), TargetError>;

    /// One look at whether an object serves.
    async fn readiness(&self, object: &ObjectId) -> Result<Readiness, TargetError>;

    /// Records that an object was changed and serves.
    async fn settle(&self, object: &ObjectId) -> Result<(), TargetError>;

    /// Waits until an object serves. `waiting` hears each new reason for waiting.
    async fn wait(
        &self,
        object: &ObjectId,
        deadline: Instant,
        waiting: &Listener<'_>,
    ) -> Result<(), TargetError> {
        let mut last = String::new();
        loop {
            match self.readiness(object).await? {
                Readiness::Ready => return Ok(()),
                Readiness::Failed(reason) => return Err(TargetError::new(reason)),
                Readiness::Waiting(reason) if Instant::now() >= deadline => {
                    return Err(TargetError::new(format!("{object} is not ready in time: {reason}"))
                        .help("raise --timeout, or look at `tempoform logs`"));
                }
                Readiness::Waiting(reason) if reason != last => {
                    waiting(&reason);
                    last = reason;
                }
                Readiness::Waiting(_) => {}
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Removes every object, in reverse order; says in the returned lines what stays and where.
    async fn destroy(&self, data: DataPolicy, progress: &Listener<'_>) -> Result<Vec<String>, TargetError>;

    /// Log lines; the channel ends when there are no more.
    async fn logs(&self, query: LogQuery) -> Result<mpsc::Receiver<LogLine>, TargetError>;

    /// The instances that should run, and where they answer.
    async fn endpoints(&self) -> Result<Vec<Instance>, TargetError>;
}

const POLL: Duration = Duration::from_millis(50);
