//! Keeping the block list: from a tenant's index when there is a fresh one, else from a listing of the bucket.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tempoform_block::{BlockError, BlockMeta, BlockPath, BlockStore, TenantIndex};
use tempoform_core::{Account, TenantId};
use tempoform_wire::internal::Failure;
use uuid::Uuid;

use crate::RetrieverOptions;
use crate::block_list::{BlockList, Compacted, TenantBlocks, Unreadable};
use crate::metrics;

type Metas = HashMap<Uuid, Arc<BlockMeta>>;

/// Reads block lists.
pub(crate) struct Poller<'a> {
    pub(crate) store: &'a BlockStore,
    pub(crate) options: &'a RetrieverOptions,
    pub(crate) account: &'a Account,
}

impl Poller<'_> {
    /// The list as it is now. A tenant that cannot be listed keeps what `previous` has of it.
    ///
    /// # Errors
    /// When the tenants cannot be listed.
    pub(crate) async fn poll(&self, previous: &BlockList) -> Result<BlockList, BlockError> {
        let mut list = BlockList::empty(Instant::now());
        let tenants = self.store.tenants(self.account).await?;
        metrics::forget_tenants(previous.tenants.keys().filter(|tenant| !tenants.contains(tenant)));
        let polled = stream::iter(tenants)
            .map(|tenant| {
                let known = previous.tenants.get(&tenant);
                // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
                async move { (self.tenant(&tenant, known.map(Arc::as_ref)).await, tenant) }.boxed()
            })
            .buffer_unordered(self.options.poll_concurrency.max(1));
        let mut polled = std::pin::pin!(polled);
        while let Some((blocks, tenant)) = polled.next().await {
            match blocks {
                Ok(blocks) => {
                    metrics::BLOCK_LIST_LENGTH
                        .with_label_values(&[tenant.as_str()])
                        .set(blocks.live.len() as i64);
                    list.tenants.insert(tenant, Arc::new(blocks));
                }
                Err(error) => {
                    metrics::POLL_ERRORS.with_label_values(&[tenant.as_str()]).inc();
                    let error = tempoform_core::Error::from(error);
                    tracing::warn!(%tenant, %error, "the tenant's blocks cannot be listed");
                    match previous.tenants.get(&tenant) {
                        Some(known) => drop(list.tenants.insert(tenant, Arc::clone(known))),
                        None => drop(list.unlisted.insert(tenant, error.message().to_owned())),
                    }
                }
            }
        }
        Ok(list)
    }

    async fn tenant(
        &self,
        tenant: &TenantId,
        known: Option<&TenantBlocks>,
    ) -> Result<TenantBlocks, BlockError> {
        let started = Instant::now();
        Ok(self.read(tenant, known).await?.polled_at(started))
    }

    async fn read(
        &self,
        tenant: &TenantId,
        known: Option<&TenantBlocks>,
    ) -> Result<TenantBlocks, BlockError> {
        let index = self.store.read_tenant_index(tenant, self.account).await;
        if let Ok(index) = &index {
            metrics::index_age(
                tenant,
                index.as_ref().map(|index| Timestamp::now().duration_since(index.created_at)),
            );
        }
        match index {
            Ok(Some(index)) if self.is_fresh(&index) => {
                return self.catch_up(tenant, from_index(index, known), known).await;
            }
            Ok(Some(index)) => {
                tracing::debug!(%tenant, created_at = %index.created_at, "the tenant index is too old, listing the bucket");
            }
            Ok(None) => {}
            Err(error) => {
                metrics::INDEX_ERRORS.with_label_values(&[tenant.as_str()]).inc();
                tracing::warn!(%tenant, error = %tempoform_core::Error::from(error), "the tenant index cannot be read, listing the bucket");
            }
        }
        self.list(tenant, known).await
    }

    /// Adds blocks that were written after the index was: a listing of folder names is a request for a thousand blocks.
    async fn catch_up(
        &self,
        tenant: &TenantId,
        mut listed: TenantBlocks,
        previous: Option<&TenantBlocks>,
    ) -> Result<TenantBlocks, BlockError> {
        let previous: HashMap<Uuid, &Arc<BlockMeta>> =
            previous.into_iter().flat_map(|known| &known.live).map(|meta| (meta.block_id, meta)).collect();
        let heard_of = listed.heard_of();
        let folders = self.store.block_folders(tenant, self.account).await?;
        let mut unknown = Vec::new();
        for block in folders.into_iter().filter(|block| !heard_of.contains(block)) {
            match previous.get(&block) {
                Some(meta) => listed.add(Arc::clone(meta)),
                None => unknown.push(block),
            }
        }
        let metas = stream::iter(unknown)
            .map(|block| async move { (block, self.meta(tenant, block, false).await) }.boxed())
            .buffer_unordered(self.options.poll_concurrency.max(1));
        let mut metas = std::pin::pin!(metas);
        while let Some((block, meta)) = metas.next().await {
            match meta {
                Ok(meta) => listed.add(Arc::new(meta)),
                // Half written, or deleted meanwhile.
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    let error = tempoform_core::Error::from(error);
                    tracing::warn!(%tenant, %block, %error, "a block's meta cannot be read");
                    let failure =
                        Failure { source: format!("block {block}"), message: error.message().to_owned() };
                    listed.unreadable.push(Unreadable { failure, meta: None });
                }
            }
        }
        Ok(listed)
    }

    fn is_fresh(&self, index: &TenantIndex) -> bool {
        let Some(max_age) = self.options.max_index_age else { return true };
        SignedDuration::try_from(max_age)
            .is_ok_and(|max_age| Timestamp::now().duration_since(index.created_at) <= max_age)
    }

    /// Lists the tenant's folder and reads the metas that are not known yet.
    async fn list(
        &self,
        tenant: &TenantId,
        known: Option<&TenantBlocks>,
    ) -> Result<TenantBlocks, BlockError> {
        let as_of = Timestamp::now();
        let listed = self.store.blocks(tenant, self.account).await?;
        let all_known = known_metas(known);
        // A block that was written again since, after a crash, has another meta.
        let written: HashMap<Uuid, Timestamp> =
            listed.live.iter().map(|live| (live.block, live.written)).collect();
        let is_as_known = |block: &Uuid| {
            let written = written.get(block).copied();
            known.zip(written).is_none_or(|(known, written)| !known.may_miss(written))
        };
        let known: Metas = all_known.clone().into_iter().filter(|(block, _)| is_as_known(block)).collect();

        let live = listed.live.into_iter().map(|live| (live.block, None));
        let compacted =
            listed.compacted.into_iter().map(|compacted| (compacted.block, Some(compacted.since)));
        let metas = stream::iter(live.chain(compacted))
            .map(|(block, since)| {
                let known = known.get(&block).cloned();
                async move {
                    match known {
                        Some(meta) => (block, since, Ok(meta)),
                        None => (block, since, self.meta(tenant, block, since.is_some()).await.map(Arc::new)),
                    }
                }
                .boxed()
            })
            .buffer_unordered(self.options.poll_concurrency.max(1));
        let mut metas = std::pin::pin!(metas);
        let (mut live, mut compacted, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        while let Some((block, since, meta)) = metas.next().await {
            match (meta, since) {
                (Ok(meta), None) => live.push(meta),
                (Ok(meta), Some(since)) => compacted.push(Compacted { meta, since }),
                // Deleted since it was listed.
                (Err(error), _) if error.is_not_found() => {}
                // Neither damage nor a store that fails at this one keeps the others from being listed.
                (Err(error), since) => {
                    let error = tempoform_core::Error::from(error);
                    tracing::warn!(%tenant, %block, %error, "a block's meta cannot be read");
                    if let Some(meta) = all_known.get(&block).filter(|_| since.is_none()) {
                        live.push(Arc::clone(meta));
                    } else if since.is_none() {
                        let failure =
                            Failure { source: format!("block {block}"), message: error.message().to_owned() };
                        unreadable.push(Unreadable { failure, meta: None });
                    }
                }
            }
        }
        Ok(TenantBlocks::new(live, compacted, unreadable, as_of))
    }

    /// A block's meta. A live block may have been compacted since it was listed; it still counts as live then.
    async fn meta(&self, tenant: &TenantId, block: Uuid, compacted: bool) -> Result<BlockMeta, BlockError> {
        let path = BlockPath::new(tenant.clone(), block);
        if !compacted {
            match self.store.read_meta(&path, self.account).await {
                Err(error) if error.is_not_found() => {}
                answer => return answer,
            }
        }
        self.store.read_compacted_meta(&path, self.account).await
    }
}

fn from_index(index: TenantIndex, known: Option<&TenantBlocks>) -> TenantBlocks {
    let known = known_metas(known);
    // Sharing saves memory. A block hardly ever changes, but may be written again after a crash.
    let share = |meta: BlockMeta| {
        known.get(&meta.block_id).filter(|known| ***known == meta).cloned().unwrap_or_else(|| Arc::new(meta))
    };
    let TenantIndex { created_at, live, compacted } = index;
    let compacted = compacted
        .into_iter()
        .map(|compacted| Compacted { meta: share(compacted.meta), since: compacted.compacted_at })
        .collect();
    TenantBlocks::new(live.into_iter().map(share).collect(), compacted, Vec::new(), created_at)
}

fn known_metas(known: Option<&TenantBlocks>) -> Metas {
    known.into_iter().flat_map(TenantBlocks::metas).map(|meta| (meta.block_id, Arc::clone(meta))).collect()
}
