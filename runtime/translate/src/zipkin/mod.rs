//! Zipkin's spans, version 2, as JSON and protobuf both have them.
//!
//! Source: [zipkin2-api.yaml] and [zipkin.proto] of zipkin-api.
//!
//! [zipkin2-api.yaml]: https://github.com/openzipkin/zipkin-api/blob/master/zipkin2-api.yaml
//! [zipkin.proto]: https://github.com/openzipkin/zipkin-api/blob/master/zipkin.proto

pub(crate) mod json;
pub(crate) mod otlp;
pub(crate) mod proto;
mod resource;
mod scalar;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use tempoform_wire::otlp::SpanKind;

/// `debug` and `shared` say how a span was sampled and by whom its id was made, which OTLP has no words for.
#[derive(Debug, Default)]
pub(crate) struct Span {
    trace_id: [u8; 16],
    id: [u8; 8],
    parent_id: Option<[u8; 8]>,
    kind: SpanKind,
    name: String,
    /// Microseconds since 1970; 0 if unknown.
    timestamp: u64,
    /// Microseconds; 0 if unknown.
    duration: u64,
    local: Endpoint,
    remote: Endpoint,
    annotations: Vec<Annotation>,
    tags: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Endpoint {
    service_name: String,
    /// The IPv6 address if there are both.
    address: Option<IpAddr>,
    /// 0 if unknown.
    port: u16,
}

#[derive(Debug, Default)]
struct Annotation {
    /// Microseconds since 1970.
    timestamp: u64,
    value: String,
}

/// What a span takes, once it is read and once it is OTLP.
const SPAN_MEMORY: usize = size_of::<Span>() + size_of::<tempoform_wire::otlp::Span>();
/// The same for an annotation.
const ANNOTATION_MEMORY: usize = size_of::<Annotation>() + size_of::<tempoform_wire::otlp::span::Event>();
/// The same for a tag.
const TAG_MEMORY: usize = size_of::<(String, String)>() + size_of::<tempoform_wire::otlp::KeyValue>();
