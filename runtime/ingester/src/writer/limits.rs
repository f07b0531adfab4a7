//! Takes spans that are over a tenant's limits out of requests.

use std::collections::HashMap;
use std::time::Instant;

use tempoform_core::{SpanRef, TenantId, TraceId};

use super::Append;
use crate::live_traces::LiveTraces;
use crate::wal::MemoryIndex;

/// Takes the spans of traces that would be more live ones than `limit` out of the requests.
pub(super) fn refuse_new_traces(
    tenant: &TenantId,
    live: &mut LiveTraces,
    appends: &mut [Append],
    limit: u32,
) {
    let now = Instant::now();
    if limit > 0 && live.count() >= limit as usize {
        live.expire(now);
    }
    for append in appends.iter_mut().filter(|append| !append.admitted) {
        let mut previous = None;
        let refused = append.keep_where(tenant, "live_traces_exceeded", |span| {
            // Spans of a trace mostly follow each other.
            match previous {
                Some((id, admitted)) if id == span.trace_id => admitted,
                _ => {
                    let admitted = live.admit(span.trace_id, limit, now);
                    previous = Some((span.trace_id, admitted));
                    admitted
                }
            }
        });
        append.outcome.over_live_traces += refused;
    }
}

/// Takes the spans of traces that would pass `limit` bytes out of the requests.
pub(super) fn refuse_large_traces(
    tenant: &TenantId,
    index: &MemoryIndex,
    appends: &mut [Append],
    limit: u64,
) {
    let incoming: usize = appends.iter().map(|append| append.batch.payload.len()).sum();
    if index.largest_trace + incoming as u64 <= limit {
        return;
    }
    let mut sizes: HashMap<TraceId, u64> = HashMap::new();
    for append in appends.iter_mut().filter(|append| !append.admitted) {
        let refused = append.keep_where(tenant, "trace_too_large", |span| {
            let size = sizes.entry(span.trace_id).or_insert_with(|| index.trace_bytes(&span.trace_id));
            let fits = *size + span.span.len() as u64 <= limit;
            if fits {
                *size += span.span.len() as u64;
            }
            fits
        });
        append.outcome.over_trace_bytes += refused;
    }
}

impl Append {
    /// Takes the spans out that `keep` says no to, and counts them as discarded for `reason`; how many.
    fn keep_where(&mut self, tenant: &TenantId, reason: &str, mut keep: impl FnMut(&SpanRef) -> bool) -> u64 {
        let spans = &self.batch.spans;
        let Some(first_refused) = spans.iter().position(|span| !keep(span)) else { return 0 };
        let mut kept: Vec<u32> = (0..first_refused as u32).collect();
        let rest = spans.iter().enumerate().skip(first_refused + 1);
        kept.extend(rest.filter(|(_, span)| keep(span)).map(|(at, _)| at as u32));
        let refused = (spans.len() - kept.len()) as u64;
        self.batch = self.batch.subset(&kept);
        tempoform_core::metrics::discarded_spans(tenant, reason, refused);
        refused
    }
}
