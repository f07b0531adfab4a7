//! Decoded traces as the columns that a query asks for.

use std::collections::HashMap;

use tempoform_core::TraceId;
use tempoform_traceql::{AttributeScope, Batch, Column, Field, Intrinsic, Layout, Level};
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{AnyValue, KeyValue, ResourceSpans, ScopeSpans, Span, TracesData};

use super::summary::Summary;

/// A trace, decoded and put together.
#[derive(Debug)]
pub(super) struct LiveTrace {
    pub(super) id: TraceId,
    pub(super) data: TracesData,
    pub(super) summary: Summary,
}

/// Columns for `fields` over `traces`.
pub(super) fn batch(traces: &[LiveTrace], fields: &[Field]) -> Batch {
    let layout = layout(traces);
    let columns = fields.iter().map(|field| (field.clone(), column(traces, field))).collect();
    Batch { layout, columns }
}

fn layout(traces: &[LiveTrace]) -> Layout {
    let mut layout = Layout { traces: traces.len() as u32, ..Layout::default() };
    for (trace, live) in (0..).zip(traces) {
        for resource in &live.data.resource_spans {
            let resource_row = layout.trace_of_resource.len() as u32;
            layout.trace_of_resource.push(trace);
            for scope in &resource.scope_spans {
                let scope_row = layout.resource_of_scope.len() as u32;
                layout.resource_of_scope.push(resource_row);
                for span in &scope.spans {
                    let span_row = layout.scope_of_span.len() as u32;
                    layout.scope_of_span.push(scope_row);
                    layout.span_of_event.extend(span.events.iter().map(|_| span_row));
                    layout.span_of_link.extend(span.links.iter().map(|_| span_row));
                }
            }
        }
    }
    layout
}

fn resources(traces: &[LiveTrace]) -> impl Iterator<Item = &ResourceSpans> {
    traces.iter().flat_map(|trace| &trace.data.resource_spans)
}

fn scopes(traces: &[LiveTrace]) -> impl Iterator<Item = &ScopeSpans> {
    resources(traces).flat_map(|resource| &resource.scope_spans)
}

fn spans(traces: &[LiveTrace]) -> impl Iterator<Item = &Span> {
    scopes(traces).flat_map(|scope| &scope.spans)
}

fn column(traces: &[LiveTrace], field: &Field) -> Column {
    match field {
        Field::Attribute { scope, name } => attribute(traces, *scope, name),
        Field::Intrinsic(intrinsic) => self::intrinsic(traces, *intrinsic),
    }
}

fn attribute(traces: &[LiveTrace], scope: AttributeScope, name: &str) -> Column {
    match scope {
        AttributeScope::Span => attribute_of(Level::Span, name, spans(traces).map(|span| &*span.attributes)),
        AttributeScope::Resource => attribute_of(
            Level::Resource,
            name,
            resources(traces)
                .map(|spans| spans.resource.as_ref().map_or(&[][..], |resource| &resource.attributes)),
        ),
        AttributeScope::Instrumentation => attribute_of(
            Level::Scope,
            name,
            scopes(traces).map(|spans| spans.scope.as_ref().map_or(&[][..], |scope| &scope.attributes)),
        ),
        AttributeScope::Event => attribute_of(
            Level::Event,
            name,
            spans(traces).flat_map(|span| &span.events).map(|event| &*event.attributes),
        ),
        AttributeScope::Link => attribute_of(
            Level::Link,
            name,
            spans(traces).flat_map(|span| &span.links).map(|link| &*link.attributes),
        ),
    }
}

fn attribute_of<'a>(level: Level, name: &str, rows: impl Iterator<Item = &'a [KeyValue]>) -> Column {
    let mut column = ColumnBuilder::new(level);
    for (row, attributes) in (0..).zip(rows) {
        if let Some(found) = attributes.iter().find(|attribute| attribute.key == name)
            && let Some(value) = &found.value
        {
            column.push(row, value);
        }
    }
    column.column
}

