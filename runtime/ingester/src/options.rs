use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempoform_block::{BlockMeta, DedicatedColumn};
use tempoform_core::TenantId;
use tempoform_wire::internal::{SettleRequest, SettleResponse};

/// What an acknowledged write has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on disk (`fdatasync`).
    Sync,
    /// It is with the operating system, which is told to write it every `sync_period`.
    Async {
        /// What a power cut may take.
        sync_period: Duration,
    },
}

/// A setting that tenants may have of their own, as it is at the moment of the call.
pub type ByTenant<T> = Arc<dyn Fn(&TenantId) -> T + Send + Sync>;

/// Hears of blocks that were uploaded.
#[async_trait::async_trait]
pub trait Uploaded: Send + Sync {
    /// Passes the news of a block on. It is in storage whether or not that works.
    async fn uploaded(&self, tenant: &TenantId, meta: &BlockMeta);
}

/// The other ingesters of the cluster.
#[async_trait::async_trait]
pub trait OtherIngesters: Send + Sync {
    /// Tells and asks all that serve what became of batches; the answers of those that gave one in time.
    async fn settle(&self, tenant: &TenantId, request: SettleRequest) -> Vec<SettleResponse>;
}

/// Settings of an ingester.
#[derive(Clone)]
pub struct Options {
    /// Folder of the write-ahead log.
    pub wal_path: PathBuf,
    /// What an acknowledged write has survived.
    pub durability: Durability,
    /// How long after its last span a trace counts as live.
    pub trace_idle_period: Duration,
    /// A segment of this many bytes is made into a block.
    pub max_block_bytes: u64,
    /// A segment this old is made into a block.
    pub max_block_duration: Duration,
    /// How often ages are looked at.
    pub flush_check_period: Duration,
    /// Blocks built and uploaded at once.
    pub concurrent_flushes: usize,
    /// Longest time for one upload.
    pub flush_timeout: Duration,
    /// How long an uploaded block is named to readers whose block list may not have it yet.
    pub fresh_for: Duration,
    /// Replication factor written into metas: 1 when a span is in one ingester, else 0 ("needs
    /// deduplication").
    pub meta_replication_factor: u32,
    /// Columns for attributes of their own, by tenant.
    pub dedicated_columns: ByTenant<Vec<DedicatedColumn>>,
    /// Bloom false positive rate, 0 to 1.
    pub bloom_false_positive: f64,
    /// Bytes of a bloom shard.
    pub bloom_shard_size_bytes: u32,
    /// Bytes of input in one row group.
    pub row_group_bytes: u64,
    /// Most bytes of one trace within a segment, by tenant; 0 = no limit.
    pub max_trace_bytes: ByTenant<u64>,
    /// Told of each block once it is verified in storage, before its log goes; readers that hear of it need not look for
    /// it.
    pub uploaded: Option<Arc<dyn Uploaded>>,
    /// Those that follow what this one leads, and lead what it follows, if there are any.
    pub others: Option<Arc<dyn OtherIngesters>>,
    /// How long a followed batch that nobody leads is waited for, before a block is made of it here.
    pub take_over_after: Duration,
    /// Most live traces, by tenant; 0 = no limit.
    pub max_live_traces: ByTenant<u32>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("wal_path", &self.wal_path).finish_non_exhaustive()
    }
}
