use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use tempoform_document::{ByteSize, GoDuration};

/// Takes spans in, checks limits, hands them to ingesters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Distributor {
    /// What is listened to.
    pub receivers: Receivers,
    /// Longest attribute key or string value, bytes; longer ones are cut and counted. Default 2048.
    pub max_attribute_bytes: u32,
    /// When a client that met a limit should try again; 0 gives no hint. Default 5s.
    pub retry_after_on_resource_exhausted: GoDuration,
    /// Bytes of requests worked on at once; above it requests are refused as exhausted. Default 128 MiB.
    pub max_inflight_bytes: ByteSize,
}

impl Default for Distributor {
    fn default() -> Self {
        Self {
            receivers: Receivers::default(),
            max_attribute_bytes: 2048,
            retry_after_on_resource_exhausted: GoDuration::from_secs(5),
            max_inflight_bytes: ByteSize::from_mib(128),
        }
    }
}

/// What a distributor listens to, in the OpenTelemetry Collector's syntax.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Receivers {
    /// OTLP. Default: both protocols.
    pub otlp: Otlp,
}

/// The OTLP receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Its protocols; only those named are on. Default: both.
    pub protocols: OtlpProtocols,
}

/// OTLP's protocols. As in the Collector, a protocol is on when its key is there, even without a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpProtocols {
    /// OTLP over gRPC.
    #[serde(default, deserialize_with = "even_without_value", skip_serializing_if = "Option::is_none")]
    pub grpc: Option<OtlpGrpc>,
    /// OTLP over HTTP, `POST /v1/traces`, protobuf and JSON.
    #[serde(default, deserialize_with = "even_without_value", skip_serializing_if = "Option::is_none")]
    pub http: Option<OtlpHttp>,
}

/// A key that is there has a value, if only the default one.
fn even_without_value<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

impl Default for OtlpProtocols {
    fn default() -> Self {
        Self { grpc: Some(OtlpGrpc::default()), http: Some(OtlpHttp::default()) }
    }
}

/// OTLP over gRPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpGrpc {
    /// `host:port` to listen on. Default `localhost:4317`.
    pub endpoint: String,
    /// Certificate; without one it speaks plain gRPC. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ReceiverTls>,
    /// Largest request, after decompression, MiB. Default 16 (Collector: 4).
    pub max_recv_msg_size_mib: u32,
}

impl Default for OtlpGrpc {
    fn default() -> Self {
        Self { endpoint: "localhost:4317".to_owned(), tls: None, max_recv_msg_size_mib: 16 }
    }
}

/// OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpHttp {
    /// `host:port` to listen on. Default `localhost:4318`.
    pub endpoint: String,
    /// Certificate; without one it speaks plain HTTP. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ReceiverTls>,
    /// Largest request body, after decompression, bytes. Default 20 MiB.
    pub max_request_body_size: ByteSize,
}

impl Default for OtlpHttp {
    fn default() -> Self {
        Self {
            endpoint: "localhost:4318".to_owned(),
            tls: None,
            max_request_body_size: ByteSize::from_mib(20),
        }
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
