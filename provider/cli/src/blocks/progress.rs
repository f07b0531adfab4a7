use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::output;

/// Time between two lines, and before the first.
const EVERY: Duration = Duration::from_secs(2);

/// Tells how far a long command is, on standard error.
pub(super) struct Progress {
    what: String,
    last: Mutex<Instant>,
}

impl Progress {
    /// Of something in the plural: `metas read`.
    pub(super) fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), last: Mutex::new(Instant::now()) }
    }

    /// Tells that `done` of `total` are done, if it is time to tell something.
    pub(super) fn tell(&self, done: usize, total: usize) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if done < total && last.elapsed() >= EVERY {
            *last = Instant::now();
            output::note(&format!("{done} of {total} {}", self.what));
        }
    }
}
