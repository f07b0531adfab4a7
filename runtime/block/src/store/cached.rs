//! Reading what does not change: from memory, from disk, with somebody who reads the same, or from the store.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use object_store::path::Path;
use tempoform_core::{Account, CacheTier, RequestKind, Step};

use super::cache::Key;
use super::flights::{Flight, Flights};
use super::reads::Read;
use super::{BlockStore, Content};
use crate::error::{BlockError, Result};

/// The reads that are under way.
pub(super) type ReadsUnderway = Flights<Key, Result<Loaded, Arc<BlockError>>>;

/// What was read, and whether it was on disk.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    bytes: Bytes,
    from_disk: bool,
}

impl BlockStore {
    /// An object, or a range of one, of the block that `content` is of.
    ///
    /// # Errors
    /// As [`BlockStore::read`]; also when the object ends before the range does.
    pub(super) async fn cached(
        &self,
        kind: RequestKind,
        path: &Path,
        content: Content,
        range: Option<Range<u64>>,
        account: &Account,
        step: &Step,
    ) -> Result<Bytes> {
        let (caches, metrics) = (&self.0.caches, &self.0.metrics);
        let key = Key::new(path, content, range.as_ref());
        if let Some(bytes) = caches.get(kind, &key) {
            account.cache_hit(CacheTier::Memory, bytes.len() as u64);
            metrics.cache_hit(kind, CacheTier::Memory);
            return Ok(bytes);
        }
        let read = Read { kind, path: path.clone(), key: self.key(path), range };
        loop {
            let Flight { outcome, is_own } = self
                .0
                .flights
                .join(&key, || load(self.clone(), read.clone(), key.clone(), account.clone()).boxed());
            let outcome = within(account, path, outcome).await?;
            match outcome {
                Ok(Loaded { bytes, from_disk: true }) => {
                    account.cache_hit(CacheTier::Disk, bytes.len() as u64);
                    metrics.cache_hit(kind, CacheTier::Disk);
                    return Ok(bytes);
                }
                Ok(Loaded { bytes, from_disk: false }) => {
                    if !is_own {
                        account.joined();
                        metrics.joined(kind);
                    }
                    step.done();
                    return Ok(bytes);
                }
                // Their query was over, or had asked for too much. Ours has not.
                Err(error) if !is_own && ended_with_its_query(&error) => {}
                Err(error) => {
                    step.done();
                    return Err(Arc::try_unwrap(error).unwrap_or_else(BlockError::Shared));
                }
            }
        }
    }
}

/// From disk or from the store. What comes is kept in memory, and what comes from the store on disk.
async fn load(store: BlockStore, read: Read, key: Key, account: Account) -> Result<Loaded, Arc<BlockError>> {
    let (caches, kind) = (&store.0.caches, read.kind);
    if let Some(disk) = caches.disk.get()
        && let Some(bytes) = disk.get(kind, &key).await
    {
        caches.put(kind, &key, &bytes);
        return Ok(Loaded { bytes, from_disk: true });
    }
    store.0.metrics.cache_miss(kind);
    let bytes = store.0.reads.get(&read, &account).await?;
    caches.put(kind, &key, &bytes);
    if let Some(disk) = caches.disk.get() {
        disk.put(kind, &key, &bytes);
    }
    Ok(Loaded { bytes, from_disk: false })
}

/// Waits as long as the query has time, whoever reads.
async fn within<T>(account: &Account, path: &Path, outcome: impl Future<Output = T>) -> Result<T> {
    let Some(deadline) = account.deadline() else { return Ok(outcome.await) };
    let after = deadline.saturating_duration_since(tokio::time::Instant::now());
    let waited = tokio::time::timeout_at(deadline, outcome).await;
    waited.map_err(|_| BlockError::Timeout { operation: "GET", path: path.clone(), after })
}

fn ended_with_its_query(error: &BlockError) -> bool {
    matches!(error, BlockError::Timeout { .. } | BlockError::TooManyRequests { .. })
}
