//! Makes a plan true: in dependency order, a few objects at a time, each awaited before those
//! that need it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::object::{Desired, Object, ObjectId};
use crate::plan::{Action, Change, Plan};
use crate::target::{Target, TargetError};

/// Between two looks at an unchanged object that has failed.
const RETRY: Duration = Duration::from_secs(2);

/// What happens during an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The change of an object begins.
    Started {
        /// Which object.
        object: ObjectId,
        /// What is done to it.
        action: Action,
    },
    /// The object does not serve yet; told once for each new reason.
    Waiting {
        /// Which object.
        object: ObjectId,
        /// Why.
        reason: String,
    },
    /// The change is made, and the object serves (or is gone).
    Done {
        /// Which object.
        object: ObjectId,
        /// What was done to it.
        action: Action,
        /// From the start of the change.
        took: Duration,
    },
    /// The change failed.
    Failed {
        /// Which object.
        object: ObjectId,
        /// Why.
        reason: String,
    },
}

/// Hears what happens during an apply.
pub trait Observer: Send + Sync {
    /// Called in the order in which things happen; must not block.
    fn progress(&self, progress: Progress);
}

/// How an apply goes about its work.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions {
    /// Changes at a time.
    pub concurrency: usize,
    /// How long one object may take to serve.
    pub timeout: Duration,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self { concurrency: 4, timeout: Duration::from_secs(120) }
    }
}

/// How many changes were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Objects created.
    pub created: usize,
    /// Objects changed, created anew or restarted.
    pub changed: usize,
    /// Objects removed.
    pub destroyed: usize,
}

/// Why an apply did not finish. What it did is kept; the next apply goes on from there.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// Some changes failed; the others of the same step were finished.
    #[error("{} of {total} changes failed, {remaining} were not begun: {}", failures.len(), list(failures))]
    Failed {
        /// Each with its reason.
        failures: Vec<(ObjectId, TargetError)>,
        /// Changes not begun.
        remaining: usize,
        /// Changes in the plan.
        total: usize,
    },
    /// The target could not begin; nothing was changed.
    #[error("nothing was changed")]
    NotBegun(#[source] TargetError),
    /// Every change is made, and objects that were not changed do not serve.
    #[error("everything is as declared, and not everything serves: {}", list(failures))]
    NotServing {
        /// Each with its reason.
        failures: Vec<(ObjectId, TargetError)>,
    },
    /// Every change is made, and it was asked to stop before everything served.
    #[error("interrupted: everything is as declared, and it is not known whether it serves")]
    NotAwaited,
    /// It was asked to stop.
    #[error("interrupted: {done} of {total} changes are made; the next apply makes the others")]
    Interrupted {
        /// Changes made.
        done: usize,
        /// Changes in the plan.
        total: usize,
    },
    /// The plan names an object that the declared state does not have.
    #[error("plan and document do not belong together: {0} is not declared")]
    Foreign(ObjectId),
}

fn list(failures: &[(ObjectId, TargetError)]) -> String {
    let texts: Vec<String> = failures.iter().map(|(object, error)| format!("{object}: {error}")).collect();
    texts.join("; ")
}

/// Makes every change of the plan, and waits for what stays as it is too: a former apply may have ended before it served. On cancel, no further change is begun, and nothing is waited
/// for any more.
///
/// # Errors
/// When a change fails, or on cancel.
pub async fn apply(
    target: &dyn Target,
    plan: &Plan,
    desired: &Desired,
    options: ApplyOptions,
    observer: &dyn Observer,
    cancel: &CancellationToken,
) -> Result<Applied, ApplyError> {
    let objects: BTreeMap<&ObjectId, &Object> =
        desired.objects.iter().map(|object| (&object.id, object)).collect();
    let steps = steps(plan);
    let total = plan.changes.iter().filter(|change| change.action != Action::NoChange).count();
    if total > 0 {
        target.begin().await.map_err(ApplyError::NotBegun)?;
    }
    let run = Run { target, objects, options, observer, cancel };

    let mut applied = Applied::default();
    for step in steps {
        let outcomes: Vec<Outcome> = stream::iter(step)
            .map(|row| run.row(row))
            .buffer_unordered(options.concurrency.max(1))
            .concat()
            .await;
        let mut failures = Vec::new();
        let mut interrupted = false;
        for outcome in outcomes {
            match outcome {
                Outcome::Done(action) => applied.count(action),
                Outcome::Failed(object, error) => failures.push((object, error)),
                Outcome::Cancelled => interrupted = true,
                Outcome::NotBegun => {}
                Outcome::Foreign(object) => return Err(ApplyError::Foreign(object)),
            }
        }
        let done = applied.total();
        if !failures.is_empty() {
            let remaining = total.saturating_sub(done + failures.len());
            return Err(ApplyError::Failed { failures, remaining, total });
        }
        if interrupted || (cancel.is_cancelled() && done < total) {
            return Err(ApplyError::Interrupted { done, total });
        }
    }
    // What stays as it is may not serve yet: a former apply ended early, or what kept it was mended elsewhere. It keeps no
    // change from being made.
    run.unchanged(plan).await?;
    Ok(applied)
}

