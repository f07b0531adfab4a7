use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use tempoform_document::ByteSize;

/// What a distributor listens to, in the OpenTelemetry Collector's syntax: only receivers that are named are on.
/// A receiver and a protocol are on when their key is there, even without a value. Without any, OTLP is on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Named")]
#[schemars(!from, default, deny_unknown_fields)]
pub struct Receivers {
    /// OTLP. Default: both protocols if no other receiver is named, else off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Otlp>,
    /// Jaeger. Default off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<Jaeger>,
    /// Zipkin, `POST /api/v2/spans`, JSON and protobuf. Default off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zipkin: Option<HttpReceiver>,
}

impl Default for Receivers {
    fn default() -> Self {
        Self { otlp: Some(Otlp::default()), jaeger: None, zipkin: None }
    }
}

/// The receivers as they stand in the file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Named {
    #[serde(deserialize_with = "even_without_value")]
    otlp: Option<Otlp>,
    #[serde(deserialize_with = "even_without_value")]
    jaeger: Option<Jaeger>,
    #[serde(deserialize_with = "on_port::<9411, _, _>")]
    zipkin: Option<HttpReceiver>,
}

impl From<Named> for Receivers {
    fn from(named: Named) -> Self {
        let Named { otlp, jaeger, zipkin } = named;
        if otlp.is_none() && jaeger.is_none() && zipkin.is_none() {
            return Self::default();
        }
        Self { otlp, jaeger, zipkin }
    }
}

/// A key that is there has a value, if only the default one.
fn even_without_value<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

/// The same for a receiver that listens on `PORT` unless it says where.
fn on_port<'de, const PORT: u16, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Default + HasEndpoint + Deserialize<'de>,
    D: Deserializer<'de>,
{
    let mut receiver: T = Option::deserialize(deserializer)?.unwrap_or_default();
    if receiver.endpoint().is_empty() {
        *receiver.endpoint() = local::<T>(PORT).endpoint().clone();
    }
    Ok(Some(receiver))
}

/// A receiver with its defaults, on `port` of this machine.
fn local<T: Default + HasEndpoint>(port: u16) -> T {
    let mut receiver = T::default();
    *receiver.endpoint() = format!("localhost:{port}");
    receiver
}

trait HasEndpoint {
    fn endpoint(&mut self) -> &mut String;
}

/// The OTLP receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Its protocols; only those named are on. Default: both.
    pub protocols: OtlpProtocols,
}

/// OTLP's protocols.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpProtocols {
    /// OTLP over gRPC.
    #[serde(default, deserialize_with = "on_port::<4317, _, _>", skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcReceiver>,
    /// OTLP over HTTP, `POST /v1/traces`, protobuf and JSON.
    #[serde(default, deserialize_with = "on_port::<4318, _, _>", skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpReceiver>,
}

impl Default for OtlpProtocols {
    fn default() -> Self {
        Self { grpc: Some(local(4317)), http: Some(local(4318)) }
    }
}

/// The Jaeger receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jaeger {
    /// Its protocols; only those named are on. Default: all four.
    pub protocols: JaegerProtocols,
}

/// Jaeger's protocols.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JaegerProtocols {
    /// Jaeger over gRPC, `jaeger.api_v2.CollectorService`.
    #[serde(default, deserialize_with = "on_port::<14250, _, _>", skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcReceiver>,
    /// Binary Thrift over HTTP, `POST /api/traces`.
    #[serde(default, deserialize_with = "on_port::<14268, _, _>", skip_serializing_if = "Option::is_none")]
    pub thrift_http: Option<HttpReceiver>,
    /// Compact Thrift in UDP datagrams, as clients send it to an agent. Not with `multitenancy_enabled`.
    #[serde(default, deserialize_with = "on_port::<6831, _, _>", skip_serializing_if = "Option::is_none")]
    pub thrift_compact: Option<UdpReceiver>,
    /// Binary Thrift in UDP datagrams, as clients send it to an agent. Not with `multitenancy_enabled`.
    #[serde(default, deserialize_with = "on_port::<6832, _, _>", skip_serializing_if = "Option::is_none")]
    pub thrift_binary: Option<UdpReceiver>,
}

impl Default for JaegerProtocols {
    fn default() -> Self {
        Self {
            grpc: Some(local(14250)),
            thrift_http: Some(local(14268)),
            thrift_compact: Some(local(6831)),
            thrift_binary: Some(local(6832)),
        }
    }
}

/// A receiver over gRPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcReceiver {
    /// `host:port` to listen on. Default `localhost` and the protocol's port: OTLP 4317, Jaeger 14250.
    pub endpoint: String,
    /// Certificate; without one it speaks plain gRPC. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ReceiverTls>,
    /// Largest request, after decompression, MiB. Default 16 (Collector: 4).
    pub max_recv_msg_size_mib: u32,
}

