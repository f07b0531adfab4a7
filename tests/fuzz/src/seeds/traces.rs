//! OTLP requests, and other formats of spans in protobuf.

use bytes::Bytes;
use prost::Message as _;
use tempoform_core::protobuf::{put_bytes, put_varint};
use tempoform_core::{Compressed, TraceId};
use tempoform_wire::internal::{PushRequest, PushedBatch};
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{
    AnyValue, ArrayValue, ExportTraceServiceRequest, InstrumentationScope, KeyValue, KeyValueList, Resource,
    ResourceSpans, ScopeSpans, Span, Status, span,
};

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn attributes() -> Vec<KeyValue> {
    let any = |value| AnyValue { value: Some(value) };
    vec![
        attribute("str", Value::StringValue("x".to_owned())),
        attribute("int", Value::IntValue(-1)),
        attribute("double", Value::DoubleValue(0.5)),
        attribute("bool", Value::BoolValue(true)),
        attribute("bytes", Value::BytesValue(vec![0, 255])),
        attribute(
            "list",
            Value::ArrayValue(ArrayValue { values: vec![any(Value::IntValue(1)), AnyValue::default()] }),
        ),
        attribute(
            "map",
            Value::KvlistValue(KeyValueList { values: vec![attribute("k", Value::IntValue(7))] }),
        ),
    ]
}

pub(super) fn span(trace: u8, id: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if id > 1 { vec![id - 1; 8] } else { Vec::new() },
        trace_state: "a=b".to_owned(),
        flags: 0x101,
        name: format!("operation {id}"),
        kind: i32::from(id % 6),
        start_time_unix_nano: 1_700_000_000_000_000_000 + u64::from(id),
        end_time_unix_nano: 1_700_000_001_000_000_000,
        attributes: attributes(),
        dropped_attributes_count: 1,
        events: vec![span::Event {
            time_unix_nano: 5,
            name: "event".to_owned(),
            attributes: attributes(),
            ..Default::default()
        }],
        links: vec![span::Link {
            trace_id: vec![9; 16],
            span_id: vec![9; 8],
            attributes: attributes(),
            flags: 1,
            ..Default::default()
        }],
        status: Some(Status { message: "it failed".to_owned(), code: 2 }),
        ..Span::default()
    }
}

pub(super) fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "library".to_owned(),
        version: "1".to_owned(),
        attributes: attributes(),
        dropped_attributes_count: 2,
    };
    let resource = Resource {
        attributes: vec![attribute("service.name", Value::StringValue("shop".to_owned()))],
        dropped_attributes_count: 0,
    };
    let scope_spans = vec![
        ScopeSpans { scope: Some(scope), spans, schema_url: "https://scope".to_owned() },
        ScopeSpans {
            spans: vec![Span { trace_id: vec![1; 16], span_id: vec![77; 8], ..Span::default() }],
            ..Default::default()
        },
    ];
    let whole =
        ResourceSpans { resource: Some(resource), scope_spans, schema_url: "https://resource".to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans::default(), whole] }
}

/// Requests by traces and spans.
pub(super) fn some_requests() -> Vec<ExportTraceServiceRequest> {
    let small = Span { trace_id: vec![1; 16], span_id: vec![1; 8], ..Span::default() };
    let small = ScopeSpans { spans: vec![small.clone(), small], ..ScopeSpans::default() };
    let small = ResourceSpans { scope_spans: vec![small], ..ResourceSpans::default() };
    vec![
        ExportTraceServiceRequest { resource_spans: vec![small] },
        request(vec![span(1, 1)]),
        request(vec![span(1, 1), span(1, 2), span(2, 3), span(1, 4)]),
    ]
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    some_requests().iter().map(prost::Message::encode_to_vec).chain([Vec::new()]).collect()
}

/// The traces of a block: id, and what is in it.
pub(super) fn by_trace() -> Vec<(TraceId, ExportTraceServiceRequest)> {
    let trace = |id: u8| (TraceId::new([id; 16]), request((1..=id).map(|n| span(id, n)).collect()));
    (1..4).map(trace).collect()
}