impl Applied {
    fn count(&mut self, action: Action) {
        match action {
            Action::Create => self.created += 1,
            Action::Update | Action::Replace | Action::Restart => self.changed += 1,
            Action::Delete => self.destroyed += 1,
            Action::NoChange => {}
        }
    }

    fn total(self) -> usize {
        self.created + self.changed + self.destroyed
    }
}

/// The plan's changes as steps that follow each other; each step has rows that run at the same
/// time; each row's changes follow each other.
fn steps(plan: &Plan) -> Vec<Vec<Vec<&Change>>> {
    let due = plan.changes.iter().filter(|change| change.action != Action::NoChange).collect::<Vec<_>>();
    due.chunk_by(|a, b| (a.wave, a.action == Action::Delete) == (b.wave, b.action == Action::Delete))
        .map(rows)
        .collect()
}

/// Objects of one component that run already go one after the other, so that the component goes
/// on serving, and so that of those that hold data at most one is away.
fn rows<'a>(step: &[&'a Change]) -> Vec<Vec<&'a Change>> {
    let mut rows: Vec<Vec<&Change>> = Vec::new();
    for change in step {
        let alone = |other: &Change| {
            other.action == Action::Create || (other.action == Action::Delete && !other.stateful)
        };
        let row = rows.iter_mut().find(|row| {
            !alone(change) && row.iter().all(|other| other.component == change.component && !alone(other))
        });
        match row {
            Some(row) => row.push(change),
            None => rows.push(vec![change]),
        }
    }
    rows
}

enum Outcome {
    Done(Action),
    Failed(ObjectId, TargetError),
    Cancelled,
    NotBegun,
    Foreign(ObjectId),
}

struct Run<'a> {
    target: &'a dyn Target,
    objects: BTreeMap<&'a ObjectId, &'a Object>,
    options: ApplyOptions,
    observer: &'a dyn Observer,
    cancel: &'a CancellationToken,
}

impl Run<'_> {
    async fn row(&self, row: Vec<&Change>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(row.len());
        for change in row {
            let stopped = outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Done(_)));
            outcomes.push(if stopped { Outcome::NotBegun } else { self.change(change).await });
        }
        outcomes
    }

    async fn change(&self, change: &Change) -> Outcome {
        if self.cancel.is_cancelled() {
            return Outcome::Cancelled;
        }
        let desired = self.objects.get(&change.object).copied();
        if desired.is_none() != (change.action == Action::Delete) {
            return Outcome::Foreign(change.object.clone());
        }
        let object = change.object.clone();
        let began = Instant::now();
        self.observer.progress(Progress::Started { object: object.clone(), action: change.action });
        // Dropping the work on cancel is safe: the target has recorded that the change began.
        let work = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Outcome::Cancelled,
            work = self.work(change, desired) => work,
        };
        match work {
            Ok(()) => {
                let (action, took) = (change.action, began.elapsed());
                self.observer.progress(Progress::Done { object, action, took });
                Outcome::Done(action)
            }
            Err(error) => {
                self.observer
                    .progress(Progress::Failed { object: object.clone(), reason: error.to_string() });
                Outcome::Failed(object, error)
            }
        }
    }

    /// Waits for what is not changed.
    async fn unchanged(&self, plan: &Plan) -> Result<(), ApplyError> {
        let mut waits = Vec::new();
        for change in plan.changes.iter().filter(|change| change.action == Action::NoChange) {
            waits.push(async move {
                self.comes(&change.object).await.err().map(|error| (change.object.clone(), error))
            });
        }
        let waited =
            stream::iter(waits).buffer_unordered(self.options.concurrency.max(1)).collect::<Vec<_>>();
        let failures: Vec<_> = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(ApplyError::NotAwaited),
            waited = waited => waited.into_iter().flatten().collect(),
        };
        if failures.is_empty() { Ok(()) } else { Err(ApplyError::NotServing { failures }) }
    }

    /// Waits until an object serves that was not changed. What has failed is no reason to end early: its cause may be gone.
    async fn comes(&self, object: &ObjectId) -> Result<(), TargetError> {
        let deadline = Instant::now() + self.options.timeout;
        loop {
            match self.serves(object).await {
                Err(error) if Instant::now() + RETRY < deadline => {
                    let (object, reason) = (object.clone(), error.to_string());
                    self.observer.progress(Progress::Waiting { object, reason });
                    tokio::time::sleep(RETRY).await;
                }
                waited => return waited,
            }
        }
    }

    async fn work(&self, change: &Change, desired: Option<&Object>) -> Result<(), TargetError> {
        self.target.apply_change(change, desired).await?;
        if change.action != Action::Delete {
            self.serves(&change.object).await?;
            self.target.settle(&change.object).await?;
        }
        Ok(())
    }

    async fn serves(&self, object: &ObjectId) -> Result<(), TargetError> {
        let waiting = |reason: &str| {
            self.observer.progress(Progress::Waiting { object: object.clone(), reason: reason.to_owned() });
        };
        self.target.wait(object, Instant::now() + self.options.timeout, &waiting).await
    }
}

#[cfg(test)]
mod tests;
