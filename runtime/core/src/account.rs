use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempoform_wire::internal::ReadAccount;

/// What a query cost at the object store: counted while it runs, by every reader it uses.
#[derive(Debug, Default)]
pub struct Account {
    requests: AtomicU64,
    bytes: AtomicU64,
    wait_nanos: AtomicU64,
    cache_hits: AtomicU64,
    cache_bytes: AtomicU64,
}

impl Account {
    /// One request to the store that brought `bytes` after `wait`.
    pub fn request(&self, bytes: u64, wait: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.wait_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// A read of `bytes` that a cache answered.
    pub fn cache_hit(&self, bytes: u64) {
        self.cache_hits.fetch_add(1, Ordering::Relaxed);
        self.cache_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds what another account counted.
    pub fn add(&self, other: &ReadAccount) {
        self.requests.fetch_add(other.requests, Ordering::Relaxed);
        self.bytes.fetch_add(other.bytes, Ordering::Relaxed);
        self.wait_nanos.fetch_add(other.wait_nanos, Ordering::Relaxed);
        self.cache_hits.fetch_add(other.cache_hits, Ordering::Relaxed);
        self.cache_bytes.fetch_add(other.cache_bytes, Ordering::Relaxed);
    }

    /// The figures so far.
    pub fn snapshot(&self) -> ReadAccount {
        ReadAccount {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            wait_nanos: self.wait_nanos.load(Ordering::Relaxed),
            cache_hits: self.cache_hits.load(Ordering::Relaxed),
            cache_bytes: self.cache_bytes.load(Ordering::Relaxed),
        }
    }
}
