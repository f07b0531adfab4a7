use std::time::Duration;

use tempoform_core::MemoryBudget;

/// How a [`Retriever`](crate::Retriever) works. (The cache is the store's, see `tempoform_block::StoreOptions`.)
#[derive(Clone, Debug)]
pub struct RetrieverOptions {
    /// Time between the end of a poll of the block list and the next. What ingesters uploaded since
    /// comes with each query, so that this may be long.
    pub poll_interval: Duration,
    /// A tenant index older than this is not trusted: the bucket is listed. `None` = any age is good,
    /// which is right only while somebody keeps writing it.
    pub max_index_age: Option<Duration>,
    /// Tenants polled at once, and metas read at once for each.
    pub poll_concurrency: usize,
    /// Bloom filters that one query reads at once. They are small, and a trace may be in any block.
    pub blooms_per_query: usize,
    /// Blocks that one query reads at once.
    pub blocks_per_query: usize,
    /// Blocks that the process decodes and evaluates at once; each takes one thread.
    pub max_concurrent_blocks: usize,
    /// Requests to the object store that one query may make, hedges and retries included; 0 = no limit. What it could not
    /// read by then is missing from its answer, which says so.
    pub max_requests_per_query: u64,
    /// How long a lookup by id, and any other query, may read; then the same holds.
    pub lookup_timeout: Duration,
    /// See `lookup_timeout`.
    pub search_timeout: Duration,
    /// Names or values that one tag query collects, bytes; reading stops there.
    pub max_tag_bytes: usize,
    /// The process's memory ceiling: column data of running queries is reserved there.
    pub memory: MemoryBudget,
}

impl RetrieverOptions {
    /// The defaults under the ceiling `memory`.
    pub fn new(memory: MemoryBudget) -> Self {
        let threads = std::thread::available_parallelism().map_or(4, usize::from);
        Self {
            poll_interval: Duration::from_secs(60),
            max_index_age: Some(Duration::from_secs(600)),
            poll_concurrency: 50,
            blooms_per_query: 256,
            blocks_per_query: 20,
            max_concurrent_blocks: 2 * threads,
            max_requests_per_query: 100_000,
            lookup_timeout: Duration::from_millis(7500),
            search_timeout: Duration::from_millis(22_500),
            max_tag_bytes: 4 << 20,
            memory,
        }
    }
}
