//! What querier and frontend count. Names are Tempo's where it has the same thing.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use http::{Method, StatusCode};
use prometheus::{
    HistogramVec, IntCounter, IntCounterVec, register_histogram_vec, register_int_counter,
    register_int_counter_vec,
};
use tempoform_core::TenantId;

/// A metric's registration fails only when its name is taken, which a test would show.
const REGISTERED: &str = "metric names are unique";

static REQUEST_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    register_histogram_vec!(
        "tempo_request_duration_seconds",
        "Time to answer a request of the query API.",
        &["method", "route", "status_code", "ws"],
        vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0]
    )
    .expect(REGISTERED)
});

static QUERIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "tempo_query_frontend_queries_total",
        "Queries by kind; canceled = the client went away.",
        &["tenant", "op", "result"]
    )
    .expect(REGISTERED)
});

static BYTES_INSPECTED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "tempo_query_frontend_bytes_inspected_total",
        "Bytes that queries read from object storage and caches.",
        &["tenant", "op"]
    )
    .expect(REGISTERED)
});

pub(crate) static RETRIES: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("tempo_query_frontend_retries_total", "Queries tried again at another querier.")
        .expect(REGISTERED)
});

pub(crate) static DISCARDED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "tempo_query_frontend_discarded_requests_total",
        "Queries refused because a queue was full.",
        &["user"]
    )
    .expect(REGISTERED)
});

pub(crate) static SOURCE_FAILURES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "tempoform_querier_source_failures_total",
        "Ingesters and retrievers that did not answer, and parts they could not read.",
        &["kind"]
    )
    .expect(REGISTERED)
});

/// Measures one request; one that is dropped unfinished was left by its client: 499.
pub(crate) struct RequestTimer {
    method: Method,
    route: String,
    query: Option<CountedQuery>,
    started: Instant,
    status: Option<StatusCode>,
}

/// A query as `tempo_query_frontend_queries_total` counts it: at the public edge only.
pub(crate) struct CountedQuery {
    pub(crate) tenant: String,
    pub(crate) operation: &'static str,
}

impl RequestTimer {
    pub(crate) fn start(method: Method, route: String) -> Self {
        Self { method, route, query: None, started: Instant::now(), status: None }
    }

    /// Also counts the query.
    pub(crate) fn count_query(&mut self, tenants: &[TenantId], operation: &'static str) {
        self.query = Some(CountedQuery { tenant: tenant_label(tenants).to_owned(), operation });
    }

    pub(crate) fn finish(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        let status = self.status.map_or_else(|| "499".to_owned(), |status| status.as_u16().to_string());
        REQUEST_SECONDS
            .with_label_values(&[self.method.as_str(), &self.route, &status, "false"])
            .observe(self.started.elapsed().as_secs_f64());
        if let Some(CountedQuery { tenant, operation }) = &self.query {
            let result = if self.status.is_some() { "completed" } else { "canceled" };
            QUERIES.with_label_values(&[tenant.as_str(), operation, result]).inc();
        }
    }
}

pub(crate) fn bytes_inspected(tenants: &[TenantId], operation: &str, bytes: u64) {
    BYTES_INSPECTED.with_label_values(&[tenant_label(tenants), operation]).inc_by(bytes);
}

/// Tenants that have a label of their own; anybody may invent names.
const MAX_TENANT_LABELS: usize = 1000;

static TENANT_LABELS: LazyLock<TenantLabels> = LazyLock::new(|| TenantLabels::new(MAX_TENANT_LABELS));

/// The tenant, `multi` for several, `other` for those after the first [`MAX_TENANT_LABELS`].
pub(crate) fn tenant_label(tenants: &[TenantId]) -> &str {
    match tenants {
        [tenant] => TENANT_LABELS.of(tenant),
        _ => "multi",
    }
}

/// Who has a label.
struct TenantLabels {
    known: Mutex<HashSet<TenantId>>,
    max: usize,
}

impl TenantLabels {
    fn new(max: usize) -> Self {
        Self { known: Mutex::default(), max }
    }

    fn of<'a>(&self, tenant: &'a TenantId) -> &'a str {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.max {
            known.insert(tenant.clone());
        }
        if known.contains(tenant) { tenant.as_str() } else { "other" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_as_many_as_allowed() {
        let tenants: Vec<TenantId> = ["a", "b", "c"].map(|name| name.parse().unwrap()).into();
        let labels = TenantLabels::new(2);
        let shown: Vec<_> = tenants.iter().chain(&tenants).map(|tenant| labels.of(tenant)).collect();
        assert_eq!(shown, ["a", "b", "other", "a", "b", "other"]);
        assert_eq!((tenant_label(&tenants[..1]), tenant_label(&tenants)), ("a", "multi"));
    }
}
