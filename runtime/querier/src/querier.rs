use std::sync::Arc;

use axum::Router;

use crate::{QuerierOptions, Sources};

/// Answers Tempo's query API from ingesters and retrievers.
pub struct Querier {
    recent: Sources,
    blocks: Sources,
    options: QuerierOptions,
}

impl Querier {
    /// A querier over `recent` (ingesters) and `blocks` (retrievers).
    pub fn new(recent: Sources, blocks: Sources, options: QuerierOptions) -> Arc<Self> {
        Arc::new(Self { recent, blocks, options })
    }

    /// The HTTP API: `/api/...`, and the same under `/querier/api/...` for frontends.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
    }
}
