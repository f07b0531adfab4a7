use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::{Error, ErrorKind, Result};

/// Bytes up to which work on a request is done on the spot: a thread that serves others is not held up by it.
pub const SMALL: usize = 32 << 10;

/// Pieces of work at once, for each processor: more only take memory while they wait for one another.
const AT_ONCE: usize = 2;

static PLACES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from) * AT_ONCE));

/// Runs CPU work on `bytes` bytes where it holds up nobody; `bytes` are those that it may come to, not those that it
/// starts from.
///
/// # Errors
/// The work's own, and [`ErrorKind::Internal`] if it panics.
pub async fn off_thread<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes <= SMALL {
        return work();
    }
    // Never closed.
    let place = PLACES.acquire().await;
    let worked = tokio::task::spawn_blocking(move || {
        // Held until the work ends, also if nobody waits for it any more.
        let _place = place;
        work()
    });
    worked.await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, format!("work on a request failed: {error}")))
    })
}
