//! Keeps the bucket in order: tenant indexes and retention.
//!
//! Each cycle lists every tenant's blocks, marks those past their retention, deletes those marked long
//! enough ago, and writes the tenant index from which readers (Tempo's too) learn the block list.
//! Blocks are not merged yet.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use prometheus::{IntCounter, IntGaugeVec, register_int_counter, register_int_gauge_vec};
use tempoform_block::{BlockList, BlockMeta, BlockPath, BlockStore, CompactedMeta, TenantIndex};
use tempoform_core::{Account, Result, TenantId};
use uuid::Uuid;

/// Settings of a compactor.
#[derive(Clone)]
pub struct Options {
    /// Time between two cycles.
    pub cycle: Duration,
    /// How long blocks are kept, by tenant; zero = for ever.
    pub retention: Arc<dyn Fn(&TenantId) -> Duration + Send + Sync>,
    /// How long a marked block stays readable by id before it is deleted.
    pub compacted_retention: Duration,
    /// Metas read at once.
    pub concurrency: usize,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("cycle", &self.cycle).finish_non_exhaustive()
    }
}

/// Works through the tenants, cycle by cycle.
#[derive(Debug)]
pub struct Compactor {
    store: BlockStore,
    options: Options,
    /// Metas never change, so each is read once.
    known: HashMap<(TenantId, Uuid), BlockMeta>,
    account: Account,
}

/// A metric's registration fails only when its name is taken, which a test would show.
const REGISTERED: &str = "metric names are unique";

static BLOCKLIST_LENGTH: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "tempodb_compactor_blocklist_length",
        "Live blocks in the index written.",
        &["tenant"]
    )
    .expect(REGISTERED)
});
static INDEX_ERRORS: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "tempodb_blocklist_tenant_index_errors_total",
        "Tenant indexes that could not be written."
    )
    .expect(REGISTERED)
});
static MARKED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("tempodb_retention_marked_for_deletion_total", "Blocks past their retention.")
        .expect(REGISTERED)
});
static DELETED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("tempodb_retention_deleted_total", "Blocks deleted.").expect(REGISTERED)
});
static RETENTION_ERRORS: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("tempodb_retention_errors_total", "Blocks that could not be marked or deleted.")
        .expect(REGISTERED)
});

impl Compactor {
    /// A compactor over `store`.
    pub fn new(store: BlockStore, options: Options) -> Self {
        Self { store, options, known: HashMap::new(), account: Account::default() }
    }