fn intrinsic(traces: &[LiveTrace], intrinsic: Intrinsic) -> Column {
    let ints = |level: Level, values: &mut dyn Iterator<Item = i64>| {
        let mut column = Column::new(level);
        for (row, value) in (0..).zip(values) {
            column.ints.push(row, value);
        }
        column
    };
    let texts = |level: Level, values: &mut dyn Iterator<Item = String>| {
        let mut column = ColumnBuilder::new(level);
        for (row, value) in (0..).zip(values) {
            column.push_text(row, &value);
        }
        column.column
    };
    let nested = |number: fn(&super::summary::Nested) -> i32| {
        let mut numbers =
            traces.iter().flat_map(|trace| &trace.summary.nested).map(|nested| i64::from(number(nested)));
        ints(Level::Span, &mut numbers)
    };
    let events = || spans(traces).flat_map(|span| span.events.iter().map(move |event| (span, event)));
    let links = || spans(traces).flat_map(|span| &span.links);
    let scope_text = |text: fn(&tempoform_wire::otlp::InstrumentationScope) -> &str| {
        let mut values = scopes(traces).map(|spans| spans.scope.as_ref().map_or("", text).to_owned());
        texts(Level::Scope, &mut values)
    };
    match intrinsic {
        Intrinsic::Duration => ints(Level::Span, &mut spans(traces).map(duration)),
        Intrinsic::Name => texts(Level::Span, &mut spans(traces).map(|span| span.name.clone())),
        Intrinsic::Status => ints(Level::Span, &mut spans(traces).map(|span| status(span).0)),
        Intrinsic::StatusMessage => {
            texts(Level::Span, &mut spans(traces).map(|span| status(span).1.to_owned()))
        }
        Intrinsic::Kind => ints(Level::Span, &mut spans(traces).map(|span| i64::from(span.kind))),
        Intrinsic::SpanId => texts(Level::Span, &mut spans(traces).map(|span| hex::encode(&span.span_id))),
        Intrinsic::ParentId => {
            texts(Level::Span, &mut spans(traces).map(|span| hex::encode(&span.parent_span_id)))
        }
        // vParquet4 does not store it, and answers must not change when a trace is flushed.
        Intrinsic::ChildCount => Column::new(Level::Span),
        Intrinsic::RootName => {
            texts(Level::Trace, &mut traces.iter().map(|trace| trace.summary.root_name.clone()))
        }
        Intrinsic::RootService => {
            texts(Level::Trace, &mut traces.iter().map(|trace| trace.summary.root_service.clone()))
        }
        Intrinsic::TraceDuration => {
            ints(Level::Trace, &mut traces.iter().map(|trace| trace.summary.duration_nanos() as i64))
        }
        Intrinsic::TraceId => texts(Level::Trace, &mut traces.iter().map(|trace| trace.id.to_short_hex())),
        Intrinsic::EventName => texts(Level::Event, &mut events().map(|(_, event)| event.name.clone())),
        Intrinsic::EventTimeSinceStart => ints(
            Level::Event,
            &mut events()
                .map(|(span, event)| event.time_unix_nano.wrapping_sub(span.start_time_unix_nano) as i64),
        ),
        Intrinsic::LinkTraceId => texts(Level::Link, &mut links().map(|link| hex::encode(&link.trace_id))),
        Intrinsic::LinkSpanId => texts(Level::Link, &mut links().map(|link| hex::encode(&link.span_id))),
        Intrinsic::InstrumentationName => scope_text(|scope| &scope.name),
        Intrinsic::InstrumentationVersion => scope_text(|scope| &scope.version),
        Intrinsic::NestedSetLeft => nested(|nested| nested.left),
        Intrinsic::NestedSetRight => nested(|nested| nested.right),
        Intrinsic::NestedSetParent => nested(|nested| nested.parent),
    }
}

fn duration(span: &Span) -> i64 {
    span.end_time_unix_nano.wrapping_sub(span.start_time_unix_nano) as i64
}

fn status(span: &Span) -> (i64, &str) {
    span.status.as_ref().map_or((0, ""), |status| (i64::from(status.code), &status.message))
}

/// Fills a column; strings by dictionary.
struct ColumnBuilder {
    column: Column,
    numbers: HashMap<String, u32>,
}

impl ColumnBuilder {
    fn new(level: Level) -> Self {
        Self { column: Column::new(level), numbers: HashMap::new() }
    }

    fn push_text(&mut self, row: u32, text: &str) {
        let dictionary = &mut self.column.strings.dictionary;
        let number = match self.numbers.get(text) {
            Some(number) => *number,
            None => {
                let number = dictionary.len() as u32;
                dictionary.push(text.to_owned());
                self.numbers.insert(text.to_owned(), number);
                number
            }
        };
        self.column.strings.ids.push(row, number);
    }

    /// Bytes, maps, nested and mixed lists cannot be searched.
    fn push(&mut self, row: u32, value: &AnyValue) {
        match &value.value {
            Some(Value::ArrayValue(list)) if is_uniform(&list.values) => {
                list.values.iter().for_each(|value| self.push_scalar(row, value));
            }
            _ => self.push_scalar(row, value),
        }
    }

    fn push_scalar(&mut self, row: u32, value: &AnyValue) {
        match &value.value {
            Some(Value::StringValue(text)) => self.push_text(row, text),
            Some(Value::IntValue(int)) => self.column.ints.push(row, *int),
            Some(Value::DoubleValue(float)) => self.column.floats.push(row, *float),
            Some(Value::BoolValue(bool)) => self.column.bools.push(row, *bool),
            _ => {}
        }
    }
}

fn is_uniform(values: &[AnyValue]) -> bool {
    let kind = |value: &AnyValue| value.value.as_ref().map(std::mem::discriminant);
    values.windows(2).all(|pair| kind(&pair[0]) == kind(&pair[1]))
}
