use prost::Message as _;
use tempoform_wire::otlp::*;

use super::*;

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

proptest::proptest! {
    /// What the scan accepts, a full decode accepts: nothing undecodable gets past it.
    #[test]
    fn accepts_only_what_decodes(position in 0usize..400, byte: u8) {
        let mut bytes = request(vec![span(1, 1), span(2, 2), span(3, 3)]).encode_to_vec();
        let position = position % bytes.len();
        bytes[position] = byte;
        if scan_export_request(bytes.clone().into()).is_ok() {
            proptest::prop_assert!(ExportTraceServiceRequest::decode(bytes.as_slice()).is_ok());
        }
    }
}
