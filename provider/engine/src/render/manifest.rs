//! A Kubernetes object as the engine handles it: typed once, then data.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// A rendered Kubernetes object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// `apps/v1`.
    pub api_version: String,
    /// `StatefulSet`.
    pub kind: String,
    /// The namespace it lives in; `None`: the one that is chosen when it is applied.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The whole object, these fields included.
    pub value: Value,
}

impl Manifest {
    /// The object as one YAML document, the same bytes for the same object.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        super::yaml::to_string(&self.value)
    }
}

impl fmt::Display for Manifest {
    /// `StatefulSet tracing/tempo-ingester`, as people speak of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Several objects as one YAML stream.
#[must_use]
pub fn to_yaml_stream(manifests: &[Manifest]) -> String {
    manifests.iter().map(|m| format!("---\n{}", m.to_yaml())).collect()
}