    /// Runs cycle after cycle, for ever.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.cycle().await {
                tracing::error!(%error, "could not list the tenants");
            }
            tokio::time::sleep(self.options.cycle).await;
        }
    }

    /// One cycle. A tenant that fails does not keep the others waiting.
    ///
    /// # Errors
    /// When the tenants cannot be listed.
    pub async fn cycle(&mut self) -> Result<()> {
        let tenants = self.store.tenants(&self.account).await?;
        for tenant in &tenants {
            if let Err(error) = self.tenant(tenant).await {
                INDEX_ERRORS.inc();
                tracing::error!(%tenant, %error, "could not bring a tenant's blocks in order");
            }
        }
        self.known.retain(|(tenant, _), _| tenants.contains(tenant));
        Ok(())
    }

    async fn tenant(&mut self, tenant: &TenantId) -> Result<()> {
        let now = Timestamp::now();
        let mut blocks = self.store.blocks(tenant, &self.account).await?;
        self.read_metas(tenant, &blocks).await;
        self.mark_expired(tenant, &mut blocks, now).await;
        self.delete_old(tenant, &mut blocks, now).await;
        let index = self.index(tenant, &blocks, now);
        BLOCKLIST_LENGTH
            .with_label_values(&[tenant.as_str()])
            .set(i64::try_from(index.live.len()).unwrap_or(i64::MAX));
        let there: HashSet<Uuid> =
            blocks.live.iter().copied().chain(blocks.compacted.iter().map(|block| block.block)).collect();
        self.known.retain(|(of, block), _| of != tenant || there.contains(block));
        Ok(self.store.write_tenant_index(tenant, &index, &self.account).await?)
    }

    /// Reads the metas not known yet. A block whose meta cannot be read is left out of the index and named.
    async fn read_metas(&mut self, tenant: &TenantId, blocks: &BlockList) {
        let unknown = |block: &Uuid| !self.known.contains_key(&(tenant.clone(), *block));
        let live = blocks.live.iter().copied().filter(unknown).map(|block| (block, false));
        let compacted =
            blocks.compacted.iter().map(|block| block.block).filter(unknown).map(|block| (block, true));
        let wanted: Vec<(Uuid, bool)> = live.chain(compacted).collect();
        let read: Vec<_> = futures::stream::iter(wanted)
            // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
            .map(|(block, compacted)| {
                self.read_meta(BlockPath::new(tenant.clone(), block), compacted).boxed()
            })
            .buffer_unordered(self.options.concurrency.max(1))
            .collect()
            .await;
        for (path, meta) in read {
            match meta {
                Ok(meta) => {
                    self.known.insert((tenant.clone(), path.block()), meta);
                }
                Err(error) => {
                    tracing::warn!(block = %path, %error, "a block's meta cannot be read; the index leaves it out")
                }
            }
        }
    }

    async fn read_meta(
        &self,
        path: BlockPath,
        compacted: bool,
    ) -> (BlockPath, tempoform_block::Result<BlockMeta>) {
        let meta = if compacted {
            self.store.read_compacted_meta(&path, &self.account).await
        } else {
            self.store.read_meta(&path, &self.account).await
        };
        (path, meta)
    }

    async fn mark_expired(&self, tenant: &TenantId, blocks: &mut BlockList, now: Timestamp) {
        let retention = (self.options.retention)(tenant);
        if retention.is_zero() {
            return;
        }
        let Ok(cutoff) = now.checked_sub(retention) else { return };
        let expired: Vec<Uuid> = blocks
            .live
            .iter()
            .copied()
            .filter(|block| self.meta(tenant, block).is_some_and(|meta| meta.end_time < cutoff))
            .collect();
        for block in expired {
            let path = BlockPath::new(tenant.clone(), block);
            match self.store.mark_compacted(&path, &self.account).await {
                Ok(()) => {
                    MARKED.inc();
                    tracing::info!(block = %path, ?retention, "block is past its retention");
                    blocks.live.retain(|live| *live != block);
                    blocks.compacted.push(tempoform_block::CompactedBlock { block, since: now });
                }
                Err(error) => {
                    RETENTION_ERRORS.inc();
                    tracing::error!(block = %path, %error, "could not mark an expired block");
                }
            }
        }
    }

    async fn delete_old(&self, tenant: &TenantId, blocks: &mut BlockList, now: Timestamp) {
        let Ok(cutoff) = now.checked_sub(self.options.compacted_retention) else { return };
        let old: Vec<Uuid> =
            blocks.compacted.iter().filter(|block| block.since < cutoff).map(|block| block.block).collect();
        for block in old {
            let path = BlockPath::new(tenant.clone(), block);
            match self.store.delete_block(&path, &self.account).await {
                Ok(()) => {
                    DELETED.inc();
                    blocks.compacted.retain(|compacted| compacted.block != block);
                }
                Err(error) => {
                    RETENTION_ERRORS.inc();
                    tracing::error!(block = %path, %error, "could not delete an expired block");
                }
            }
        }
    }

    fn index(&self, tenant: &TenantId, blocks: &BlockList, now: Timestamp) -> TenantIndex {
        let live = blocks.live.iter().filter_map(|block| self.meta(tenant, block)).cloned().collect();
        let compacted = blocks
            .compacted
            .iter()
            .filter_map(|block| {
                let meta = self.meta(tenant, &block.block)?.clone();
                Some(CompactedMeta { meta, compacted_at: block.since })
            })
            .collect();
        TenantIndex { created_at: now, live, compacted }
    }

    fn meta(&self, tenant: &TenantId, block: &Uuid) -> Option<&BlockMeta> {
        self.known.get(&(tenant.clone(), *block))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempoform_block::{BlockObjects, BlockVersion};

    use super::*;

    async fn write(store: &BlockStore, tenant: &TenantId, end: Timestamp) -> Uuid {
        let id = Uuid::new_v4();
        let mut meta = BlockMeta::new(BlockVersion::VParquet4, id, tenant.as_str());
        (meta.start_time, meta.end_time, meta.size, meta.total_records) = (end, end, 4, 1);
        let account = Account::default();
        let mut upload = store.upload(BlockPath::new(tenant.clone(), id));
        upload.write(Bytes::from_static(b"PAR1"), &account).await.expect("written");
        upload.finish(BlockObjects::default(), &meta, &account).await.expect("finished");
        id
    }

    fn compactor(store: &BlockStore, compacted_retention: Duration) -> Compactor {
        let options = Options {
            cycle: Duration::from_secs(1),
            retention: Arc::new(|_| Duration::from_secs(3600)),
            compacted_retention,
            concurrency: 4,
        };
        Compactor::new(store.clone(), options)
    }

    #[tokio::test]
    async fn an_expired_block_is_marked_then_deleted_and_the_index_follows() {
        let store = BlockStore::in_memory();
        let tenant = TenantId::single();
        let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
        let young = write(&store, &tenant, now).await;
        let old = write(&store, &tenant, now - Duration::from_secs(7200)).await;
        let account = Account::default();

        compactor(&store, Duration::from_secs(3600)).cycle().await.expect("a cycle");
        let index = store.read_tenant_index(&tenant, &account).await.expect("readable").expect("an index");
        let live: Vec<Uuid> = index.live.iter().map(|meta| meta.block_id).collect();
        let compacted: Vec<Uuid> = index.compacted.iter().map(|block| block.meta.block_id).collect();
        assert_eq!((live, compacted), (vec![young], vec![old]));
        let marked = store.blocks(&tenant, &account).await.expect("listed");
        assert_eq!((marked.live, marked.compacted.len()), (vec![young], 1));

        tokio::time::sleep(Duration::from_millis(1100)).await;
        compactor(&store, Duration::ZERO).cycle().await.expect("a cycle");
        let left = store.blocks(&tenant, &account).await.expect("listed");
        assert_eq!((left.live, left.compacted.len()), (vec![young], 0));
    }
}
