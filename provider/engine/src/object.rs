//! Objects as declared and as found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of one thing that a target runs or keeps: a process, a StatefulSet, a Secret.
///
/// Displays as `Kind/name` or `Kind/namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// `Process`, or a Kubernetes kind.
    pub kind: String,
    /// Absent for objects that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name within kind and namespace.
    pub name: String,
}

impl ObjectId {
    /// An object without a namespace.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: None, name: name.into() }
    }

    /// The same object in a namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// One object as structured values, declared or found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its name.
    pub id: ObjectId,
    /// The component of the document it belongs to (`ingester`, `queryFrontend`, `tempo`, …).
    pub component: String,
    /// Place in the order of creation: lower first; removal goes the other way round.
    pub wave: u8,
    /// Whether it holds acknowledged data that is not in object storage yet. Such objects of one
    /// component are changed one after the other.
    pub stateful: bool,
    /// Everything that is declared about it.
    pub value: Value,
}

/// What must not change by accident, compared between the declared and the running state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guarded {
    /// Copies of each span that ingesters keep.
    pub replication_factor: u32,
    /// Declared ingesters (of a single binary: its replicas).
    pub ingesters: u32,
    /// Where blocks are, for people: `s3://bucket/prefix`, `local:/path`.
    pub storage: String,
    /// Whether requests name a tenant.
    pub multitenancy: bool,
}

/// The declared state, rendered for a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Name of the document.
    pub name: String,
    /// Compared before anything is changed.
    pub guarded: Guarded,
    /// Every object that must exist.
    pub objects: Vec<Object>,
}

/// The state of an object that a target found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It exists as recorded.
    Live,
    /// It is recorded, and does not run; why.
    Down(String),
    /// A former apply was interrupted or failed while it changed this object; why.
    Unfinished(String),
}

/// An object that a target found, with its state.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedObject {
    /// The live or last applied value.
    pub object: Object,
    /// Whether it is as it should be.
    pub condition: Condition,
}

/// What a target found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Absent when nothing was applied yet.
    pub guarded: Option<Guarded>,
    /// Every object that belongs to the document.
    pub objects: Vec<ObservedObject>,
    /// What could not be found out, or will be in the way, for people.
    pub notes: Vec<String>,
}

/// The TLS of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointTls {
    /// The file with its certificate, in PEM form.
    pub certificate: PathBuf,
    /// Whether clients must show a certificate too.
    pub asks_for_certificates: bool,
}

/// One running instance of a component and where it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The component as the document names it: `distributor`, `queryFrontend`, `tempo`, …
    pub name: String,
    /// The instance, unique in the deployment: `ingester-0`.
    pub instance: String,
    /// Process id, where there is one.
    pub pid: Option<u32>,
    /// `host:port` by `http`, `grpc`, `otlpGrpc`, `otlpHttp`.
    pub endpoints: BTreeMap<String, String>,
    /// Those of the endpoints that speak TLS, by the same names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tls: BTreeMap<String, EndpointTls>,
    /// Times it was started again after it ended by itself.
    pub restarts: u32,
    /// Why it does not run, or how it ended last.
    pub note: Option<String>,
}

impl Instance {
    /// The URL of an endpoint: `https://host:port` where it speaks TLS, otherwise `http://host:port`.
    pub fn url(&self, endpoint: &str) -> Option<String> {
        let scheme = if self.tls.contains_key(endpoint) { "https" } else { "http" };
        self.endpoints.get(endpoint).map(|address| format!("{scheme}://{address}"))
    }
}
