//! What a compactor counts. Names are Tempo's where it has the same thing.

use std::sync::LazyLock;

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGaugeVec, register_histogram, register_int_counter,
    register_int_counter_vec, register_int_gauge_vec,
};

/// A metric's registration fails only when its name is taken, which a test would show.
const REGISTERED: &str = "metric names are unique";

/// Shows everything without labels from the start: a counter that appears with its first event has no increase to
/// alert on.
pub(crate) fn register() {
    for counter in
        [&*INDEX_ERRORS, &*MARKED, &*DELETED, &*RETENTION_ERRORS, &*ERRORS, &*LEFTOVERS, &*LEFT_APART]
    {
        counter.inc_by(0);
    }
    LazyLock::force(&CYCLE_SECONDS);
}

fn counter(name: &str, help: &str) -> IntCounter {
    register_int_counter!(name, help).expect(REGISTERED)
}

fn by_level(name: &str, help: &str) -> IntCounterVec {
    register_int_counter_vec!(name, help, &["level"]).expect(REGISTERED)
}

fn by_tenant(name: &str, help: &str) -> IntGaugeVec {
    register_int_gauge_vec!(name, help, &["tenant"]).expect(REGISTERED)
}

pub(crate) static BLOCKLIST_LENGTH: LazyLock<IntGaugeVec> =
    LazyLock::new(|| by_tenant("tempodb_compactor_blocklist_length", "Live blocks in the index written."));
pub(crate) static INDEX_AGE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    by_tenant(
        "tempodb_blocklist_tenant_index_age_seconds",
        "Age of the tenant index when it was looked at last.",
    )
});
pub(crate) static INDEX_ERRORS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tempodb_blocklist_tenant_index_errors_total", "Tenant indexes that could not be written.")
});
pub(crate) static MARKED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tempodb_retention_marked_for_deletion_total", "Blocks past their retention."));
pub(crate) static DELETED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tempodb_retention_deleted_total", "Blocks deleted."));
pub(crate) static LEFTOVERS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tempodb_retention_leftovers_deleted_total", "Half-written blocks deleted."));
pub(crate) static RETENTION_ERRORS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("tempodb_retention_errors_total", "Blocks that could not be marked or deleted.")
});
pub(crate) static LEFT_APART: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "tempodb_compaction_left_apart_total",
        "Blocks that are not merged for a while since a trace of theirs is too large for that, or for the memory there is.",
    )
});
pub(crate) static CYCLE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "tempodb_retention_duration_seconds",
        "Time of a cycle over all tenants.",
        vec![0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0]
    )
    .expect(REGISTERED)
});
pub(crate) static ERRORS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("tempodb_compaction_errors_total", "Merges that failed."));
pub(crate) static BLOCKS: LazyLock<IntCounterVec> =
    LazyLock::new(|| by_level("tempodb_compaction_blocks_total", "Blocks merged, by their level."));
pub(crate) static BYTES_WRITTEN: LazyLock<IntCounterVec> =
    LazyLock::new(|| by_level("tempodb_compaction_bytes_written_total", "Bytes of merged blocks."));
pub(crate) static OBJECTS_WRITTEN: LazyLock<IntCounterVec> =
    LazyLock::new(|| by_level("tempodb_compaction_objects_written_total", "Traces in merged blocks."));
pub(crate) static OBJECTS_COMBINED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    by_level("tempodb_compaction_objects_combined_total", "Traces that were in more than one block.")
});
pub(crate) static SPANS_DEDUPED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "tempodb_compaction_spans_deduped_total",
        "Spans that were there more than once.",
        &["replication_factor"]
    )
    .expect(REGISTERED)
});
pub(crate) static OUTSTANDING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    by_tenant(
        "tempodb_compaction_outstanding_blocks",
        "Blocks that merging would take off the list: the backlog.",
    )
});
