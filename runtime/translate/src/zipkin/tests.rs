use prost::Message as _;
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::span::{Event, Link};
use tempoform_wire::otlp::{ExportTraceServiceRequest, ResourceSpans, Span, SpanKind, StatusCode};

use crate::Format;
use crate::attributes::{attribute, text};
use crate::tests::damage;

fn translated(format: Format, body: &[u8]) -> Vec<ResourceSpans> {
    let otlp = format.translate(body).unwrap_or_else(|error| panic!("{error}"));
    ExportTraceServiceRequest::decode(&*otlp).expect("OTLP").resource_spans
}

/// The example of Zipkin's documentation, with everything that a span can say.
const WHOLE: &str = r#"[{
    "id": "352bff9a74ca9ad2", "traceId": "5af7183fb1d4cf5f", "parentId": "6b221d5bc9e6496c",
    "name": "get /api", "timestamp": 1556604172355737, "duration": 1431, "kind": "SERVER",
    "localEndpoint": {"serviceName": "backend", "ipv4": "192.168.99.1", "port": 3306},
    "remoteEndpoint": {"serviceName": "frontend", "ipv6": "2001:db8::1", "port": 58648},
    "annotations": [
        {"timestamp": 1556604172355800, "value": "ws"},
        {"timestamp": 1556604172355900, "value": "sold|{\"n\": 1, \"item\": \"tea|milk\", \"d\": 0.5}|2"}
    ],
    "tags": {
        "http.method": "GET", "http.path": "/api", "k8s.pod.name": "pod-1",
        "otel.library.name": "lib", "otel.library.version": "2",
        "otel.status_code": "ERROR", "error": "it failed", "w3c.tracestate": "a=b",
        "otel.link.0": "000000000000000000000000000000ff|00000000000000fe|s=t|{\"k\": true}|0"
    },
    "debug": true, "shared": true
}]"#;

#[test]
fn a_span_says_all_in_otlp() {
    let found = translated(Format::ZipkinJson, WHOLE.as_bytes());
    let [ResourceSpans { resource: Some(resource), scope_spans, .. }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(resource.attributes, [text("k8s.pod.name", "pod-1"), text("service.name", "backend")]);
    let scope = scope_spans[0].scope.as_ref().expect("a scope");
    assert_eq!((&*scope.name, &*scope.version), ("lib", "2"));
    let span = &scope_spans[0].spans[0];
    let number = |key: &str, value| attribute(key, Value::IntValue(value));
    assert_eq!(span.trace_id, 0x5af7_183f_b1d4_cf5f_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0x6b22_1d5b_c9e6_496c_u64.to_be_bytes());
    assert_eq!((span.kind(), &*span.name, &*span.trace_state), (SpanKind::Server, "get /api", "a=b"));
    assert_eq!(span.start_time_unix_nano, 1_556_604_172_355_737_000);
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_431_000);
    assert_eq!(
        span.attributes,
        [
            text("http.method", "GET"),
            text("http.path", "/api"),
            text("error", "it failed"),
            text("peer.service", "frontend"),
            text("net.host.ip", "192.168.99.1"),
            number("net.host.port", 3306),
            text("net.peer.ip", "2001:db8::1"),
            number("net.peer.port", 58648),
        ]
    );
    let status = span.status.as_ref().expect("a status");
    assert_eq!((status.code(), &*status.message), (StatusCode::Error, "it failed"));
    let item = vec![attribute("d", Value::DoubleValue(0.5)), text("item", "tea|milk"), number("n", 1)];
    let event = |time_unix_nano, name: &str, attributes, dropped_attributes_count| Event {
        time_unix_nano,
        name: name.to_owned(),
        attributes,
        dropped_attributes_count,
    };
    assert_eq!(
        span.events,
        [
            event(1_556_604_172_355_800_000, "ws", Vec::new(), 0),
            event(1_556_604_172_355_900_000, "sold", item, 2),
        ]
    );
    let link = Link {
        trace_id: 0xff_u128.to_be_bytes().to_vec(),
        span_id: 0xfe_u64.to_be_bytes().to_vec(),
        trace_state: "s=t".to_owned(),
        attributes: vec![attribute("k", Value::BoolValue(true))],
        ..Link::default()
    };
    assert_eq!(span.links, [link]);
}

