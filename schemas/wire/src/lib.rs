//! The protobuf messages and services on the wire: OTLP, Tempo's query API, and our internal RPCs.
//!
//! JSON of [`otlp`] and [`tempopb`] messages (through serde) is the protobuf JSON form that Tempo's
//! API speaks: lowerCamel names, 64-bit numbers as strings, bytes as base64, defaults left out.
//! OTLP/JSON as exporters send it differs (ids in hex) and is read by the distributor.

mod json_enum;

/// OTLP traces: `opentelemetry.proto.*.v1` in one flat module.
#[expect(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in the .proto files"
)]
pub mod otlp {
    include!(concat!(env!("OUT_DIR"), "/otlp.rs"));
    include!(concat!(env!("OUT_DIR"), "/otlp.serde.rs"));
}

/// Tempo's query API.
#[expect(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in the .proto files"
)]
pub mod tempopb {
    include!(concat!(env!("OUT_DIR"), "/tempopb.rs"));
    include!(concat!(env!("OUT_DIR"), "/tempopb.serde.rs"));
}

/// RPCs between our own components.
#[expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in the .proto files"
)]
pub mod internal {
    include!(concat!(env!("OUT_DIR"), "/tempoform.rs"));
}
