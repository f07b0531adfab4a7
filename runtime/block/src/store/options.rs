//! How a store behaves, besides where it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempoform_core::Reservation;

/// How a [`BlockStore`](super::BlockStore) behaves, besides where it is.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Most bytes of objects, ranges and parsed footers kept in memory; 0 = none.
    pub cache_bytes: usize,
    /// What is reserved for that of the process's memory; held as long as the store is.
    pub cache_memory: Option<Arc<Reservation>>,
    /// Longest time of one read or write, retries included, where the query sets no deadline.
    pub timeout: Duration,
    /// Requests at once of one read.
    pub concurrency: usize,
    /// Reads at once of the whole store, and other requests at once likewise; more wait.
    pub max_requests: usize,
    /// Ranges nearer than this may be fetched as one, bytes. No more is fetched in vain than is wanted.
    pub coalesce_gap: u64,
    /// Bytes that are read with a block's footer, before it, and kept: the page index most often lies there, and all of a
    /// small block.
    pub before_footer: u64,
    /// How often a failed read is tried again.
    pub max_retries: u32,
    /// A read that takes longer than most of its kind is sent once more, and the first answer counts: at most this many
    /// additional requests for each request. 0 = never.
    pub hedge_share: f64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            cache_memory: None,
            timeout: Duration::from_secs(60),
            concurrency: 32,
            max_requests: 64,
            coalesce_gap: 64 << 10,
            before_footer: 256 << 10,
            max_retries: 5,
            hedge_share: 0.1,
        }
    }
}

/// A cache on disk, behind the one in memory.
#[derive(Clone, Debug)]
pub struct DiskCacheOptions {
    /// Its folder, which is made if it is not there. Nothing else must use it.
    pub path: PathBuf,
    /// Most bytes it takes; at least [`DiskCacheOptions::MIN_BYTES`].
    pub bytes: u64,
}

impl DiskCacheOptions {
    /// The smallest cache on disk that is of use, bytes.
    pub const MIN_BYTES: u64 = 64 << 20;
}