impl Default for GrpcReceiver {
    fn default() -> Self {
        Self { endpoint: String::new(), tls: None, max_recv_msg_size_mib: 16 }
    }
}

/// A receiver over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpReceiver {
    /// `host:port` to listen on. Default `localhost` and the protocol's port: OTLP 4318, Jaeger 14268, Zipkin 9411.
    pub endpoint: String,
    /// Certificate; without one it speaks plain HTTP. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ReceiverTls>,
    /// Largest request body, after decompression, bytes. Default 20 MiB.
    pub max_request_body_size: ByteSize,
}

impl Default for HttpReceiver {
    fn default() -> Self {
        Self { endpoint: String::new(), tls: None, max_request_body_size: ByteSize::from_mib(20) }
    }
}

/// A receiver of UDP datagrams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UdpReceiver {
    /// `host:port` to listen on. Default `localhost` and the protocol's port: compact 6831, binary 6832.
    pub endpoint: String,
    /// Datagrams worked on at once; further ones are dropped and counted. Default 1000.
    pub queue_size: u32,
}

impl Default for UdpReceiver {
    fn default() -> Self {
        Self { endpoint: String::new(), queue_size: 1000 }
    }
}

/// A receiver's certificate, and whom it lets in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiverTls {
    /// PEM file with the certificate chain. Required.
    pub cert_file: String,
    /// PEM file with the private key. Required.
    pub key_file: String,
    /// PEM file with the authorities whose client certificates are demanded; empty asks for none.
    /// Default empty.
    pub client_ca_file: String,
}

/// A receiver that is on, whatever its protocol.
#[derive(Clone, Copy, Debug)]
pub struct Listening<'a> {
    /// Where it stands in the file.
    pub path: &'static str,
    /// `host:port`.
    pub endpoint: &'a str,
    /// Its certificate.
    pub tls: Option<&'a ReceiverTls>,
    /// How much it takes at once.
    pub limit: ListeningLimit,
}

/// How much a receiver takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListeningLimit {
    /// gRPC: bytes of a message, from a setting in MiB.
    Message(u64),
    /// HTTP: bytes of a body.
    Body(u64),
    /// UDP: datagrams.
    Datagrams(u32),
}

impl Receivers {
    /// Those that are on.
    pub fn listening(&self) -> Vec<Listening<'_>> {
        let otlp = self.otlp.as_ref().map(|otlp| &otlp.protocols);
        let jaeger = self.jaeger.as_ref().map(|jaeger| &jaeger.protocols);
        [
            otlp.and_then(|on| on.grpc.as_ref()).map(|on| on.at("distributor.receivers.otlp.protocols.grpc")),
            otlp.and_then(|on| on.http.as_ref()).map(|on| on.at("distributor.receivers.otlp.protocols.http")),
            jaeger
                .and_then(|on| on.grpc.as_ref())
                .map(|on| on.at("distributor.receivers.jaeger.protocols.grpc")),
            jaeger
                .and_then(|on| on.thrift_http.as_ref())
                .map(|on| on.at("distributor.receivers.jaeger.protocols.thrift_http")),
            jaeger
                .and_then(|on| on.thrift_compact.as_ref())
                .map(|on| on.at("distributor.receivers.jaeger.protocols.thrift_compact")),
            jaeger
                .and_then(|on| on.thrift_binary.as_ref())
                .map(|on| on.at("distributor.receivers.jaeger.protocols.thrift_binary")),
            self.zipkin.as_ref().map(|on| on.at("distributor.receivers.zipkin")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl HasEndpoint for GrpcReceiver {
    fn endpoint(&mut self) -> &mut String {
        &mut self.endpoint
    }
}

impl GrpcReceiver {
    fn at(&self, path: &'static str) -> Listening<'_> {
        let Self { endpoint, tls, max_recv_msg_size_mib } = self;
        let limit = ListeningLimit::Message(u64::from(*max_recv_msg_size_mib) << 20);
        Listening { path, endpoint, tls: tls.as_ref(), limit }
    }
}

impl HasEndpoint for HttpReceiver {
    fn endpoint(&mut self) -> &mut String {
        &mut self.endpoint
    }
}

impl HttpReceiver {
    fn at(&self, path: &'static str) -> Listening<'_> {
        let Self { endpoint, tls, max_request_body_size } = self;
        Listening { path, endpoint, tls: tls.as_ref(), limit: ListeningLimit::Body(max_request_body_size.0) }
    }
}

impl HasEndpoint for UdpReceiver {
    fn endpoint(&mut self) -> &mut String {
        &mut self.endpoint
    }
}

impl UdpReceiver {
    fn at(&self, path: &'static str) -> Listening<'_> {
        let Self { endpoint, queue_size } = self;
        Listening { path, endpoint, tls: None, limit: ListeningLimit::Datagrams(*queue_size) }
    }
}
