use proptest::prelude::*;
use prost::Message as _;
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::span::{Event, Link};
use tempoform_wire::otlp::{
    ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans, ScopeSpans, Span,
    SpanKind, Status, StatusCode,
};
use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TFieldIdentifier, TListIdentifier, TMessageIdentifier,
    TMessageType, TOutputProtocol, TStructIdentifier, TType,
};

use crate::Format;
use crate::attributes::{attribute, text};
use crate::tests::damage;

/// What Jaeger's formats can say, as tags.
fn tags_of(span: &Span, scope: Option<&InstrumentationScope>) -> Vec<KeyValue> {
    let mut tags = span.attributes.clone();
    let kind = match span.kind() {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
        SpanKind::Unspecified => "",
    };
    if !kind.is_empty() {
        tags.push(text("span.kind", kind));
    }
    if let Some(scope) = scope {
        tags.push(text("otel.scope.name", &*scope.name));
        tags.push(text("otel.scope.version", &*scope.version));
    }
    if let Some(status) = &span.status {
        let name = status.code().as_str_name().trim_start_matches("STATUS_CODE_");
        tags.push(text("otel.status_code", name));
        tags.push(text("otel.status_description", &*status.message));
        if status.code() == StatusCode::Error {
            tags.push(attribute("error", Value::BoolValue(true)));
        }
    }
    if !span.trace_state.is_empty() {
        tags.push(text("w3c.tracestate", &*span.trace_state));
    }
    tags
}

fn fields_of(event: &Event) -> Vec<KeyValue> {
    event.attributes.iter().cloned().chain([text("event", &*event.name)]).collect()
}

fn process_of(resource: &Resource) -> (String, Vec<KeyValue>) {
    let (name, tags): (Vec<_>, Vec<_>) =
        resource.attributes.iter().cloned().partition(|attribute| attribute.key == "service.name");
    let name = match name.into_iter().next().and_then(|name| name.value?.value) {
        Some(Value::StringValue(name)) => name,
        _ => String::new(),
    };
    (name, tags)
}

fn follows(link: &Link) -> i32 {
    i32::from(link.attributes[0] == text("opentracing.ref_type", "follows_from"))
}

/// The way back: OTLP as Thrift.
struct Writer<P>(P);

impl<P: TOutputProtocol> Writer<P> {
    fn emit(&mut self, resource_spans: &ResourceSpans) -> thrift::Result<()> {
        self.0.write_message_begin(&TMessageIdentifier::new("emitBatch", TMessageType::OneWay, 7))?;
        self.structure(|writer| writer.field(1, TType::Struct, |writer| writer.batch(resource_spans)))?;
        self.0.write_message_end()
    }

    fn batch(&mut self, resource_spans: &ResourceSpans) -> thrift::Result<()> {
        let (name, tags) = process_of(resource_spans.resource.as_ref().expect("a resource"));
        self.structure(|writer| {
            writer.field(1, TType::Struct, |writer| {
                writer.structure(|writer| {
                    writer.text(1, &name)?;
                    writer.list(2, &tags, Self::tag)
                })
            })?;
            let spans: Vec<_> = resource_spans
                .scope_spans
                .iter()
                .flat_map(|scope| scope.spans.iter().map(move |span| (scope.scope.as_ref(), span)))
                .collect();
            writer.list(2, &spans, |writer, (scope, span)| writer.span(*scope, span))
        })
    }

    fn span(&mut self, scope: Option<&InstrumentationScope>, span: &Span) -> thrift::Result<()> {
        let (start, end) = (span.start_time_unix_nano / 1000, span.end_time_unix_nano / 1000);
        self.structure(|writer| {
            writer.i64(1, id(&span.trace_id[8..]))?;
            writer.i64(2, id(&span.trace_id[..8]))?;
            writer.i64(3, id(&span.span_id))?;
            writer.i64(4, if span.parent_span_id.is_empty() { 0 } else { id(&span.parent_span_id) })?;
            writer.text(5, &span.name)?;
            writer.list(6, &span.links, |writer, link| {
                writer.structure(|writer| {
                    writer.i32(1, follows(link))?;
                    writer.i64(2, id(&link.trace_id[8..]))?;
                    writer.i64(3, id(&link.trace_id[..8]))?;
                    writer.i64(4, id(&link.span_id))
                })
            })?;
            writer.i32(7, span.flags.cast_signed())?;
            writer.i64(8, start.cast_signed())?;
            writer.i64(9, end.cast_signed() - start.cast_signed())?;
            writer.list(10, &tags_of(span, scope), Self::tag)?;
            writer.list(11, &span.events, |writer, event| {
                writer.structure(|writer| {
                    writer.i64(1, (event.time_unix_nano / 1000).cast_signed())?;
                    writer.list(2, &fields_of(event), Self::tag)
                })
            })?;
            // A field that nobody knows.
            writer.field(99, TType::Bool, |writer| writer.0.write_bool(true))
        })
    }

