//! Matches as search results.

use std::collections::HashMap;

use tempoform_block::{SpanFacts, TraceSummary};
use tempoform_traceql::{Batch, Field, Match, Query, SpanSet, Static, format_duration, value_of};
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{AnyValue, ArrayValue, KeyValue};
use tempoform_wire::tempopb::{self, TraceSearchMetadata};

/// What a query's results show.
pub(crate) struct Shape {
    fields: Vec<Field>,
    needs_name: bool,
    spans_per_set: usize,
}

impl Shape {
    /// Of `query`; no span sets if `spans_per_set` is 0.
    pub(crate) fn new(query: &Query, spans_per_set: usize) -> Self {
        Self { fields: query.selected_fields(), needs_name: query.needs_span_name(), spans_per_set }
    }

    /// A trace that matched; `facts` has the spans that are shown, by row.
    pub(crate) fn trace(
        &self,
        batch: &Batch,
        found: &Match,
        summary: TraceSummary,
        facts: &HashMap<u32, SpanFacts>,
    ) -> TraceSearchMetadata {
        let sets = if self.spans_per_set == 0 { &[][..] } else { &found.spansets };
        let span_sets: Vec<_> = sets.iter().map(|set| self.span_set(batch, set, facts)).collect();
        TraceSearchMetadata {
            trace_id: summary.trace_id.to_short_hex(),
            root_service_name: summary.root_service_name,
            root_trace_name: summary.root_span_name,
            start_time_unix_nano: summary.start_unix_nano,
            duration_ms: u32::try_from(summary.duration_nanos / 1_000_000).unwrap_or(u32::MAX),
            span_set: None,
            span_sets,
            service_stats: summary.service_stats.into_iter().collect(),
        }
    }

    fn span_set(&self, batch: &Batch, set: &SpanSet, facts: &HashMap<u32, SpanFacts>) -> tempopb::SpanSet {
        let shown = set.spans.iter().take(self.spans_per_set);
        tempopb::SpanSet {
            spans: shown.filter_map(|span| Some(self.span(batch, *span, facts.get(span)?))).collect(),
            matched: set.spans.len() as u32,
            attributes: set.attributes.iter().map(|(key, value)| key_value(key, value.clone())).collect(),
        }
    }

    fn span(&self, batch: &Batch, row: u32, facts: &SpanFacts) -> tempopb::Span {
        let value = |field: &Field| Some(key_value(field.key(), value_of(batch, field, row)?));
        tempopb::Span {
            span_id: facts.span_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            name: if self.needs_name { facts.name.clone() } else { String::new() },
            start_time_unix_nano: facts.start_unix_nano,
            duration_nanos: facts.duration_nanos,
            attributes: self.fields.iter().filter_map(value).collect(),
        }
    }
}

fn key_value(key: &str, value: Static) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any_value(value)) }
}

/// Words of the language and durations are shown as text.
fn any_value(value: Static) -> AnyValue {
    fn array<T>(values: Vec<T>, one: impl Fn(T) -> Value) -> Value {
        Value::ArrayValue(ArrayValue { values: values.into_iter().map(|value| AnyValue { value: Some(one(value)) }).collect() })
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
