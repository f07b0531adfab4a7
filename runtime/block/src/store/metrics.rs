//! Tempo's own metric of its requests to object storage.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, Registry};

#[derive(Clone, Debug)]
pub(super) struct Metrics(HistogramVec);

impl Metrics {
    /// Registers the metric; stores that share a registry share it.
    pub(super) fn new(registry: Option<&Registry>) -> Self {
        let options = HistogramOpts::new(
            "tempodb_backend_request_duration_seconds",
            "Time spent doing backend storage requests.",
        )
        .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0]);
        let durations = HistogramVec::new(options, &["operation", "status_code"])
            .expect("name, labels and buckets are constants that prometheus accepts");
        if let Some(registry) = registry
            && let Err(error) = registry.register(Box::new(durations.clone()))
        {
            tracing::debug!(%error, "object store metrics are registered already");
        }
        Self(durations)
    }

    pub(super) fn observe(&self, operation: &str, error: Option<&object_store::Error>, took: Duration) {
        let status = match error {
            None => "200",
            Some(object_store::Error::NotFound { .. }) => "404",
            Some(object_store::Error::PermissionDenied { .. }) => "403",
            Some(object_store::Error::Unauthenticated { .. }) => "401",
            Some(_) => "500",
        };
        self.0.with_label_values(&[operation, status]).observe(took.as_secs_f64());
    }

    pub(super) fn timed_out(&self, operation: &str, took: Duration) {
        self.0.with_label_values(&[operation, "408"]).observe(took.as_secs_f64());
    }
}
