use std::iter::Sum;

use crate::{Push, Result, TenantId};

/// What became of a pushed batch whose acceptance was acknowledged.
///
/// Spans refused for good are counted by reason at the place that refused them, and told to the client as a partial
/// success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushOutcome {
    /// Spans refused because their trace would be over `global.max_bytes_per_trace`.
    pub over_trace_bytes: u64,
    /// Spans refused because their trace would be one more live one than `ingestion.max_traces_per_user`.
    pub over_live_traces: u64,
}

impl PushOutcome {
    /// Spans refused for good.
    pub fn rejected_spans(self) -> u64 {
        self.over_trace_bytes + self.over_live_traces
    }
}

impl Sum for PushOutcome {
    fn sum<I: Iterator<Item = Self>>(outcomes: I) -> Self {
        outcomes.fold(Self::default(), |sum, one| Self {
            over_trace_bytes: sum.over_trace_bytes + one.over_trace_bytes,
            over_live_traces: sum.over_live_traces + one.over_live_traces,
        })
    }
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
