use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use tempoform_wire::otlp::*;

use super::*;
use crate::protobuf::{put_bytes, put_varint};

fn span(trace: u8, id: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: format!("span {id}"),
        attributes: vec![KeyValue {
            key: "list".into(),
            value: Some(AnyValue {
                value: Some(any_value::Value::ArrayValue(ArrayValue {
                    values: vec![AnyValue {
                        value: Some(any_value::Value::StringValue("longest value".into())),
                    }],
                })),
            }),
        }],
        ..Default::default()
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![
            ResourceSpans::default(),
            ResourceSpans {
                resource: Some(Resource { dropped_attributes_count: 3, ..Default::default() }),
                scope_spans: vec![
                    ScopeSpans::default(),
                    ScopeSpans { spans, schema_url: "https://schema".into(), ..Default::default() },
                ],
                ..Default::default()
            },
        ],
    }
}

fn scan(request: &ExportTraceServiceRequest) -> Result<SpanBatch, MalformedRequest> {
    scan_export_request(request.encode_to_vec().into())
}

#[test]
fn finds_every_span_with_its_surroundings() {
    let sent = request(vec![span(1, 1), span(2, 2)]);
    let batch = scan(&sent).expect("well-formed");

    let found: Vec<Span> =
        batch.spans.iter().map(|s| Span::decode(batch.bytes(&s.span)).expect("span")).collect();
    assert_eq!(found, sent.resource_spans[1].scope_spans[1].spans);
    assert_eq!(batch.spans[1].trace_id, TraceId::new([2; 16]));
    assert_eq!((batch.resources.len(), batch.scopes.len()), (1, 1), "elements without spans are not kept");
    let resource = Resource::decode(batch.bytes(&batch.resources[0].resource)).expect("resource");
    assert_eq!(Some(resource), sent.resource_spans[1].resource);
    assert_eq!(batch.bytes(&batch.scopes[0].schema_url), b"https://schema");
    assert_eq!(batch.longest_attribute, "longest value".len());
}

#[test]
fn refuses_ids_of_the_wrong_length() {
    let short = Span { trace_id: vec![1; 8], ..span(1, 1) };
    assert_eq!(scan(&request(vec![short])).unwrap_err(), MalformedRequest::TraceId(8));
    let zero = Span { trace_id: vec![0; 16], ..span(1, 1) };
    assert_eq!(scan(&request(vec![zero])).unwrap_err(), MalformedRequest::TraceId(16));
    let none = Span { span_id: vec![], ..span(1, 1) };
    assert_eq!(scan(&request(vec![none])).unwrap_err(), MalformedRequest::SpanId(0));
}

#[test]
fn every_truncation_is_refused_or_a_valid_prefix() {
    let whole = request(vec![span(1, 1), span(2, 2)]).encode_to_vec();
    for length in 0..whole.len() {
        let cut = Bytes::copy_from_slice(&whole[..length]);
        let ours = scan_export_request(cut.clone()).is_ok();
        assert_eq!(ours, ExportTraceServiceRequest::decode(cut).is_ok(), "cut at {length}");
    }
}

#[test]
fn deep_nesting_is_refused_before_the_stack_suffers() {
    let mut value = AnyValue { value: Some(any_value::Value::IntValue(1)) };
    for _ in 0..60 {
        value = AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    let deep = Span { attributes: vec![KeyValue { key: "k".into(), value: Some(value) }], ..span(1, 1) };
    let error = scan(&request(vec![deep])).unwrap_err();
    assert!(matches!(error, MalformedRequest::Wire { problem: Problem::TooDeep, .. }), "{error}");
}

/// One field, mostly well-formed: a known or unknown number, any wire type, any content.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![8 => 1u64..17, 1 => Just(0), 1 => 17u64..40, 1 => (1u64 << 28)..(1 << 30)];
    let number_of_any_length = prop_oneof![
        3 => any::<u64>().prop_map(varint),
        // Ten bytes, of which the last has more bits than fit, and runs that never end.
        1 => (vec(0x80u8.., 9), any::<u8>()).prop_map(|(mut bytes, last)| {
            bytes.push(last);
            bytes
        }),
        1 => vec(0x80u8.., 0..12),
    ];
    let body = prop_oneof![
        ".{0,8}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..12),
        // A field within: what a submessage looks like.
        (1u8..8, number_of_any_length.clone())
            .prop_map(|(number, value)| [&[number << 3], value.as_slice()].concat()),
        (1u8..8, vec(any::<u8>(), 0..4)).prop_map(|(number, value)| {
            let mut bytes = Vec::new();
            put_bytes(&mut bytes, number, &value);
            bytes
        }),
    ];
    let value = prop_oneof![
        2 => number_of_any_length.prop_map(|value| (0, value)),
        1 => vec(any::<u8>(), 8).prop_map(|value| (1, value)),
        3 => body.prop_map(|body| (2, [varint(body.len() as u64), body].concat())),
        1 => vec(any::<u8>(), 4).prop_map(|value| (5, value)),
        1 => (3u64..8, vec(any::<u8>(), 0..6)),
    ];
    (number, value).prop_map(|(number, (wire_type, value))| {
        let mut bytes = varint(number << 3 | wire_type);
        bytes.extend(value);
        bytes
    })
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, value);
    bytes
}

