use std::sync::Arc;

use axum::Router;

use crate::{FrontendOptions, QuerierUrls};

/// Takes queries, refuses wrong ones at once, and forwards the others to a healthy querier.
pub struct Frontend {
    queriers: QuerierUrls,
    options: FrontendOptions,
}

impl Frontend {
    /// A frontend of `queriers`.
    pub fn new(queriers: QuerierUrls, options: FrontendOptions) -> Arc<Self> {
        Arc::new(Self { queriers, options })
    }

    /// The public HTTP API.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
    }
}
