//! Search: one list from what ingesters and retrievers found.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tempoform_block::results::{NO_ROOT, merge_trace};
use tempoform_core::{Result, TenantId, TraceId};
use tempoform_wire::internal;
use tempoform_wire::tempopb::{SearchMetrics, SearchResponse, TraceSearchMetadata};

use crate::fanout::Asking;
use crate::gathered::Gathered;
use crate::params::TimeRange;
use crate::request::{self, SearchRequest};
use crate::{ApiOptions, QueryLimits};

/// A merged answer and what it lacks.
pub(crate) type Answer<T> = (T, Gathered<()>);

/// Searches everywhere. Without a time range: everything recent, and blocks of the last
/// [`default_range`](ApiOptions::default_range).
pub(crate) async fn search(
    asking: Asking<'_>,
    tenants: &[TenantId],
    request: SearchRequest,
    options: &ApiOptions,
) -> Result<Answer<SearchResponse>> {
    let (limits, limit) = ((options.limits)(&tenants[0]), request.limit as usize);
    let question = |range: Option<TimeRange>| internal::SearchRequest {
        query: request.query.clone(),
        start: range.map_or(0, |range| range.start),
        end: range.map_or(0, |range| range.end),
        limit: request.limit,
        spans_per_span_set: request.spans_per_span_set,
        omit_span_sets: request.omit_span_sets,
        ..internal::SearchRequest::default()
    };
    let recent = question(request.range);
    let blocks = question(Some(block_range(request.range, options)));
    let gathered = asking.gather_all(tenants, Some(recent), Some(blocks)).await?;
    let (answers, rest) = gathered.split();
    Ok((merge(answers, &rest, limit, &limits), rest))
}

/// The range of blocks that a request without range looks at. Its end is open: clocks differ.
pub(crate) fn block_range(range: Option<TimeRange>, options: &ApiOptions) -> TimeRange {
    range.unwrap_or_else(|| {
        let back = u32::try_from(options.default_range.as_secs()).unwrap_or(u32::MAX);
        TimeRange { start: request::now().saturating_sub(back).max(1), end: u32::MAX }
    })
}

fn merge(
    answers: Vec<internal::SearchResponse>,
    gathered: &Gathered<()>,
    limit: usize,
    limits: &QueryLimits,
) -> SearchResponse {
    let account = gathered.account.snapshot();
    let mut metrics = SearchMetrics {
        inspected_bytes: account.bytes + account.cache_bytes,
        total_jobs: gathered.asked,
        completed_jobs: answers.len() as u32,
        ..SearchMetrics::default()
    };
    let mut traces = HashMap::new();
    for answer in answers {
        metrics.inspected_traces = metrics.inspected_traces.saturating_add(answer.inspected_traces);
        metrics.inspected_spans += answer.inspected_spans;
        metrics.total_blocks += answer.blocks;
        metrics.total_block_bytes += answer.block_bytes;
        answer.traces.into_iter().for_each(|trace| add(&mut traces, trace));
    }
    let mut traces: Vec<_> = traces.into_values().collect();
    traces.sort_by(|a, b| {
        let newest_first = |trace: &TraceSearchMetadata| Reverse(trace.start_time_unix_nano);
        newest_first(a).cmp(&newest_first(b)).then_with(|| a.trace_id.cmp(&b.trace_id))
    });
    traces.truncate(limit);
    traces.iter_mut().for_each(|trace| finish(trace, limits));
    SearchResponse { traces, metrics: Some(metrics) }
}

fn add(traces: &mut HashMap<Option<TraceId>, TraceSearchMetadata>, mut trace: TraceSearchMetadata) {
    if trace.root_service_name == NO_ROOT {
        trace.root_service_name.clear();
    }
    match traces.entry(trace.trace_id.parse().ok()) {
        Entry::Vacant(entry) => {
            entry.insert(trace);
        }
        Entry::Occupied(entry) => merge_trace(entry.into_mut(), trace),
    }
}

