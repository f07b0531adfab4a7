//! `status` of the custom resource: what was observed, and when.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The condition type that says whether the Tempo serves: a trace sent in was read back.
pub const READY: &str = "Ready";
/// The condition type that says whether a change is on its way.
pub const PROGRESSING: &str = "Progressing";
/// The condition type that says whether the document is valid.
pub const VALID: &str = "Valid";

/// What was observed of a Tempo.
///
/// Read leniently: a newer writer may have put more into it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TempoStatus {
    /// The `metadata.generation` that all of this speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Progressing` and `Valid`, each with the generation it was observed at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The version that runs, the oldest of all components while an upgrade is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The verdict in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// By component name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, ComponentStatus>,
    /// Instances of all components that should run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Instances of all components that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Both as shown in a list: `7/8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas_summary: Option<String>,
}

/// Whether a Tempo does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// Spans are taken in and read back, and every instance is ready.
    Healthy,
    /// Spans are taken in and read back, but not every instance is ready.
    Degraded,
    /// Spans are not taken in, or not read back.
    Unhealthy,
    /// Not looked at yet.
    Unknown,
}

/// What was observed of one component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Instances that should run.
    pub desired: i32,
    /// Instances that are ready.
    pub ready: i32,
    /// Instances that run what the document now says.
    pub updated: i32,
    /// The version they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why not all are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
