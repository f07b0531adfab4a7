//! What goes: blocks past their retention, in two steps, and what a crash left half written.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tempoform_block::{BlockList, BlockMeta, BlockPath, BlockState, CompactedBlock, ListedBlock};
use uuid::Uuid;

use crate::metrics;
use crate::tenant::Tenant;

/// A folder without a meta that nobody wrote to for this long was left by a crash; an upload takes minutes.
pub(crate) const HALF_WRITTEN: SignedDuration = SignedDuration::from_hours(24);

/// Whether a block is past `retention`: by its spans' times or, where these say nothing useful, by when it was written.
///
/// Clients with a wrong clock and those that send old spans late make blocks that would be expired at birth, or never.
pub(crate) fn is_expired(
    meta: &BlockMeta,
    written: Timestamp,
    retention: SignedDuration,
    now: Timestamp,
) -> bool {
    let old_at_birth = written.duration_since(meta.end_time) >= retention;
    let from_the_future = meta.end_time > written;
    let counted_from = if old_at_birth || from_the_future { written } else { meta.end_time };
    now.duration_since(counted_from) > retention
}

impl Tenant {
    /// Turns blocks past their retention into compacted ones: readers stop searching them.
    pub(crate) async fn mark_expired(&mut self, blocks: &mut BlockList, now: Timestamp) {
        let retention = (self.shared.options.retention)(&self.id);
        let Ok(retention) = SignedDuration::try_from(retention) else { return };
        if retention.is_zero() {
            return;
        }
        let is_expired = |live: &&ListedBlock| {
            match self.meta(&live.block) {
                Some(meta) => is_expired(meta, live.written, retention, now),
                // Nobody can tell when its spans were.
                None => self.is_unreadable(&live.block) && now.duration_since(live.written) > retention,
            }
        };
        let expired: Vec<Uuid> = blocks.live.iter().filter(is_expired).map(|live| live.block).collect();
        let shared = Arc::clone(&self.shared);
        let shared = shared.as_ref();
        let marked = self.each(expired, |path| async move {
            let marked = shared.store.mark_compacted(&path, &shared.account).await;
            match &marked {
                Ok(()) => {
                    metrics::MARKED.inc();
                    tracing::info!(block = %path, %retention, "block is past its retention");
                }
                Err(error) => {
                    metrics::RETENTION_ERRORS.inc();
                    tracing::error!(block = %path, %error, "could not mark an expired block");
                }
            }
            marked.is_ok()
        });
        let marked = marked.await;
        for block in marked {
            self.meta_moved(&block);
            blocks.live.retain(|live| live.block != block);
            blocks.compacted.push(CompactedBlock { block, since: now });
        }
    }

    /// Deletes blocks that were marked long enough ago.
    pub(crate) async fn delete_old(&self, blocks: &mut BlockList, now: Timestamp) {
        let Ok(cutoff) = now.checked_sub(self.shared.options.compacted_retention) else { return };
        let old: Vec<Uuid> =
            blocks.compacted.iter().filter(|block| block.since < cutoff).map(|block| block.block).collect();
        let deleted = self.each(old, |path| async move { self.delete(&path).await });
        for block in deleted.await {
            metrics::DELETED.inc();
            blocks.compacted.retain(|compacted| compacted.block != block);
        }
    }

    /// Deletes what uploads that did not come to their end left behind.
    pub(crate) async fn delete_leftovers(&self, blocks: &BlockList, now: Timestamp) {
        let Ok(cutoff) = now.checked_sub(HALF_WRITTEN) else { return };
        let left = blocks.half_written.iter().filter(|block| block.last_written < cutoff);
        let left = left.map(|block| block.block).collect();
        let deleted = self.each(left, |path| async move {
            // The listing is as old as the cycle; an ingester that comes back late writes its block again.
            let folder = self.shared.store.folder(&path, &self.shared.account).await;
            let is_left =
                folder.is_ok_and(|folder| folder.state == BlockState::HalfWritten && folder.since < cutoff);
            is_left && self.delete(&path).await
        });
        for block in deleted.await {
            metrics::LEFTOVERS.inc();
            tracing::info!(tenant = %self.id, %block, "deleted a half-written block");
        }
    }

    async fn delete(&self, path: &BlockPath) -> bool {
        let deleted = self.shared.store.delete_block(path, &self.shared.account).await;
        if let Err(error) = &deleted {
            metrics::RETENTION_ERRORS.inc();
            tracing::error!(block = %path, %error, "could not delete a block");
        }
        deleted.is_ok()
    }

    /// Does something with several blocks at once; those for which it worked.
    async fn each<F: Future<Output = bool>>(
        &self,
        blocks: Vec<Uuid>,
        work: impl Fn(BlockPath) -> F,
    ) -> Vec<Uuid> {
        let work = &work;
        stream::iter(blocks)
            .map(|block| async move { work(self.path(block)).await.then_some(block) })
            .buffer_unordered(self.shared.options.retention_concurrency.max(1))
            .filter_map(std::future::ready)
            .collect()
            .await
    }
}
