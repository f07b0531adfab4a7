//! `spec.replication` and `spec.wal`: how much may break before an acknowledged span is lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In how many ingesters a recent trace is held, and over which zones they are spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ReplicationSpec {
    /// Copies of a recent trace. A write is acknowledged by a majority of them.
    /// Default: 3 with three or more ingesters, else 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub factor: Option<u32>,
    /// Zones over which ingesters, and the copies of each trace, are spread: values of the nodes' `topologyKey` label.
    /// Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub zones: Vec<String>,
    /// The node label that holds the zone. Default: `topology.kubernetes.io/zone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_key: Option<String>,
}

/// What an acknowledged write means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct WalSpec {
    /// What has happened to spans when their sender gets the answer. Default: `sync`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<WalDurability>,
}

/// What has happened to spans when their sender gets the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WalDurability {
    /// They are on the disk: safe from a crash of the machine. Writes of the same moment share one sync.
    #[default]
    Sync,
    /// They are with the operating system: safe from a crash of the process, not of the machine.
    Async,
}
