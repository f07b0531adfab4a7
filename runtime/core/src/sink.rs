use crate::{Push, Result, TenantId};

/// What became of a pushed batch whose acceptance was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushOutcome {
    /// Spans refused for good, e.g. because their trace is over its size limit. They are counted by
    /// reason at the place that refused them and told to the client as a partial success.
    pub rejected_spans: u64,
}

/// Takes spans and answers once they are durable.
#[async_trait::async_trait]
pub trait SpanSink: Send + Sync {
    /// Stores `push`; what became of each led batch, in order. When this returns `Ok`, every span of it that was not rejected survives a
    /// crash of the process, and those of led batches are found by id.
    ///
    /// # Errors
    /// Nothing is acknowledged then; the kind tells whether to try again.
    async fn push(&self, tenant: &TenantId, push: Push) -> Result<Vec<PushOutcome>>;
}
