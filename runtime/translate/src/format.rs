use crate::fault::{Fault, Malformed};
use crate::groups::Groups;
use crate::memory::Memory;
use crate::{jaeger, zipkin};

/// What bytes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `jaeger.api_v2.PostSpansRequest`, as sent to `CollectorService/PostSpans`.
    JaegerProto,
    /// A Thrift `Batch` in the binary protocol, as sent over HTTP.
    JaegerThriftBinary,
    /// A Thrift message `Agent.emitBatch` in the compact protocol: a datagram.
    JaegerAgentCompact,
    /// A Thrift message `Agent.emitBatch` in the binary protocol: a datagram.
    JaegerAgentBinary,
    /// A JSON list of Zipkin v2 spans.
    ZipkinJson,
    /// `zipkin.proto3.ListOfSpans`.
    ZipkinProto,
}

impl Format {
    /// Turns `body` into an encoded OTLP `ExportTraceServiceRequest`. Ids are checked by who reads that.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn translate(self, body: &[u8]) -> Result<Vec<u8>, Malformed> {
        self.groups(body).map(Groups::encode).map_err(|fault| Malformed { format: self.name(), fault })
    }

    /// Most memory that translating `body` takes, bytes, without `body` itself: an estimate for JSON, a limit
    /// for everything else.
    pub fn memory(self, body: &[u8]) -> u64 {
        match self {
            Self::ZipkinJson => zipkin::json::memory(body),
            _ => self.limit(body) as u64,
        }
    }

    fn groups(self, body: &[u8]) -> Result<Groups, Fault> {
        let mut memory = Memory::new(self.limit(body));
        let memory = &mut memory;
        Ok(match self {
            Self::JaegerProto => jaeger::otlp::groups(jaeger::proto::request(body, memory)?),
            Self::JaegerThriftBinary => jaeger::otlp::groups(jaeger::thrift::batch(body, memory)?),
            Self::JaegerAgentCompact => jaeger::otlp::groups(jaeger::thrift::emitted_compact(body, memory)?),
            Self::JaegerAgentBinary => jaeger::otlp::groups(jaeger::thrift::emitted_binary(body, memory)?),
            Self::ZipkinJson => zipkin::otlp::groups(zipkin::json::spans(body)?),
            Self::ZipkinProto => zipkin::otlp::groups(zipkin::proto::spans(body, memory)?),
        })
    }

    /// Real spans take 3 to 10 times their size on the wire, most where they are smallest.
    fn limit(self, body: &[u8]) -> usize {
        body.len().saturating_mul(16).saturating_add(4096)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::JaegerProto => "jaeger.api_v2.PostSpansRequest",
            Self::JaegerThriftBinary => "Jaeger batch in binary Thrift",
            Self::JaegerAgentCompact => "Jaeger datagram in compact Thrift",
            Self::JaegerAgentBinary => "Jaeger datagram in binary Thrift",
            Self::ZipkinJson => "Zipkin v2 JSON",
            Self::ZipkinProto => "zipkin.proto3.ListOfSpans",
        }
    }
}