/// A request with one more field in any of its messages; `place` counts them from the outside.
fn with_field(place: usize, extra: &[u8]) -> Vec<u8> {
    let message = |at: usize, fields: &[(u8, &[u8])]| {
        let mut bytes = Vec::new();
        fields.iter().for_each(|(number, body)| put_bytes(&mut bytes, *number, body));
        if at == place {
            bytes.extend(extra);
        }
        bytes
    };
    let list = message(0, &[(1, &message(1, &[(1, b"text")]))]);
    let pairs = message(2, &[(1, &message(3, &[(1, b"key"), (2, &message(4, &[]))]))]);
    let attribute = message(5, &[(1, b"key"), (2, &message(6, &[(5, &list)]))]);
    let nested = message(7, &[(1, b"key"), (2, &message(8, &[(6, &pairs)]))]);
    let event = message(9, &[(2, b"event"), (3, &attribute)]);
    let link = message(10, &[(1, &[1; 16]), (2, &[1; 8]), (4, &attribute)]);
    let ids: [(u8, &[u8]); 2] = [(1, &[1; 16]), (2, &[1; 8])];
    let parts: [(u8, &[u8]); 5] =
        [(9, &attribute), (9, &nested), (11, &event), (13, &link), (15, &message(11, &[(2, b"status")]))];
    let span = message(12, &[ids.as_slice(), &parts].concat());
    let scope = message(13, &[(1, b"scope"), (3, &attribute)]);
    let scope_spans = message(14, &[(1, &scope), (2, &span), (3, b"url")]);
    let resource = message(15, &[(1, &attribute)]);
    let resource_spans = message(16, &[(1, &resource), (2, &scope_spans), (3, b"url")]);
    message(17, &[(1, &resource_spans)])
}

/// Whether the scan accepts it. What it accepts, a full decode accepts, and so does a decode of each part by itself.
fn assert_accepted_only_if_it_decodes(bytes: Vec<u8>) -> bool {
    let Ok(batch) = scan_export_request(bytes.clone().into()) else { return false };
    let whole = ExportTraceServiceRequest::decode(bytes.as_slice());
    assert!(whole.is_ok(), "{whole:?} of {bytes:x?}");
    for span in &batch.spans {
        assert!(Span::decode(batch.bytes(&span.span)).is_ok());
    }
    for scope in &batch.scopes {
        assert!(InstrumentationScope::decode(batch.bytes(&scope.scope)).is_ok());
    }
    for resource in &batch.resources {
        assert!(Resource::decode(batch.bytes(&resource.resource)).is_ok());
    }
    true
}

#[test]
fn a_field_of_every_message_is_looked_at() {
    for place in 0..18 {
        let unknown = with_field(place, &[0xf8, 1, 1]);
        assert!(assert_accepted_only_if_it_decodes(unknown), "message {place}");
        let too_long = [&[0xf8, 1][..], &[0xff; 9], &[2]].concat();
        assert!(!assert_accepted_only_if_it_decodes(with_field(place, &too_long)), "message {place}");
    }
}

#[test]
fn the_deepest_value_that_is_accepted_decodes() {
    for kind in [5, 6] {
        let mut accepted = 0;
        for levels in 0..60 {
            let mut value = Vec::new();
            for _ in 0..levels {
                let mut element = Vec::new();
                put_bytes(&mut element, if kind == 5 { 1 } else { 2 }, &value);
                let mut list = Vec::new();
                if kind == 5 {
                    list.extend(&element)
                } else {
                    put_bytes(&mut list, 1, &element)
                }
                value.clear();
                put_bytes(&mut value, kind, &list);
            }
            let mut attribute = Vec::new();
            put_bytes(&mut attribute, 2, &value);
            let mut event = Vec::new();
            put_bytes(&mut event, 3, &attribute);
            // The deepest place for a value: an event's attribute.
            let mut field = Vec::new();
            put_bytes(&mut field, 11, &event);
            accepted += usize::from(assert_accepted_only_if_it_decodes(with_field(12, &field)));
        }
        assert_eq!(accepted, MAX_DEPTH as usize + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Nothing undecodable gets past the scan, whatever is wrong and wherever.
    #[test]
    fn accepts_only_what_decodes(
        place in 0usize..18,
        extra in field(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = with_field(place, &extra);
        assert_accepted_only_if_it_decodes(bytes.clone());
        for (position, byte) in changes {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        assert_accepted_only_if_it_decodes(bytes);
    }
}