    fn tag(&mut self, tag: &KeyValue) -> thrift::Result<()> {
        let value = tag.value.as_ref().and_then(|value| value.value.as_ref()).expect("a value");
        self.structure(|writer| {
            writer.text(1, &tag.key)?;
            match value {
                Value::StringValue(text) => {
                    writer.i32(2, 0)?;
                    writer.text(3, text)
                }
                Value::DoubleValue(double) => {
                    writer.i32(2, 1)?;
                    writer.field(4, TType::Double, |writer| writer.0.write_double(*double))
                }
                Value::BoolValue(boolean) => {
                    writer.i32(2, 2)?;
                    writer.field(5, TType::Bool, |writer| writer.0.write_bool(*boolean))
                }
                Value::IntValue(int) => {
                    writer.i32(2, 3)?;
                    writer.i64(6, *int)
                }
                Value::BytesValue(bytes) => {
                    writer.i32(2, 4)?;
                    writer.field(7, TType::String, |writer| writer.0.write_bytes(bytes))
                }
                other => panic!("Jaeger has no {other:?}"),
            }
        })
    }

    fn structure(&mut self, fields: impl FnOnce(&mut Self) -> thrift::Result<()>) -> thrift::Result<()> {
        self.0.write_struct_begin(&TStructIdentifier::new(""))?;
        fields(self)?;
        self.0.write_field_stop()?;
        self.0.write_struct_end()
    }

    fn field(
        &mut self,
        number: i16,
        kind: TType,
        value: impl FnOnce(&mut Self) -> thrift::Result<()>,
    ) -> thrift::Result<()> {
        self.0.write_field_begin(&TFieldIdentifier::new("", kind, number))?;
        value(self)?;
        self.0.write_field_end()
    }

    fn list<T>(
        &mut self,
        number: i16,
        items: &[T],
        item: impl Fn(&mut Self, &T) -> thrift::Result<()>,
    ) -> thrift::Result<()> {
        self.field(number, TType::List, |writer| {
            let length = i32::try_from(items.len()).expect("few");
            writer.0.write_list_begin(&TListIdentifier::new(TType::Struct, length))?;
            items.iter().try_for_each(|one| item(writer, one))?;
            writer.0.write_list_end()
        })
    }

    fn text(&mut self, number: i16, text: &str) -> thrift::Result<()> {
        self.field(number, TType::String, |writer| writer.0.write_string(text))
    }

    fn i32(&mut self, number: i16, value: i32) -> thrift::Result<()> {
        self.field(number, TType::I32, |writer| writer.0.write_i32(value))
    }

    fn i64(&mut self, number: i16, value: i64) -> thrift::Result<()> {
        self.field(number, TType::I64, |writer| writer.0.write_i64(value))
    }
}

fn id(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().expect("8 bytes"))
}

