use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for the next part of a request.
const PART_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for all of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a client may take to send a request, of which what has come so far takes room: one that has gone away, or
/// sends a byte now and then, must not hold that for ever.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    until: Instant,
}

/// A client took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request did not come in time: its parts may be {PART_TIMEOUT:?} apart and all of it may take {REQUEST_TIMEOUT:?}"
)]
pub struct Late;

impl Default for Patience {
    /// From now on.
    fn default() -> Self {
        Self { until: Instant::now() + REQUEST_TIMEOUT }
    }
}

impl Patience {
    /// The next part of the request.
    ///
    /// # Errors
    /// [`Late`] when it does not come in time.
    pub async fn wait<T>(&self, part: impl Future<Output = T>) -> Result<T, Late> {
        let until = self.until.min(Instant::now() + PART_TIMEOUT);
        tokio::time::timeout_at(until, part).await.map_err(|_| Late)
    }
}
