/// Which way a request came: labels of metrics, named as in Tempo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) receiver: &'static str,
    pub(crate) transport: &'static str,
}

impl Source {
    pub(crate) const OTLP_GRPC: Self = Self::new("otlp", "grpc");
    pub(crate) const OTLP_HTTP: Self = Self::new("otlp", "http");
    pub(crate) const JAEGER_GRPC: Self = Self::new("jaeger", "grpc");
    pub(crate) const JAEGER_HTTP: Self = Self::new("jaeger", "collector_http");
    pub(crate) const JAEGER_COMPACT: Self = Self::new("jaeger", "udp_thrift_compact");
    pub(crate) const JAEGER_BINARY: Self = Self::new("jaeger", "udp_thrift_binary");
    pub(crate) const ZIPKIN_JSON: Self = Self::new("zipkin", "http_v2_json");
    pub(crate) const ZIPKIN_PROTO: Self = Self::new("zipkin", "http_v2_proto");

    const fn new(receiver: &'static str, transport: &'static str) -> Self {
        Self { receiver, transport }
    }

    pub(crate) const fn labels(self) -> [&'static str; 2] {
        [self.receiver, self.transport]
    }
}
