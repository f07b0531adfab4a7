//! What an ingester counts. Names are Tempo's where it has the same thing.

use std::sync::LazyLock;

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, register_histogram, register_int_counter,
    register_int_counter_vec, register_int_gauge, register_int_gauge_vec,
};

/// A metric's registration fails only when its name is taken, which a test would show.
const REGISTERED: &str = "metric names are unique";

/// Shows everything without labels from the start: a counter that appears with its first event has no increase to
/// alert on.
pub(crate) fn register() {
    LazyLock::force(&COMMIT_SECONDS);
    LazyLock::force(&FLUSH_SECONDS);
    LazyLock::force(&UNFLUSHED_SEGMENTS);
    for counter in [
        &WRITE_FAILURES,
        &BLOCKS_FLUSHED,
        &FAILED_FLUSHES,
        &REPLAY_DAMAGED_BYTES,
        &TAKEN_OVER_SPANS,
        &TRACES_IN_PARTS,
    ] {
        LazyLock::force(counter);
    }
}

pub(crate) static COMMIT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "tempo_ingester_wal_commit_duration_seconds",
        "Time to write a group of requests to the log and make it durable.",
        vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]
    )
    .expect(REGISTERED)
});

pub(crate) static WRITE_FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "tempo_ingester_wal_write_failures_total",
        "Groups of requests refused because the log could not be written."
    )
    .expect(REGISTERED)
});

pub(crate) static BYTES_RECEIVED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("tempo_ingester_bytes_received_total", "Bytes acknowledged.", &["tenant"])
        .expect(REGISTERED)
});

pub(crate) static LIVE_TRACES: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!("tempo_ingester_live_traces", "Traces that got a span lately.", &["tenant"])
        .expect(REGISTERED)
});

pub(crate) static BLOCKS_FLUSHED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("tempo_ingester_blocks_flushed_total", "Blocks verified in storage.")
        .expect(REGISTERED)
});

pub(crate) static FAILED_FLUSHES: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("tempo_ingester_failed_flushes_total", "Uploads that failed and are tried again.")
        .expect(REGISTERED)
});

pub(crate) static FLUSH_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "tempo_ingester_flush_duration_seconds",
        "Time to build, upload and verify a block.",
        vec![0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0]
    )
    .expect(REGISTERED)
});

pub(crate) static UNFLUSHED_SEGMENTS: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!(
        "tempo_ingester_unflushed_segments",
        "Segments of the log that are not in storage yet."
    )
    .expect(REGISTERED)
});

pub(crate) static REPLAY_DAMAGED_BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "tempo_ingester_replay_damaged_bytes_total",
        "Bytes of torn or corrupt log tails set aside at replay."
    )
    .expect(REGISTERED)
});

pub(crate) static FOLLOWED_BATCHES: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "tempo_ingester_followed_batches",
        "Batches kept for leaders that do not have them in storage yet.",
        &["tenant"]
    )
    .expect(REGISTERED)
});

pub(crate) static TAKEN_OVER_SPANS: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "tempo_ingester_taken_over_spans_total",
        "Followed spans that became a block here because their leader did not bring them to storage."
    )
    .expect(REGISTERED)
});

pub(crate) static TRACES_IN_PARTS: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "tempo_ingester_traces_in_parts_total",
        "Traces of a segment that were too large for one block and are stored in parts, in several."
    )
    .expect(REGISTERED)
});
