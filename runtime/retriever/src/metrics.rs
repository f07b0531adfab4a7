//! What a retriever counts. Names are Tempo's where it has the same thing.

use std::sync::LazyLock;

use jiff::SignedDuration;
use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGaugeVec, register_histogram, register_int_counter,
    register_int_counter_vec, register_int_gauge_vec,
};
use tempoform_core::TenantId;

/// A metric's registration fails only when its name is taken, which a test would show.
const REGISTERED: &str = "metric names are unique";

pub(crate) static BLOCK_LIST_LENGTH: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!("tempodb_blocklist_length", "Live blocks.", &["tenant"]).expect(REGISTERED)
});

static INDEX_AGE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "tempodb_blocklist_tenant_index_age_seconds",
        "Age of the tenant index when it was read last.",
        &["tenant"]
    )
    .expect(REGISTERED)
});

pub(crate) static POLL_ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("tempodb_blocklist_poll_errors_total", "Failed polls of a tenant.", &["tenant"])
        .expect(REGISTERED)
});

pub(crate) static INDEX_ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "tempodb_blocklist_tenant_index_errors_total",
        "Tenant indexes that could not be read.",
        &["tenant"]
    )
    .expect(REGISTERED)
});

pub(crate) static POLL_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "tempodb_blocklist_poll_duration_seconds",
        "Time to poll the block list of all tenants.",
        vec![0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]
    )
    .expect(REGISTERED)
});

pub(crate) static BLOCK_FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "tempoform_retriever_block_failures_total",
        "Blocks that a query could not read; its answer was partial."
    )
    .expect(REGISTERED)
});

pub(crate) static BLOCKS_READ: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "tempoform_retriever_blocks_read_total",
        "Blocks looked into, by kind of query.",
        &["op"]
    )
    .expect(REGISTERED)
});

/// Shows how old the tenant's index is; without one there is no series.
pub(crate) fn index_age(tenant: &TenantId, age: Option<SignedDuration>) {
    match age {
        Some(age) => INDEX_AGE.with_label_values(&[tenant.as_str()]).set(age.as_secs()),
        None => forget(&INDEX_AGE, tenant),
    }
}

/// Tenants whose last block is gone have no series.
pub(crate) fn forget_tenants<'a>(tenants: impl Iterator<Item = &'a TenantId>) {
    for tenant in tenants {
        forget(&BLOCK_LIST_LENGTH, tenant);
        forget(&INDEX_AGE, tenant);
    }
}

fn forget(gauge: &IntGaugeVec, tenant: &TenantId) {
    // The error is that there is no such series: that is what is wanted.
    gauge.remove_label_values(&[tenant.as_str()]).ok();
}
