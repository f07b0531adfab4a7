//! Search results as Tempo's API shows them, from what a query found in columns. Retrievers and
//! ingesters share it; the querier merges their lists.

mod merge;

use std::collections::HashMap;

use tempoform_traceql::{Batch, Match, Query, SpanSet, Static, format_duration, value_of};
use tempoform_wire::otlp::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use tempoform_wire::tempopb;

use crate::reader::{SpanFacts, TraceSummary};

pub use merge::merge_trace;

/// Shown as the root's service name while the root span is missing.
pub const NO_ROOT: &str = "<root span not yet received>";

/// What of the matches is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchLimits {
    /// Traces that end before are left out, nanoseconds since 1970.
    pub start_unix_nano: u64,
    /// Traces that start after are left out, nanoseconds since 1970.
    pub end_unix_nano: u64,
    /// Most traces, the newest; 0 = all.
    pub traces: usize,
    /// Most spans of a span set; 0 = all.
    pub spans_per_span_set: usize,
    /// Tag search shows no span sets.
    pub omit_span_sets: bool,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self {
            start_unix_nano: 0,
            end_unix_nano: u64::MAX,
            traces: 0,
            spans_per_span_set: 3,
            omit_span_sets: false,
        }
    }
}

impl SearchLimits {
    /// Whether a trace touches the time range.
    pub fn overlaps(&self, summary: &TraceSummary) -> bool {
        self.includes(summary.start_unix_nano, summary.duration_nanos)
    }

    pub(crate) fn includes(&self, start_unix_nano: u64, duration_nanos: u64) -> bool {
        let end = start_unix_nano.saturating_add(duration_nanos);
        start_unix_nano <= self.end_unix_nano && end >= self.start_unix_nano
    }

    /// How many of a span set's spans are shown.
    fn shown<'a>(&self, set: &'a SpanSet) -> &'a [u32] {
        let most = match (self.omit_span_sets, self.spans_per_span_set) {
            (true, _) => 0,
            (false, 0) => usize::MAX,
            (false, most) => most,
        };
        &set.spans[..set.spans.len().min(most)]
    }
}

/// The spans of `matches` that a result shows, whose [`SpanFacts`] are therefore needed; ascending.
pub fn shown_spans(matches: &[Match], limits: &SearchLimits) -> Vec<u32> {
    let sets = matches.iter().flat_map(|found| &found.spansets);
    let mut spans: Vec<_> = sets.flat_map(|set| limits.shown(set)).copied().collect();
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// One trace of a search result. `facts` has every span of [`shown_spans`].
pub fn trace_result(
    query: &Query,
    batch: &Batch,
    found: &Match,
    summary: &TraceSummary,
    facts: &HashMap<u32, SpanFacts>,
    limits: &SearchLimits,
) -> tempopb::TraceSearchMetadata {
    let TraceSummary {
        trace_id,
        root_service_name,
        root_span_name,
        start_unix_nano,
        duration_nanos,
        service_stats,
    } = summary;
    let show = |set: &SpanSet| span_set(query, batch, set, facts, limits);
    let span_sets: Vec<_> =
        if limits.omit_span_sets { Vec::new() } else { found.spansets.iter().map(show).collect() };
    let has_root = !root_service_name.is_empty() || !root_span_name.is_empty();
    tempopb::TraceSearchMetadata {
        trace_id: trace_id.to_short_hex(),
        root_service_name: if has_root { root_service_name.clone() } else { NO_ROOT.to_owned() },
        root_trace_name: root_span_name.clone(),
        start_time_unix_nano: *start_unix_nano,
        duration_ms: u32::try_from(duration_nanos / 1_000_000).unwrap_or(u32::MAX),
        span_set: span_sets.first().cloned(),
        span_sets,
        service_stats: service_stats.clone().into_iter().collect(),
    }
}

fn span_set(
    query: &Query,
    batch: &Batch,
    set: &SpanSet,
    facts: &HashMap<u32, SpanFacts>,
    limits: &SearchLimits,
) -> tempopb::SpanSet {
    let fields = query.selected_fields();
    let span = |row: &u32| {
        let facts = facts.get(row).cloned().unwrap_or_default();
        let attributes = fields.iter().filter_map(|field| {
            let value = value_of(batch, field, *row).filter(|value| *value != Static::Nil)?;
            Some(KeyValue { key: field.key().to_owned(), value: Some(any_value(value)) })
        });
        tempopb::Span {
            span_id: format!("{:0>16}", hex::encode(&facts.span_id)),
            name: if query.needs_span_name() { facts.name } else { String::new() },
            start_time_unix_nano: facts.start_unix_nano,
            duration_nanos: facts.duration_nanos,
            attributes: attributes.collect(),
        }
    };
    let attributes = set.attributes.iter().cloned();
    tempopb::SpanSet {
        spans: limits.shown(set).iter().map(span).collect(),
        matched: u32::try_from(set.spans.len()).unwrap_or(u32::MAX),
        attributes: attributes.map(|(key, value)| KeyValue { key, value: Some(any_value(value)) }).collect(),
    }
}

/// A value of the query language as results show it: words and durations as text, nil as `nil`.
pub fn any_value(value: Static) -> AnyValue {
    fn array<T>(values: Vec<T>, wrap: impl Fn(T) -> Value) -> Value {
        let values = values.into_iter().map(|value| AnyValue { value: Some(wrap(value)) }).collect();
        Value::ArrayValue(ArrayValue { values })
    }
    let value = match value {
        Static::Nil => Value::StringValue("nil".to_owned()),
        Static::Int(value) => Value::IntValue(value),
        Static::Float(value) => Value::DoubleValue(value),
        Static::String(value) => Value::StringValue(value),
        Static::Bool(value) => Value::BoolValue(value),
        Static::Duration(nanos) => Value::StringValue(format_duration(nanos)),
        Static::Status(status) => Value::StringValue(status.as_str().to_owned()),
        Static::Kind(kind) => Value::StringValue(kind.as_str().to_owned()),
        Static::IntArray(values) => array(values, Value::IntValue),
        Static::FloatArray(values) => array(values, Value::DoubleValue),
        Static::StringArray(values) => array(values, Value::StringValue),
        Static::BoolArray(values) => array(values, Value::BoolValue),
    };
    AnyValue { value: Some(value) }
}

#[cfg(test)]
mod tests;
