//! One tenant's blocks, brought in order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tempoform_block::{
    BlockError, BlockList, BlockMeta, BlockPath, CompactedBlock, CompactedMeta, TenantIndex,
};
use tempoform_core::{Error, Result, TenantId};
use uuid::Uuid;

use crate::aside::{Aside, Lasts};
use crate::compactor::Shared;
use crate::metrics;

/// A tenant, for one cycle.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: TenantId,
    pub(crate) known: Known,
}

/// What is known of a tenant's blocks from one cycle to the next.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Metas hardly ever change, so each is read once.
    metas: HashMap<Uuid, KnownMeta>,
    /// Blocks that merging leaves out.
    pub(crate) aside: BTreeMap<Uuid, Aside>,
}

/// A meta as it was read.
#[derive(Debug)]
struct KnownMeta {
    /// When the meta was written that this is; `None` when this process has just done that. A crash can lead to another
    /// block under the same id.
    written: Option<Timestamp>,
    /// `None` when it cannot be understood.
    meta: Option<Arc<BlockMeta>>,
}

impl Tenant {
    pub(crate) async fn cycle(&mut self) -> Result<()> {
        let now = Timestamp::now();
        let mut blocks = self.shared.store.blocks(&self.id, &self.shared.account).await?;
        self.forget_gone(&blocks);
        self.learn_aside(&blocks, now).await;
        self.read_metas(&blocks).await;
        self.mark_merged(&mut blocks).await;
        self.merge(&mut blocks, now).await;
        // The rest is small work over the whole tenant, so one does all of it.
        if !(self.shared.options.owns)(&format!("index/{}", self.id)) {
            return Ok(());
        }
        self.mark_expired(&mut blocks, now).await;
        self.delete_old(&mut blocks, now).await;
        self.delete_leftovers(&blocks, now).await;
        let index = self.index(&blocks, now);
        let length = i64::try_from(index.live.len()).unwrap_or(i64::MAX);
        metrics::BLOCKLIST_LENGTH.with_label_values(&[self.id.as_str()]).set(length);
        self.shared.store.write_tenant_index(&self.id, &index, &self.shared.account).await?;
        Ok(())
    }

    pub(crate) fn path(&self, block: Uuid) -> BlockPath {
        BlockPath::new(self.id.clone(), block)
    }

    /// A block's meta, where it can be understood.
    pub(crate) fn meta(&self, block: &Uuid) -> Option<&Arc<BlockMeta>> {
        self.known.metas.get(block)?.meta.as_ref()
    }

    /// Whether a block's meta was read and cannot be understood.
    pub(crate) fn is_unreadable(&self, block: &Uuid) -> bool {
        self.known.metas.get(block).is_some_and(|known| known.meta.is_none())
    }

    /// A block that was just written.
    pub(crate) fn add_meta(&mut self, meta: BlockMeta) {
        let known = KnownMeta { written: None, meta: Some(Arc::new(meta)) };
        self.known.metas.insert(known.meta.as_ref().map_or_else(Uuid::nil, |meta| meta.block_id), known);
    }

    /// A block whose meta was just moved by [`tempoform_block::BlockStore::mark_compacted`].
    pub(crate) fn meta_moved(&mut self, block: &Uuid) {
        if let Some(known) = self.known.metas.get_mut(block) {
            known.written = None;
        }
    }

    fn forget_gone(&mut self, blocks: &BlockList) {
        let live: HashSet<Uuid> = blocks.live.iter().map(|live| live.block).collect();
        let compacted = blocks.compacted.iter().map(|block| block.block);
        let there: HashSet<Uuid> = live.iter().copied().chain(compacted).collect();
        self.known.metas.retain(|block, _| there.contains(block));
        self.known.aside.retain(|block, _| live.contains(block));
    }

