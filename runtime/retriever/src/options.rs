use std::time::Duration;

/// How a retriever works.
#[derive(Clone, Debug)]
pub struct RetrieverOptions {
    /// Time between two polls of the block list.
    pub poll_interval: Duration,
    /// A tenant index older than this is not trusted: the bucket is listed. `None` = any age is good.
    pub max_index_age: Option<Duration>,
    /// Tenants polled, and metas read, at once.
    pub poll_concurrency: usize,
    /// Blocks read at once by one query.
    pub blocks_per_query: usize,
    /// Blocks evaluated at once by the process: each may use one thread.
    pub max_concurrent_blocks: usize,
}

impl Default for RetrieverOptions {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(30),
            max_index_age: None,
            poll_concurrency: 50,
            blocks_per_query: 20,
            max_concurrent_blocks: 16,
        }
    }
}
