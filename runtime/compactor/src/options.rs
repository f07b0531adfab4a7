use std::sync::Arc;
use std::time::Duration;

use tempoform_core::{MemoryBudget, TenantId};

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
    /// Blocks marked or deleted at once.
    pub retention_concurrency: usize,
    /// Window of time whose blocks are merged, by tenant; zero = blocks are not merged.
    pub window: Arc<dyn Fn(&TenantId) -> Duration + Send + Sync>,
    /// Largest block made by merging, bytes.
    pub max_block_bytes: u64,
    /// Most traces in a block made by merging.
    pub max_traces: u64,
    /// Longest time spent merging one tenant's blocks in a cycle.
    pub max_time_per_tenant: Duration,
    /// Merges at once, of all tenants; each takes about one core.
    pub concurrent_merges: usize,
    /// Uploads in parts that were begun longer ago than this are removed; zero = none is.
    pub unfinished_upload_age: Duration,
    /// Whether a piece of work with this name is this compactor's.
    pub owns: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Where memory for merging is reserved.
    pub memory: MemoryBudget,
    /// Bytes of input in one row group.
    pub row_group_bytes: u64,
    /// Bloom false positive rate, 0 to 1.
    pub bloom_false_positive: f64,
    /// Bytes of a bloom shard.
    pub bloom_shard_size_bytes: u32,
    /// Most bytes of a block's `tempoform.extra`, not compressed; [`tempoform_block::extra::MAX_BYTES`] but for tests.
    pub max_sidecar_bytes: u64,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("cycle", &self.cycle).finish_non_exhaustive()
    }
}