    /// Reads the metas not known yet. A block whose meta cannot be read is left out of the index and named.
    async fn read_metas(&mut self, blocks: &BlockList) {
        let live = blocks.live.iter().map(|live| (live.block, live.written, false));
        let compacted = blocks.compacted.iter().map(|block| (block.block, block.since, true));
        let mut wanted = Vec::new();
        let Known { metas, aside } = &mut self.known;
        for (block, written, is_compacted) in live.chain(compacted) {
            // One that cannot be understood is read again once it is tried again.
            let is_settled =
                |known: &KnownMeta| is_compacted || known.meta.is_some() || aside.contains_key(&block);
            match metas.get_mut(&block) {
                Some(known) if known.written.is_none_or(|known| known == written) && is_settled(known) => {
                    known.written = Some(written);
                }
                _ => wanted.push((block, written, is_compacted)),
            }
        }
        let read: Vec<_> = futures::stream::iter(wanted)
            // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
            .map(|(block, written, is_compacted)| {
                let (shared, path) = (Arc::clone(&self.shared), self.path(block));
                async move {
                    let meta = if is_compacted {
                        shared.store.read_compacted_meta(&path, &shared.account).await
                    } else {
                        shared.store.read_meta(&path, &shared.account).await
                    };
                    (block, written, is_compacted, meta)
                }
                .boxed()
            })
            .buffer_unordered(self.shared.options.concurrency.max(1))
            .collect()
            .await;
        for (block, written, is_compacted, meta) in read {
            match meta {
                Ok(meta) => {
                    let known = KnownMeta { written: Some(written), meta: Some(Arc::new(meta)) };
                    self.known.metas.insert(block, known);
                }
                Err(error @ BlockError::Corrupt { .. }) => {
                    let known = KnownMeta { written: Some(written), meta: None };
                    self.known.metas.insert(block, known);
                    if !is_compacted {
                        self.set_aside(block, &Error::from(error).to_string(), Lasts::Noted).await;
                    }
                }
                Err(error) => {
                    let block = self.path(block);
                    tracing::warn!(%block, error = %Error::from(error), "a block's meta cannot be read; the index leaves it out");
                }
            }
        }
    }

    /// Marks blocks that live ones were merged from: a crash came before that was done.
    async fn mark_merged(&mut self, blocks: &mut BlockList) {
        let written: HashMap<Uuid, Timestamp> =
            blocks.live.iter().map(|live| (live.block, live.written)).collect();
        let mut left: BTreeMap<Uuid, Uuid> = BTreeMap::new();
        for live in blocks.live.iter().filter(|live| !self.known.aside.contains_key(&live.block)) {
            let inputs = self.meta(&live.block).into_iter().flat_map(|meta| &meta.merged_from);
            // One that was written later may have more in it, and is merged again.
            let older =
                inputs.filter(|input| written.get(*input).is_some_and(|input| *input <= live.written));
            left.extend(older.map(|input| (*input, live.block)));
        }
        for (block, into) in left {
            let path = self.path(block);
            if !matches!(self.shared.has_whole(&self.path(into)).await, Ok(true)) {
                tracing::warn!(block = %path, into = %self.path(into), "a block that was merged stays: the one it went into is not there as a whole");
                continue;
            }
            match self.shared.store.mark_compacted(&path, &self.shared.account).await {
                Err(error) if !error.is_not_found() => {
                    metrics::ERRORS.inc();
                    tracing::warn!(block = %path, error = %Error::from(error), "a block that was merged could not be marked");
                }
                _ => {
                    tracing::info!(block = %path, "was merged before; it goes now");
                    self.meta_moved(&block);
                    blocks.live.retain(|live| live.block != block);
                    blocks.compacted.push(CompactedBlock { block, since: Timestamp::now() });
                }
            }
        }
    }

    fn index(&self, blocks: &BlockList, now: Timestamp) -> TenantIndex {
        let meta = |block: &Uuid| self.meta(block).map(|meta| BlockMeta::clone(meta));
        let live = blocks.live.iter().filter_map(|live| meta(&live.block)).collect();
        let compacted = blocks
            .compacted
            .iter()
            .filter_map(|block| Some(CompactedMeta { meta: meta(&block.block)?, compacted_at: block.since }))
            .collect();
        TenantIndex { created_at: now, live, compacted }
    }
}