/// The messages of `jaeger.api_v2`, written by a decoder that is not under test.
mod api_v2 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct PostSpansRequest {
        #[prost(message, optional, tag = "1")]
        pub(super) batch: Option<Batch>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Batch {
        #[prost(message, repeated, tag = "1")]
        pub(super) spans: Vec<Span>,
        #[prost(message, optional, tag = "2")]
        pub(super) process: Option<Process>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Process {
        #[prost(string, tag = "1")]
        pub(super) service_name: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) tags: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(int32, tag = "2")]
        pub(super) v_type: i32,
        #[prost(string, tag = "3")]
        pub(super) v_str: String,
        #[prost(bool, tag = "4")]
        pub(super) v_bool: bool,
        #[prost(int64, tag = "5")]
        pub(super) v_int64: i64,
        #[prost(double, tag = "6")]
        pub(super) v_float64: f64,
        #[prost(bytes = "vec", tag = "7")]
        pub(super) v_binary: Vec<u8>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Time {
        #[prost(int64, tag = "1")]
        pub(super) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(super) nanos: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Log {
        #[prost(message, optional, tag = "1")]
        pub(super) timestamp: Option<Time>,
        #[prost(message, repeated, tag = "2")]
        pub(super) fields: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct SpanRef {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        #[prost(int32, tag = "3")]
        pub(super) ref_type: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        pub(super) operation_name: String,
        #[prost(message, repeated, tag = "4")]
        pub(super) references: Vec<SpanRef>,
        #[prost(uint32, tag = "5")]
        pub(super) flags: u32,
        #[prost(message, optional, tag = "6")]
        pub(super) start_time: Option<Time>,
        #[prost(message, optional, tag = "7")]
        pub(super) duration: Option<Time>,
        #[prost(message, repeated, tag = "8")]
        pub(super) tags: Vec<KeyValue>,
        #[prost(message, repeated, tag = "9")]
        pub(super) logs: Vec<Log>,
        #[prost(message, optional, tag = "10")]
        pub(super) process: Option<Process>,
    }
}

fn time(nanos: u64) -> Option<api_v2::Time> {
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    Some(api_v2::Time { seconds: seconds.cast_signed(), nanos: nanos as i32 })
}

fn proto_tags(tags: &[KeyValue]) -> Vec<api_v2::KeyValue> {
    let tag = |tag: &KeyValue| {
        let mut made = api_v2::KeyValue { key: tag.key.clone(), ..api_v2::KeyValue::default() };
        match tag.value.clone().and_then(|value| value.value) {
            Some(Value::StringValue(text)) => made.v_str = text,
            Some(Value::BoolValue(boolean)) => (made.v_type, made.v_bool) = (1, boolean),
            Some(Value::IntValue(int)) => (made.v_type, made.v_int64) = (2, int),
            Some(Value::DoubleValue(double)) => (made.v_type, made.v_float64) = (3, double),
            Some(Value::BytesValue(bytes)) => (made.v_type, made.v_binary) = (4, bytes),
            other => panic!("Jaeger has no {other:?}"),
        }
        made
    };
    tags.iter().map(tag).collect()
}

fn proto_span(scope: Option<&InstrumentationScope>, span: &Span) -> api_v2::Span {
    let parent = api_v2::SpanRef {
        trace_id: span.trace_id.clone(),
        span_id: span.parent_span_id.clone(),
        ref_type: 0,
    };
    let links = span.links.iter().map(|link| api_v2::SpanRef {
        trace_id: link.trace_id.clone(),
        span_id: link.span_id.clone(),
        ref_type: follows(link),
    });
    let logs = span.events.iter().map(|event| api_v2::Log {
        timestamp: time(event.time_unix_nano),
        fields: proto_tags(&fields_of(event)),
    });
    api_v2::Span {
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        operation_name: span.name.clone(),
        references: (!parent.span_id.is_empty()).then_some(parent).into_iter().chain(links).collect(),
        flags: span.flags,
        start_time: time(span.start_time_unix_nano),
        duration: time(span.end_time_unix_nano - span.start_time_unix_nano),
        tags: proto_tags(&tags_of(span, scope)),
        logs: logs.collect(),
        process: None,
    }
}

fn proto(resource_spans: &ResourceSpans) -> Vec<u8> {
    let (service_name, tags) = process_of(resource_spans.resource.as_ref().expect("a resource"));
    let spans = resource_spans.scope_spans.iter();
    let spans = spans.flat_map(|scope| scope.spans.iter().map(|span| proto_span(scope.scope.as_ref(), span)));
    let process = Some(api_v2::Process { service_name, tags: proto_tags(&tags) });
    api_v2::PostSpansRequest { batch: Some(api_v2::Batch { spans: spans.collect(), process }) }
        .encode_to_vec()
}

/// The same in each of Jaeger's formats.
fn encodings(request: &ResourceSpans) -> [(Format, Vec<u8>); 4] {
    let (mut batch, mut compact, mut binary) = (Vec::new(), Vec::new(), Vec::new());
    Writer(TBinaryOutputProtocol::new(&mut batch, true)).batch(request).expect("written");
    Writer(TCompactOutputProtocol::new(&mut compact)).emit(request).expect("written");
    Writer(TBinaryOutputProtocol::new(&mut binary, true)).emit(request).expect("written");
    [
        (Format::JaegerThriftBinary, batch),
        (Format::JaegerAgentCompact, compact),
        (Format::JaegerAgentBinary, binary),
        (Format::JaegerProto, proto(request)),
    ]
}

fn translated(format: Format, body: &[u8]) -> Vec<ResourceSpans> {
    let otlp = format.translate(body).unwrap_or_else(|error| panic!("{format:?}: {error}"));
    ExportTraceServiceRequest::decode(&*otlp).expect("OTLP").resource_spans
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        "\\PC{0,8}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        prop::num::f64::NORMAL.prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..5).prop_map(Value::BytesValue),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let tags = prop::collection::btree_map("t\\.[a-z]{1,4}", values(), 0..4);
    tags.prop_map(|tags| tags.into_iter().map(|(key, value)| attribute(key, value)).collect())
}

prop_compose! {
    fn events()(micros in 0..1u64 << 50, name in "[a-z]{1,9}", attributes in attributes()) -> Event {
        Event { time_unix_nano: micros * 1000, name, attributes, dropped_attributes_count: 0 }
    }
}

prop_compose! {
    fn links()(trace_id in 1..=u128::MAX, span_id in 1..=u64::MAX, follows in any::<bool>()) -> Link {
        let kind = if follows { "follows_from" } else { "child_of" };
        Link {
            trace_id: trace_id.to_be_bytes().to_vec(),
            span_id: span_id.to_be_bytes().to_vec(),
            attributes: vec![text("opentracing.ref_type", kind)],
            ..Link::default()
        }
    }
}

prop_compose! {
    fn spans()(
        trace_id in prop_oneof![1..=u128::MAX, 1..=u128::from(u64::MAX)],
        span_id in 1..=u64::MAX,
        parent in prop::option::of(1..=u64::MAX),
        (name, kind, status) in ("\\PC{0,9}", 0..6i32, prop::option::of((0..3i32, "[a-z ]{0,9}"))),
        (start, duration) in (0..1u64 << 50, 0..1u64 << 40),
        trace_state in "([a-z]=[a-z])?",
        sampled in 0..2u32,
        attributes in attributes(),
        events in prop::collection::vec(events(), 0..3),
        links in prop::collection::vec(links(), 0..3),
    ) -> Span {
        Span {
            trace_id: trace_id.to_be_bytes().to_vec(),
            span_id: span_id.to_be_bytes().to_vec(),
            parent_span_id: parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
            trace_state,
            name,
            kind,
            start_time_unix_nano: start * 1000,
            end_time_unix_nano: (start + duration) * 1000,
            attributes,
            events,
            links,
            status: status.map(|(code, message)| Status { code, message }),
            flags: sampled,
            ..Span::default()
        }
    }
}

prop_compose! {
    fn requests()(
        service in "[a-z]{1,9}",
        attributes in attributes(),
        spans in prop::collection::vec(spans(), 1..4),
    ) -> ResourceSpans {
        let scope = InstrumentationScope { name: "lib".to_owned(), version: "1".to_owned(), ..Default::default() };
        let attributes = [text("service.name", service)].into_iter().chain(attributes).collect();
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    }
}

proptest! {
    #[test]
    fn what_otlp_said_in_jaegers_words_comes_back(request in requests()) {
        for (format, body) in encodings(&request) {
            prop_assert_eq!(translated(format, &body), std::slice::from_ref(&request), "{:?}", format);
        }
    }
}

fn one_span(tags: Vec<KeyValue>) -> ResourceSpans {
    let span = Span {
        trace_id: [1; 16].to_vec(),
        span_id: [2; 8].to_vec(),
        name: "one".to_owned(),
        start_time_unix_nano: 5_000_000,
        end_time_unix_nano: 6_000_000,
        attributes: tags,
        events: vec![Event { time_unix_nano: 5_500_000, name: "e".to_owned(), ..Event::default() }],
        ..Span::default()
    };
    let resource = Resource { attributes: vec![text("service.name", "s")], ..Resource::default() };
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

#[test]
fn damaged_bodies_are_taken_or_refused() {
    for (format, body) in encodings(&one_span(vec![text("k", "v"), attribute("b", Value::BoolValue(true))])) {
        damage(format, &body);
    }
}

fn span_with(tags: Vec<KeyValue>) -> Span {
    let mut found = translated(Format::JaegerProto, &proto(&one_span(tags)));
    found.remove(0).scope_spans.remove(0).spans.remove(0)
}

#[test]
fn a_status_is_what_error_says_then_what_otel_says_then_what_http_says() {
    let error = || attribute("error", Value::BoolValue(true));
    let code = |code| attribute("http.status_code", Value::IntValue(code));
    let cases = [
        (vec![error(), text("http.status_message", "gone")], Some((StatusCode::Error, "gone"))),
        (vec![error(), text("otel.status_code", "OK")], Some((StatusCode::Error, ""))),
        (vec![text("otel.status_code", "ok"), code(500)], Some((StatusCode::Ok, ""))),
        (vec![code(500)], Some((StatusCode::Error, ""))),
        (vec![text("http.status_code", "503")], Some((StatusCode::Error, ""))),
        (vec![code(404), text("span.kind", "client")], Some((StatusCode::Error, ""))),
        (vec![code(404), text("span.kind", "server")], None),
        (vec![code(200)], None),
        (vec![attribute("error", Value::BoolValue(false))], None),
        (vec![text("error", "a text")], None),
    ];
    for (tags, want) in cases {
        let status = span_with(tags.clone()).status;
        let have = status.as_ref().map(|status| (status.code(), &*status.message));
        assert_eq!(have, want, "{tags:?}");
    }
}

#[test]
fn a_key_that_stands_twice_has_its_last_value() {
    let span = span_with(vec![text("k", "first"), text("other", "o"), text("k", "last")]);
    assert_eq!(span.attributes, [text("other", "o"), text("k", "last")]);
}

#[test]
fn a_process_is_a_resource() {
    let process = |name: &str, tags: &[KeyValue]| api_v2::Process {
        service_name: name.to_owned(),
        tags: proto_tags(tags),
    };
    let span = |id: u8, process| api_v2::Span {
        trace_id: vec![id; 8],
        span_id: vec![id; 8],
        process,
        ..api_v2::Span::default()
    };
    let own =
        process("own", &[text("hostname", "h"), text("ip", "10.0.0.1"), text("jaeger.version", "Go-2.30")]);
    let spans = vec![span(1, None), span(2, Some(own.clone())), span(3, None), span(4, Some(own))];
    let batch = api_v2::Batch { spans, process: Some(process("batch", &[])) };
    let found =
        translated(Format::JaegerProto, &api_v2::PostSpansRequest { batch: Some(batch) }.encode_to_vec());
    let ids = |found: &ResourceSpans| -> Vec<u8> {
        found.scope_spans[0].spans.iter().map(|span| span.span_id[0]).collect()
    };
    assert_eq!(found.len(), 2);
    assert_eq!((ids(&found[0]), ids(&found[1])), (vec![1, 3], vec![2, 4]));
    assert_eq!(found[0].scope_spans[0].spans[0].trace_id, [[0; 8], [1; 8]].concat());
    let attributes = &found[1].resource.as_ref().expect("a resource").attributes;
    assert_eq!(
        *attributes,
        [
            text("service.name", "own"),
            text("host.name", "h"),
            text("ip", "10.0.0.1"),
            text("opencensus.exporterversion", "Jaeger-Go-2.30"),
        ]
    );
}

#[test]
fn errors_say_what_and_where() {
    let cases: [(Format, Vec<u8>, &str); 4] = [
        (
            Format::JaegerThriftBinary,
            vec![0],
            "malformed Jaeger batch in binary Thrift: process is missing (before byte 1)",
        ),
        (
            Format::JaegerThriftBinary,
            vec![0x0c, 0],
            "malformed Jaeger batch in binary Thrift: ends too early (before byte 2)",
        ),
        (
            Format::JaegerProto,
            vec![0x0a, 0x06, 0x0a, 0x04, 0x0a, 0x02, 1, 2],
            "malformed jaeger.api_v2.PostSpansRequest: batch.spans[0].trace_id: must be 8 or 16 bytes, found 2",
        ),
        (
            Format::JaegerAgentCompact,
            [&[0x82, 0x81, 0, 15][..], b"emitZipkinBatch"].concat(),
            "malformed Jaeger datagram in compact Thrift: is the message \"emitZipkinBatch\"; only calls of emitBatch are taken (before byte 19)",
        ),
    ];
    for (format, body, want) in cases {
        assert_eq!(format.translate(&body).expect_err("malformed").to_string(), want);
    }
}