pub(crate) fn pushes() -> Vec<Vec<u8>> {
    let batches = requests().into_iter().enumerate().map(|(number, payload)| {
        let compressed = Compressed::new(&payload).bytes().clone();
        let number = number as u64;
        let (spans, compressed_spans) =
            if number == 1 { (payload.into(), Bytes::new()) } else { (Bytes::new(), compressed) };
        let (origin, followed) = (u64::from(number != 1), number == 2);
        PushedBatch { origin, number, followed, spans, compressed_spans, part: followed }
    });
    let batches: Vec<_> = batches.collect();
    vec![PushRequest { batches }.encode_to_vec(), Vec::new()]
}

pub(crate) fn compressed() -> Vec<Vec<u8>> {
    let requests = requests();
    requests.iter().map(|request| Compressed::new(request).bytes().to_vec()).chain([vec![255; 8]]).collect()
}

/// Encodes a message whose fields have numbers below 16.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    fields.iter().for_each(|(number, body)| put_bytes(&mut message, *number, body));
    message
}

fn number(field: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    put_varint(&mut bytes, value);
    bytes
}

/// `jaeger.api_v2.PostSpansRequest`, see the schema of Jaeger's `model.proto`.
pub(crate) fn jaeger_proto() -> Vec<Vec<u8>> {
    let time = number(1, 1_700_000_000);
    let tag = |key: &[u8], kind: u64, value: Vec<u8>| [message(&[(1, key)]), number(2, kind), value].concat();
    let tags = [
        tag(b"span.kind", 0, message(&[(3, b"server")])),
        tag(b"error", 1, number(4, 1)),
        tag(b"number", 2, number(5, 42)),
        tag(b"bytes", 4, message(&[(7, b"\xff")])),
    ];
    let reference = [message(&[(1, &[2; 16]), (2, &[2; 8])]), number(3, 1)].concat();
    let log = message(&[(1, &time), (2, &tags[0])]);
    let process = message(&[(1, b"shop"), (2, &tags[2])]);
    let span = [
        message(&[(1, &[1; 16]), (2, &[1; 8]), (3, b"operation"), (4, &reference)]),
        number(5, 1),
        message(&[
            (6, &time),
            (7, &time),
            (8, &tags[0]),
            (8, &tags[1]),
            (8, &tags[2]),
            (8, &tags[3]),
            (9, &log),
            (10, &process),
        ]),
    ]
    .concat();
    let batch = message(&[(1, &span), (1, &span), (2, &process)]);
    vec![message(&[(1, &batch)])]
}

/// `zipkin.proto3.ListOfSpans`.
pub(crate) fn zipkin_proto() -> Vec<Vec<u8>> {
    let endpoint = [message(&[(1, b"shop"), (2, &[127, 0, 0, 1]), (3, &[1; 16])]), number(4, 80)].concat();
    let fixed = |field: u8, value: u64| [vec![field << 3 | 1], value.to_le_bytes().to_vec()].concat();
    let annotation = [fixed(1, 7), message(&[(2, b"event|{\"a\": 1}|0")])].concat();
    let tag = |key: &[u8], value: &[u8]| message(&[(1, key), (2, value)]);
    let span = [
        message(&[(1, &[1; 16]), (2, &[2; 8]), (3, &[1; 8])]),
        number(4, 2),
        message(&[(5, b"operation")]),
        fixed(6, 1_700_000_000_000_000),
        number(7, 1000),
        message(&[
            (8, &endpoint),
            (9, &endpoint),
            (10, &annotation),
            (11, &tag(b"error", b"it failed")),
            (
                11,
                &tag(
                    b"otel.link.0",
                    b"000000000000000000000000000000ff|00000000000000fe|s=t|{\"k\": true}|0",
                ),
            ),
        ]),
        number(12, 1),
    ]
    .concat();
    vec![message(&[(1, &span), (1, &span)])]
}
