use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::ByteSize;

/// The one reader of object storage for queries. Tempo has no such component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retriever {
    /// Memory for blooms (half of it), footers and pages (a quarter each) of blocks, bytes; 0 keeps nothing. It is part of
    /// `memory.limit_bytes`, at most half of it, and a quarter where the process runs all components. Default 64 MiB.
    pub cache_bytes: ByteSize,
    /// A cache on disk behind the one in memory.
    pub disk_cache: DiskCache,
    /// Blocks searched at once. Default 8.
    pub concurrent_blocks: u32,
    /// Requests to object storage under way at once. Default 64.
    pub concurrent_requests: u32,
    /// Requests to object storage that one query may make; then its answer is partial, and says so. 0 sets no limit.
    /// Default 100000.
    pub max_requests_per_query: u64,
    /// Reads that are slower than 95 of 100 of their kind are sent once more, and the first answer counts: at most this
    /// many in a hundred; 0 sends none. Default 10.
    pub hedged_requests_percent: u32,
}

impl Default for Retriever {
    fn default() -> Self {
        Self {
            cache_bytes: ByteSize::from_mib(64),
            disk_cache: DiskCache::default(),
            concurrent_blocks: 8,
            concurrent_requests: 64,
            max_requests_per_query: 100_000,
            hedged_requests_percent: 10,
        }
    }
}

/// A cache on disk. What a process kept, the next one finds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiskCache {
    /// Its folder, which nothing else uses; empty means no cache on disk. Default empty.
    pub path: String,
    /// Most bytes it takes, 64 MiB or more. Required with `path`. Default 0.
    pub bytes: ByteSize,
}

impl DiskCache {
    /// The smallest cache on disk.
    pub const MIN_BYTES: ByteSize = ByteSize::from_mib(64);
}
