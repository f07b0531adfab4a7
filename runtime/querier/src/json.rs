//! Protobuf JSON. `serde_json` writes a number that JSON does not have as `null`; protobuf JSON has
//! `"NaN"`, `"Infinity"` and `"-Infinity"`. In our messages nothing else is ever `null`, so the
//! numbers are collected in the order of the message and put in where `null` would stand.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{AnyValue, KeyValue, ResourceSpans, Span, TracesData};
use tempoform_wire::tempopb::{SpanSet, TraceSearchMetadata};

/// Doubles that are no JSON numbers, in the order in which they are written.
#[derive(Debug, Default)]
pub(crate) struct NonFinite(Vec<f64>);

/// Writes `message` as protobuf JSON.
///
/// # Errors
/// Of the writer, or when an enum other than a span's kind and status has a number without a name.
pub(crate) fn write<T: Serialize>(
    message: &T,
    non_finite: NonFinite,
    writer: impl io::Write,
) -> serde_json::Result<()> {
    let formatter = ProtobufJson { non_finite: non_finite.0.into_iter() };
    message.serialize(&mut serde_json::Serializer::with_formatter(writer, formatter))
}

/// A trace as the API gives it at `/api/v2/traces/{id}`: `{"trace":{"resourceSpans":[…]}}`.
///
/// # Errors
/// When an enum other than a span's kind and status has a number without a name.
pub fn trace_json(trace: &TracesData) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a> {
        trace: &'a TracesData,
    }
    let mut json = Vec::new();
    write(&Body { trace }, NonFinite::of_trace(&trace.resource_spans), &mut json)?;
    Ok(json)
}

struct ProtobufJson {
    non_finite: std::vec::IntoIter<f64>,
}

impl Formatter for ProtobufJson {
    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(match self.non_finite.next() {
            None => b"null",
            Some(number) if number.is_nan() => b"\"NaN\"",
            Some(number) if number > 0.0 => b"\"Infinity\"",
            Some(_) => b"\"-Infinity\"",
        })
    }
}

impl NonFinite {
    pub(crate) fn of_trace(resource_spans: &[ResourceSpans]) -> Self {
        let mut found = Self::default();
        for one in resource_spans {
            found.attributes(one.resource.iter().flat_map(|resource| &resource.attributes));
            for scope_spans in &one.scope_spans {
                found.attributes(scope_spans.scope.iter().flat_map(|scope| &scope.attributes));
                scope_spans.spans.iter().for_each(|span| found.span(span));
            }
        }
        found
    }

    pub(crate) fn of_search(traces: &[TraceSearchMetadata]) -> Self {
        let mut found = Self::default();
        for trace in traces {
            trace.span_set.iter().chain(&trace.span_sets).for_each(|set| found.span_set(set));
        }
        found
    }

    fn span(&mut self, span: &Span) {
        self.attributes(&span.attributes);
        self.attributes(span.events.iter().flat_map(|event| &event.attributes));
        self.attributes(span.links.iter().flat_map(|link| &link.attributes));
    }

    fn span_set(&mut self, set: &SpanSet) {
        self.attributes(set.spans.iter().flat_map(|span| &span.attributes));
        self.attributes(&set.attributes);
    }

    fn attributes<'a>(&mut self, attributes: impl IntoIterator<Item = &'a KeyValue>) {
        attributes.into_iter().filter_map(|pair| pair.value.as_ref()).for_each(|value| self.value(value));
    }

    fn value(&mut self, value: &AnyValue) {
        match &value.value {
            Some(Value::DoubleValue(number)) if !number.is_finite() => self.0.push(*number),
            Some(Value::ArrayValue(array)) => array.values.iter().for_each(|value| self.value(value)),
            Some(Value::KvlistValue(list)) => self.attributes(&list.values),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tempoform_wire::otlp::{ArrayValue, Resource, ScopeSpans, Status, span};

    use super::*;

    fn double(key: &str, number: f64) -> KeyValue {
        KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Value::DoubleValue(number)) }) }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_strings() {
        let array = ArrayValue {
            values: vec![AnyValue { value: Some(Value::DoubleValue(f64::NAN)) }, AnyValue { value: None }],
        };
        let event = span::Event { attributes: vec![double("e", f64::NEG_INFINITY)], ..Default::default() };
        let nested =
            KeyValue { key: "l".into(), value: Some(AnyValue { value: Some(Value::ArrayValue(array)) }) };
        let span =
            Span { attributes: vec![double("a", 1.5), nested], events: vec![event], ..Default::default() };
        let trace = TracesData {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![double("r", f64::INFINITY)],
                    ..Default::default()
                }),
                scope_spans: vec![ScopeSpans { spans: vec![span], ..Default::default() }],
                ..Default::default()
            }],
        };
        let mut bytes = Vec::new();
        write(&trace, NonFinite::of_trace(&trace.resource_spans), &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"r","value":{"doubleValue":"Infinity"}}]},"#,
                r#""scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":{"doubleValue":1.5}},"#,
                r#"{"key":"l","value":{"arrayValue":{"values":[{"doubleValue":"NaN"},{}]}}}],"#,
                r#""events":[{"attributes":[{"key":"e","value":{"doubleValue":"-Infinity"}}]}]}]}]}]}"#,
            )
        );
        assert!(!text.contains("null"));
    }

    #[test]
    fn enum_numbers_without_a_name_are_numbers() {
        let unknown =
            Span { kind: 9, status: Some(Status { code: 3, ..Status::default() }), ..Span::default() };
        let known =
            Span { kind: 2, status: Some(Status { code: 2, ..Status::default() }), ..Span::default() };
        let text = [unknown, known].map(|span| {
            let mut bytes = Vec::new();
            write(&span, NonFinite::default(), &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        });
        assert_eq!(text[0], r#"{"kind":9,"status":{"code":3}}"#);
        assert_eq!(text[1], r#"{"kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR"}}"#);
    }
}
