use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::{ByteSize, GoDuration};

use crate::Receivers;

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
    /// Bytes of requests worked on at once, or a quarter of the memory ceiling where that is less; above it requests are
    /// refused as exhausted. Default 128 MiB.
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
