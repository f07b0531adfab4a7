//! What a distributor counts. Names are Tempo's where it has the same thing.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounterVec, register_histogram, register_int_counter_vec};

/// A metric's registration fails only when its name is taken, which a test would show.
const REGISTERED: &str = "metric names are unique";

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register_int_counter_vec!(name, help, labels).expect(REGISTERED)
}

pub(crate) static SPANS_RECEIVED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("tempo_distributor_spans_received_total", "Spans received.", &["tenant"]));

pub(crate) static BYTES_RECEIVED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("tempo_distributor_bytes_received_total", "Bytes of OTLP received, uncompressed.", &["tenant"])
});

pub(crate) static ACCEPTED_SPANS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("tempo_receiver_accepted_spans", "Spans acknowledged to clients.", &["receiver", "transport"])
});

pub(crate) static REFUSED_SPANS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("tempo_receiver_refused_spans", "Spans that no ingester took.", &["receiver", "transport"])
});

pub(crate) static REFUSED_REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "tempo_distributor_refused_requests_total",
        "Requests refused as a whole, by reason.",
        &["reason", "receiver", "transport"],
    )
});

pub(crate) static ATTRIBUTES_TRUNCATED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "tempo_distributor_attributes_truncated_total",
        "Attribute keys and values cut to max_attribute_bytes.",
        &["tenant", "scope"],
    )
});

pub(crate) static INGESTER_FAILURES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "tempo_distributor_ingester_append_failures_total",
        "Writes that an ingester refused.",
        &["ingester"],
    )
});

pub(crate) static PUSH_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!("tempo_distributor_push_duration_seconds", "Time until a request was durable.")
        .expect(REGISTERED)
});
