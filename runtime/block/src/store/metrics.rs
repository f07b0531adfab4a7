//! What the store counts: Tempo's own metric of its requests, and ours by kind of read.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tempoform_core::{CacheTier, RequestKind};

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    operations: HistogramVec,
    requests: HistogramVec,
    bytes: IntCounterVec,
    hedged: IntCounterVec,
    hedges_won: IntCounterVec,
    retried: IntCounterVec,
    joined: IntCounterVec,
    cache_hits: IntCounterVec,
    cache_misses: IntCounterVec,
}

const ACCEPTED: &str = "name, labels and buckets are constants that prometheus accepts";

impl Metrics {
    /// Registers the metrics; stores that share a registry share the first one's.
    pub(super) fn new(registry: Option<&Registry>) -> Self {
        let metrics = Self {
            operations: histogram(
                "tempodb_backend_request_duration_seconds",
                "Time spent doing backend storage requests.",
                &["operation", "status_code"],
            ),
            requests: histogram(
                "tempoform_object_store_request_duration_seconds",
                "Time of requests to the object store, by what they were for.",
                &["kind"],
            ),
            bytes: counter(
                "tempoform_object_store_read_bytes_total",
                "Bytes read from the object store.",
                &["kind"],
            ),
            hedged: counter(
                "tempoform_object_store_hedged_requests_total",
                "Requests sent because an equal one was slow.",
                &["kind"],
            ),
            hedges_won: counter(
                "tempoform_object_store_hedges_won_total",
                "Hedged requests that were answered first.",
                &["kind"],
            ),
            retried: counter(
                "tempoform_object_store_retried_requests_total",
                "Requests sent because an equal one had failed.",
                &["kind"],
            ),
            joined: counter(
                "tempoform_object_store_joined_reads_total",
                "Reads answered by an equal one that was under way.",
                &["kind"],
            ),
            cache_hits: counter(
                "tempoform_cache_hits_total",
                "Reads of blocks that a cache answered, in memory or on disk.",
                &["kind", "tier"],
            ),
            cache_misses: counter(
                "tempoform_cache_misses_total",
                "Reads of blocks that no cache answered.",
                &["kind"],
            ),
        };
        if let Some(registry) = registry {
            metrics.register(registry);
        }
        metrics
    }

    fn register(&self, registry: &Registry) {
        let Self {
            operations,
            requests,
            bytes,
            hedged,
            hedges_won,
            retried,
            joined,
            cache_hits,
            cache_misses,
        } = self;
        let histograms = [operations, requests].map(|one| Box::new(one.clone()) as Box<dyn Collector>);
        let counters = [bytes, hedged, hedges_won, retried, joined, cache_hits, cache_misses];
        let counters = counters.map(|one| Box::new(one.clone()) as Box<dyn Collector>);
        for metric in histograms.into_iter().chain(counters) {
            if let Err(error) = registry.register(metric) {
                tracing::debug!(%error, "object store metrics are registered already");
            }
        }
    }

    /// A request is over; `status` as HTTP has it, 408 for a timeout of ours and 499 for one given up.
    pub(super) fn answered(
        &self,
        operation: &str,
        kind: RequestKind,
        status: &str,
        took: Duration,
        bytes: u64,
    ) {
        self.operations.with_label_values(&[operation, status]).observe(took.as_secs_f64());
        self.requests.with_label_values(&[kind.as_str()]).observe(took.as_secs_f64());
        self.bytes.with_label_values(&[kind.as_str()]).inc_by(bytes);
    }

    pub(super) fn hedged(&self, kind: RequestKind) {
        self.hedged.with_label_values(&[kind.as_str()]).inc();
    }

    pub(super) fn hedge_won(&self, kind: RequestKind) {
        self.hedges_won.with_label_values(&[kind.as_str()]).inc();
    }

    pub(super) fn retried(&self, kind: RequestKind) {
        self.retried.with_label_values(&[kind.as_str()]).inc();
    }

    pub(super) fn joined(&self, kind: RequestKind) {
        self.joined.with_label_values(&[kind.as_str()]).inc();
    }

    pub(super) fn cache_hit(&self, kind: RequestKind, tier: CacheTier) {
        self.cache_hits.with_label_values(&[kind.as_str(), tier.as_str()]).inc();
    }

    pub(super) fn cache_miss(&self, kind: RequestKind) {
        self.cache_misses.with_label_values(&[kind.as_str()]).inc();
    }
}

fn histogram(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(name, help)
        .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0]);
    HistogramVec::new(options, labels).expect(ACCEPTED)
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect(ACCEPTED)
}
