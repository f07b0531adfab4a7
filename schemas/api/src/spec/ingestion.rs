//! `spec.ingestion`: by which protocols spans come in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tls::ServerTlsSpec;

/// By which protocols spans come in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct IngestionSpec {
    /// OpenTelemetry's protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpSpec>,
}

/// OpenTelemetry's protocol over its two transports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct OtlpSpec {
    /// Over gRPC. Default: enabled on port 4317.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<ReceiverSpec>,
    /// Over HTTP, as protobuf or JSON. Default: enabled on port 4318.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<ReceiverSpec>,
}

/// One receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ReceiverSpec {
    /// Whether it listens. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Its certificate. Default: the `tls` of the component's block, else none: plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTlsSpec>,
}
