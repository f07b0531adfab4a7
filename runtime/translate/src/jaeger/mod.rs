//! Jaeger's spans as Thrift and protobuf both have them.
//!
//! Source: [jaeger.thrift] and [model.proto] of jaeger-idl.
//!
//! [jaeger.thrift]: https://github.com/jaegertracing/jaeger-idl/blob/main/thrift/jaeger.thrift
//! [model.proto]: https://github.com/jaegertracing/jaeger-idl/blob/main/proto/api_v2/model.proto

pub(crate) mod otlp;
pub(crate) mod proto;
#[cfg(test)]
mod tests;
pub(crate) mod thrift;

use tempoform_wire::otlp::KeyValue;

use crate::fault::Fault;

#[derive(Debug, Default)]
pub(crate) struct Batch {
    process: Option<Process>,
    spans: Vec<Span>,
}

#[derive(Debug, Default)]
struct Process {
    service_name: String,
    tags: Vec<KeyValue>,
}

#[derive(Debug, Default)]
struct Span {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    /// Zero if it has none, or if a reference names it.
    parent_span_id: [u8; 8],
    operation_name: String,
    references: Vec<Reference>,
    flags: u32,
    /// Nanoseconds since 1970.
    start: u64,
    end: u64,
    tags: Vec<KeyValue>,
    logs: Vec<Log>,
    /// Its own process, before that of the batch.
    process: Option<Process>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ReferenceKind {
    #[default]
    ChildOf,
    FollowsFrom,
}

#[derive(Debug, Default)]
struct Reference {
    kind: ReferenceKind,
    trace_id: [u8; 16],
    span_id: [u8; 8],
}

#[derive(Debug, Default)]
struct Log {
    /// Nanoseconds since 1970.
    time: u64,
    fields: Vec<KeyValue>,
}

impl ReferenceKind {
    const fn of(number: u64) -> Self {
        if number == 0 { Self::ChildOf } else { Self::FollowsFrom }
    }
}

/// What a span takes, once it is read and once it is OTLP.
const SPAN_MEMORY: usize = size_of::<Span>() + size_of::<tempoform_wire::otlp::Span>();
/// The same for a log.
const LOG_MEMORY: usize = size_of::<Log>() + size_of::<tempoform_wire::otlp::span::Event>();
/// The same for a reference.
const REFERENCE_MEMORY: usize = size_of::<Reference>() + size_of::<tempoform_wire::otlp::span::Link>();

/// Nanoseconds since 1970, as OTLP has them.
fn unix_nanos(nanos: i128, name: &str) -> Result<u64, Fault> {
    u64::try_from(nanos).map_err(|_| {
        Fault::new(format!("{nanos} ns since 1970 is no time between 1970 and 2554")).within(name)
    })
}
