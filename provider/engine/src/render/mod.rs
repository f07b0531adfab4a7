//! From a validated document to what a target runs: Kubernetes objects, a `Tempo` resource, or process definitions.
//!
//! Everything here is pure and deterministic: the same document gives the same bytes. Values are computed in typed
//! Rust (`config`, `kubernetes`, `local`), placed by templates (`engine`), and read back at once into typed objects
//! (`typed`); nothing downstream handles text.

mod config;
mod custom;
mod engine;
mod error;
mod flavour;
mod hash;
mod kubernetes;
mod local;
mod manifest;
mod merge;
mod names;
pub mod process;
mod typed;
mod yaml;

use serde_json::Value;
pub use tempoform_api::Component;
use tempoform_api::{Problem, Target, Tempo, ValidatedTempo};

use crate::object::Object;

pub use error::RenderError;
pub use manifest::{Manifest, to_yaml_stream};
pub use process::{
    Endpoint, EnvironmentName, OVERRIDES_FILE, PortRequest, ProcessDefinition, ResolveError, ResolvedPorts,
};

/// The Kubernetes objects of a Tempo, in the order in which they are to be applied.
///
/// # Errors
/// When `spec.config` does not make a valid configuration, or a pod template clashes with what is rendered.
pub fn manifests(tempo: &ValidatedTempo) -> Result<Vec<Manifest>, RenderError> {
    kubernetes::manifests(tempo)
}

/// The same objects as the engine plans and applies them: each with its component and its place in the order. Those without
/// a namespace get `namespace`.
///
/// # Errors
/// As [`manifests`].
pub fn kubernetes(tempo: &ValidatedTempo, namespace: &str) -> Result<Vec<Object>, RenderError> {
    kubernetes::objects(tempo, namespace)
}

/// An object of Kubernetes that was rendered here once, as the engine handles it.
#[must_use]
pub fn kubernetes_object(value: Value) -> Object {
    kubernetes::object(value)
}

/// The processes of a Tempo on one machine, in the order in which they are to be started.
///
/// # Errors
/// When `spec.config` does not make a valid configuration.
pub fn local(tempo: &ValidatedTempo) -> Result<Vec<ProcessDefinition>, RenderError> {
    local::processes(tempo)
}

/// What is valid and may not be meant, as far as the Tempo is to run on `target`: fields that have no effect there, and
/// keys of `spec.config` that the runtime takes no notice of. [`ValidatedTempo::warnings`] are not among them.
///
/// # Errors
/// When `spec.config` does not make a valid configuration.
pub fn warnings(tempo: &ValidatedTempo, target: Target) -> Result<Vec<Problem>, RenderError> {
    let of_config = match target {
        Target::Kubernetes => kubernetes::check(tempo)?,
        Target::Local => local::check(tempo)?,
    };
    Ok(tempo.target_warnings(target).iter().cloned().chain(of_config).collect())
}

/// The `Tempo` resource itself, for an operator to render: as written, without status.
#[must_use]
pub fn tempo_resource(tempo: &Tempo) -> Manifest {
    let mut value =
        serde_json::to_value(tempo).expect("a resource that was read from YAML has string keys only");
    if let Value::Object(fields) = &mut value {
        fields.remove("status");
    }
    Manifest {
        api_version: tempoform_api::API_VERSION.to_owned(),
        kind: tempoform_api::KIND.to_owned(),
        namespace: tempo.metadata.namespace.clone(),
        name: tempo.metadata.name.clone().unwrap_or_default(),
        value,
    }
}
