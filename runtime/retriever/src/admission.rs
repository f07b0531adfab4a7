//! How much is decoded at once: blocks by count, column data by bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempoform_core::{Error, ErrorKind, MemoryBudget, Reservation, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long memory that others hold is waited for when no query holds any.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(50);

/// Hands out the right to decode.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
    memory: MemoryBudget,
    holders: Arc<Holders>,
}

#[derive(Debug, Default)]
struct Holders {
    count: AtomicUsize,
    released: Notify,
}

/// Memory for a row group's columns, given back on drop.
#[derive(Debug)]
pub(crate) struct Held {
    reservation: Option<Reservation>,
    holders: Arc<Holders>,
}

impl Admission {
    pub(crate) fn new(max_concurrent_blocks: usize, memory: MemoryBudget) -> Self {
        let slots = max_concurrent_blocks.clamp(1, Semaphore::MAX_PERMITS);
        Self { slots: Arc::new(Semaphore::new(slots)), memory, holders: Arc::default() }
    }

    /// Waits until a block may be decoded.
    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit> {
        let closed = |_| Error::new(ErrorKind::Internal, "block slots are closed");
        Arc::clone(&self.slots).acquire_owned().await.map_err(closed)
    }

    /// Waits until `bytes` may be held. A single row group never waits for more than a quarter of the
    /// ceiling: one that needs more runs alone at worst, rather than never.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when others than queries hold the memory, and keep it.
    pub(crate) async fn memory(&self, bytes: u64) -> Result<Held> {
        self.wait(bytes.min(self.memory.limit() / 4)).await
    }

    /// Waits until all of `bytes` may be held.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when that is more than there ever is, or when others than queries hold the memory, and
    /// keep it.
    pub(crate) async fn all_memory(&self, bytes: u64, purpose: &str) -> Result<Held> {
        if bytes > self.memory.limit() {
            let message = format!(
                "{purpose} needs about {bytes} bytes, over the memory ceiling of {} bytes (memory.limit_bytes)",
                self.memory.limit()
            );
            return Err(Error::new(ErrorKind::Exhausted, message));
        }
        self.wait(bytes).await
    }

    async fn wait(&self, bytes: u64) -> Result<Held> {
        let mut alone_for = Duration::ZERO;
        loop {
            let released = self.holders.released.notified();
            match self.memory.reserve(bytes, "a query's columns") {
                Ok(reservation) => {
                    self.holders.count.fetch_add(1, Ordering::AcqRel);
                    return Ok(Held { reservation: Some(reservation), holders: Arc::clone(&self.holders) });
                }
                Err(error) if alone_for >= PATIENCE => return Err(error),
                Err(_) => {
                    if self.holders.count.load(Ordering::Acquire) == 0 {
                        alone_for += RETRY;
                    }
                    tokio::time::timeout(RETRY, released).await.ok();
                }
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.reservation.take();
        self.holders.count.fetch_sub(1, Ordering::AcqRel);
        self.holders.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queries_wait_for_one_another() {
        let budget = MemoryBudget::new(400);
        let admission = Admission::new(1, budget.clone());
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(admission.memory(u64::MAX).await.unwrap());
        }
        assert_eq!(budget.used(), 400);
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.memory(100).await.map(drop) }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        held.pop();
        waiting.await.unwrap().unwrap();
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn what_never_fits_is_refused_at_once() {
        let admission = Admission::new(1, MemoryBudget::new(400));
        assert!(admission.all_memory(300, "a trace").await.is_ok(), "more than a row group may have");
        let refused = admission.all_memory(401, "a trace").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exhausted);
        assert!(refused.message().starts_with("a trace needs about 401 bytes"), "{refused}");
    }

    #[tokio::test]
    async fn memory_that_others_keep_is_refused_in_the_end() {
        let budget = MemoryBudget::new(400);
        let _others = budget.reserve(400, "live traces").unwrap();
        let refused = Admission::new(1, budget).memory(1).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exhausted);
    }
}
