//! The `CustomResourceDefinition` of the Tempo resource.
//!
//! The schema is derived from the Rust types and then put into the form that Kubernetes accepts: structural,
//! inlined, without formats it does not know, and without the long descriptions of Kubernetes' own types, with
//! which the definition would be several times as large.

pub(crate) mod fragments;
pub(crate) mod rules;
mod structural;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::spec::Tempo;

/// The definition of the `Tempo` resource, to be applied to a cluster.
pub fn crd() -> CustomResourceDefinition {
    let derived = serde_json::to_value(Tempo::crd()).expect("a definition is plain data");
    serde_json::from_value(structural::rewrite(derived)).expect("the rewriting only removes what is optional")
}

/// The definition as YAML, with a final newline.
pub fn crd_yaml() -> String {
    serde_saphyr::to_string(&crd()).expect("a definition is plain data")
}

#[cfg(test)]
mod tests;