/// `zipkin.proto3`, written by a decoder that is not under test.
mod proto3 {
    use std::collections::BTreeMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ListOfSpans {
        #[prost(message, repeated, tag = "1")]
        pub(super) spans: Vec<Span>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) parent_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) id: Vec<u8>,
        #[prost(int32, tag = "4")]
        pub(super) kind: i32,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(fixed64, tag = "6")]
        pub(super) timestamp: u64,
        #[prost(uint64, tag = "7")]
        pub(super) duration: u64,
        #[prost(message, optional, tag = "8")]
        pub(super) local_endpoint: Option<Endpoint>,
        #[prost(message, optional, tag = "9")]
        pub(super) remote_endpoint: Option<Endpoint>,
        #[prost(message, repeated, tag = "10")]
        pub(super) annotations: Vec<Annotation>,
        #[prost(btree_map = "string, string", tag = "11")]
        pub(super) tags: BTreeMap<String, String>,
        #[prost(bool, tag = "12")]
        pub(super) debug: bool,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Endpoint {
        #[prost(string, tag = "1")]
        pub(super) service_name: String,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) ipv4: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) ipv6: Vec<u8>,
        #[prost(int32, tag = "4")]
        pub(super) port: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Annotation {
        #[prost(fixed64, tag = "1")]
        pub(super) timestamp: u64,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }
}

fn whole_in_protobuf() -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_str(WHOLE).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let annotation = |value: &serde_json::Value| proto3::Annotation {
        timestamp: value["timestamp"].as_u64().expect("a time"),
        value: text(&value["value"]),
    };
    let span = proto3::Span {
        trace_id: 0x5af7_183f_b1d4_cf5f_u64.to_be_bytes().to_vec(),
        parent_id: 0x6b22_1d5b_c9e6_496c_u64.to_be_bytes().to_vec(),
        id: 0x352b_ff9a_74ca_9ad2_u64.to_be_bytes().to_vec(),
        kind: 2,
        name: text(&json[0]["name"]),
        timestamp: 1_556_604_172_355_737,
        duration: 1431,
        local_endpoint: Some(proto3::Endpoint {
            service_name: "backend".to_owned(),
            ipv4: vec![192, 168, 99, 1],
            ipv6: Vec::new(),
            port: 3306,
        }),
        remote_endpoint: Some(proto3::Endpoint {
            service_name: "frontend".to_owned(),
            ipv6: 0x2001_0db8_0000_0000_0000_0000_0000_0001_u128.to_be_bytes().to_vec(),
            port: 58648,
            ..proto3::Endpoint::default()
        }),
        annotations: json[0]["annotations"].as_array().expect("a list").iter().map(annotation).collect(),
        tags: json[0]["tags"]
            .as_object()
            .expect("tags")
            .iter()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
        debug: true,
    };
    proto3::ListOfSpans { spans: vec![span] }.encode_to_vec()
}

#[test]
fn json_and_protobuf_say_the_same() {
    let sorted = |mut found: Vec<ResourceSpans>| {
        found[0].scope_spans[0].spans[0].attributes.sort_by(|a, b| a.key.cmp(&b.key));
        found
    };
    let json = sorted(translated(Format::ZipkinJson, WHOLE.as_bytes()));
    assert_eq!(sorted(translated(Format::ZipkinProto, &whole_in_protobuf())), json);
}

#[test]
fn damaged_bodies_are_taken_or_refused() {
    damage(Format::ZipkinJson, WHOLE.as_bytes());
    damage(Format::ZipkinProto, &whole_in_protobuf());
}

