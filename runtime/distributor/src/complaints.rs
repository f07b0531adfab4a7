//! Lines in the log about what may happen at every request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Least time between two lines in the log.
const SILENCE: Duration = Duration::from_secs(10);

/// Lines in the log, with silence between them.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<Told>);

#[derive(Default)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl Complaints {
    /// Calls `log` with how many complaints were not told since the last one, unless that was a moment ago.
    pub(crate) fn tell(&self, log: impl FnOnce(u64)) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| last.elapsed() < SILENCE) {
            told.untold += 1;
            return;
        }
        let untold = std::mem::take(&mut told.untold);
        told.last = Some(Instant::now());
        drop(told);
        log(untold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_now_and_then_says_how_many_there_were() {
        let complaints = Complaints::default();
        let mut lines = Vec::new();
        for _ in 0..25 {
            complaints.tell(|untold| lines.push(untold));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(lines, [0, 9, 9]);
    }
}
