use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::{ByteSize, GoDuration};

/// Merges blocks and applies retention.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compactor {
    /// What is merged and what is deleted.
    pub compaction: Compaction,
}

/// What is merged and what is deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compaction {
    /// Age at which a block is dropped; a tenant's `compaction.block_retention` wins. Default 336h.
    pub block_retention: GoDuration,
    /// How long a merged or expired block is kept for readers that still know it. Default 1h.
    pub compacted_block_retention: GoDuration,
    /// Blocks are merged with those of the same window of time. Default 1h.
    pub compaction_window: GoDuration,
    /// Largest block made by merging, bytes. Default 100 GiB.
    pub max_block_bytes: ByteSize,
    /// Most traces in a block made by merging. Default 6000000.
    pub max_compaction_objects: u64,
    /// Time between two looks for work. Default 30s.
    pub compaction_cycle: GoDuration,
    /// Longest time spent on one tenant before the next gets its turn. Default 5m.
    pub max_time_per_tenant: GoDuration,
    /// Blocks deleted at once. Default 10.
    pub retention_concurrency: u32,
    /// Merges at once, of all tenants; each takes about one core, and memory of `memory.limit_bytes`. 0 means one for each
    /// core. Default 0.
    pub concurrent_merges: u32,
    /// Age at which an upload in parts that nobody finished is removed from the bucket: a killed process leaves them, and
    /// they cost money. 0 leaves them. Default 24h.
    pub unfinished_upload_age: GoDuration,
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            block_retention: GoDuration::from_hours(336),
            compacted_block_retention: GoDuration::from_hours(1),
            compaction_window: GoDuration::from_hours(1),
            max_block_bytes: ByteSize(100 << 30),
            max_compaction_objects: 6_000_000,
            compaction_cycle: GoDuration::from_secs(30),
            max_time_per_tenant: GoDuration::from_mins(5),
            retention_concurrency: 10,
            concurrent_merges: 0,
            unfinished_upload_age: GoDuration::from_hours(24),
        }
    }
}