fn span(json: &str) -> Span {
    let body = format!("[{{\"traceId\": \"a\", \"id\": \"b\", {json}}}]");
    translated(Format::ZipkinJson, body.as_bytes()).remove(0).scope_spans.remove(0).spans.remove(0)
}

#[test]
fn what_is_absent_stays_absent() {
    let bare = span(r#""kind": null, "tags": null, "localEndpoint": {"serviceName": null}"#);
    assert_eq!((bare.start_time_unix_nano, bare.status, bare.kind), (0, None, 0));
    let absent = attribute("otel.zipkin.absentField.startTime", Value::BoolValue(true));
    assert_eq!(bare.attributes, [absent]);
    assert_eq!(span(r#""parentId": "b""#).parent_span_id, [0; 0], "a shared span is not its own parent");
    assert_eq!(translated(Format::ZipkinJson, b"[]"), []);
}

#[test]
fn a_status_is_what_otel_says_or_an_error_that_is_true() {
    let status = |tags: &str| {
        let span = span(&format!("\"tags\": {{{tags}}}"));
        span.status.map(|status| (status.code(), status.message))
    };
    let with = |code, message: &str| Some((code, message.to_owned()));
    assert_eq!(status(r#""otel.status_code": "STATUS_CODE_OK""#), with(StatusCode::Ok, ""));
    assert_eq!(status(r#""error": "true""#), with(StatusCode::Error, ""));
    assert_eq!(status(r#""error": "a text""#), None);
    let described = r#""otel.status_code": "ERROR", "otel.status_description": "d", "error": "true""#;
    assert_eq!(status(described), with(StatusCode::Error, "d"));
}

#[test]
fn members_of_an_event_that_are_no_scalars_are_passed_over() {
    // Deeper than a tree of values is built: none is.
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let members = format!(
        r#"{{\"a\":{deep},\"b\":[0,{{}}],\"c\":{{\"d\":[1]}},\"e\":null,\"f\":-1,\"g\":18446744073709551615,\"h\":\"t\"}}"#
    );
    let events = span(&format!(r#""annotations": [{{"timestamp": 1, "value": "x|{members}|0"}}]"#)).events;
    let expected = vec![
        attribute("f", Value::IntValue(-1)),
        attribute("g", Value::DoubleValue(u64::MAX as f64)),
        text("h", "t"),
    ];
    assert_eq!((events[0].name.as_str(), &events[0].attributes), ("x", &expected));
}

#[test]
fn each_span_has_its_own_resource() {
    let body = r#"[
        {"traceId": "1", "id": "1", "localEndpoint": {"serviceName": "s"}, "tags": {"host.name": "a"}},
        {"traceId": "1", "id": "2", "localEndpoint": {"serviceName": "s"}, "tags": {"host.name": "b"}},
        {"traceId": "1", "id": "3", "localEndpoint": {"serviceName": "s"}, "tags": {"host.name": "a"}}
    ]"#;
    let found = translated(Format::ZipkinJson, body.as_bytes());
    let counts: Vec<usize> = found.iter().map(|found| found.scope_spans[0].spans.len()).collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn errors_say_what_and_where() {
    let cases = [
        (r#"[{"traceId": "1", "id": "xyz"}]"#, "[0].id: expected an id of 1 to 16 hexadecimal digits"),
        (r#"[{"traceId": "1"}]"#, "[0]: missing field `id`"),
        (r#"[{"traceId": "1", "id": "1", "tags": {"n": 1}}]"#, "[0].tags.n: invalid type: integer `1`"),
        (
            r#"[{"traceId": "1", "id": "1", "localEndpoint": {"ipv4": "x"}}]"#,
            "[0].localEndpoint.ipv4: is no IP address",
        ),
        ("{}", "invalid type: map, expected a sequence"),
        ("[] []", "trailing characters"),
    ];
    for (body, want) in cases {
        let error = Format::ZipkinJson.translate(body.as_bytes()).expect_err("malformed").to_string();
        assert!(error.starts_with("malformed Zipkin v2 JSON: ") && error.contains(want), "{error}");
    }
}
