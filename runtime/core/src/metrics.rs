//! Counters that several components share.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, register_int_counter_vec};

use crate::TenantId;

static DISCARDED_SPANS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "tempo_discarded_spans_total",
        "Spans that were refused, by reason.",
        &["reason", "tenant"]
    )
    .expect("the name is registered once, here")
});

/// Counts spans refused for `reason`.
pub fn discarded_spans(tenant: &TenantId, reason: &str, spans: u64) {
    DISCARDED_SPANS.with_label_values(&[reason, tenant.as_str()]).inc_by(spans);
}