/// What clients expect of a complete result, whoever found it.
fn finish(trace: &mut TraceSearchMetadata, limits: &QueryLimits) {
    trace.span_set = trace.span_sets.first().cloned();
    if trace.root_service_name.is_empty() && trace.root_trace_name.is_empty() {
        trace.root_service_name = NO_ROOT.to_owned();
    }
    if let Ok(id) = trace.trace_id.parse::<TraceId>() {
        trace.trace_id = if limits.left_pad_trace_ids { id.to_string() } else { id.to_short_hex() };
    }
}

#[cfg(test)]
mod tests {
    use tempoform_wire::otlp::{AnyValue, KeyValue, any_value::Value};

    use super::*;
    use tempoform_wire::tempopb::{ServiceStats, SpanSet};

    fn trace(id: &str, start: u64) -> TraceSearchMetadata {
        TraceSearchMetadata { trace_id: id.into(), start_time_unix_nano: start, ..Default::default() }
    }

    fn set(group: &str, matched: u32) -> SpanSet {
        let value = Some(AnyValue { value: Some(Value::StringValue(group.into())) });
        let counted = KeyValue {
            key: "count()".into(),
            value: Some(AnyValue { value: Some(Value::IntValue(matched.into())) }),
        };
        SpanSet {
            matched,
            attributes: vec![KeyValue { key: "by(resource.region)".into(), value }, counted],
            ..Default::default()
        }
    }

    fn merged(
        lists: Vec<Vec<TraceSearchMetadata>>,
        limit: usize,
        limits: &QueryLimits,
    ) -> Vec<TraceSearchMetadata> {
        let answers = lists
            .into_iter()
            .map(|traces| internal::SearchResponse { traces, ..Default::default() })
            .collect();
        merge(answers, &Gathered::default(), limit, limits).traces
    }

    #[test]
    fn newest_first_and_no_more_than_asked() {
        let found = merged(
            vec![vec![trace("1", 10), trace("3", 30)], vec![trace("2", 20)]],
            2,
            &QueryLimits::default(),
        );
        assert_eq!(found.iter().map(|trace| trace.trace_id.as_str()).collect::<Vec<_>>(), ["3", "2"]);
    }

    #[test]
    fn one_trace_from_two_places() {
        let stats = |span_count, error_count| {
            HashMap::from([("web".to_owned(), ServiceStats { span_count, error_count })])
        };
        let first = TraceSearchMetadata {
            root_service_name: NO_ROOT.into(),
            duration_ms: 5,
            span_sets: vec![set("eu", 1), set("us", 4)],
            service_stats: stats(3, 0),
            ..trace("0a", 20)
        };
        let second = TraceSearchMetadata {
            root_service_name: "web".into(),
            root_trace_name: "GET /".into(),
            duration_ms: 3,
            span_sets: vec![set("eu", 2), set("ap", 1)],
            service_stats: stats(2, 1),
            ..trace("a", 10)
        };
        let found = merged(vec![vec![first], vec![second]], 20, &QueryLimits::default());
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.trace_id.as_str(), one.start_time_unix_nano, one.duration_ms), ("a", 10, 5));
        assert_eq!((one.root_service_name.as_str(), one.root_trace_name.as_str()), ("web", "GET /"));
        assert_eq!(one.span_sets.iter().map(|set| set.matched).collect::<Vec<_>>(), [2, 4, 1]);
        assert_eq!(one.span_set.as_ref(), one.span_sets.first());
        assert_eq!(one.service_stats, stats(3, 1));
    }

    #[test]
    fn ids_and_missing_roots() {
        let padded = QueryLimits { left_pad_trace_ids: true, ..QueryLimits::default() };
        let found = merged(vec![vec![trace("0a", 1)]], 1, &padded);
        assert_eq!(found[0].trace_id, format!("{:032x}", 10));
        assert_eq!(found[0].root_service_name, NO_ROOT);
    }
}
