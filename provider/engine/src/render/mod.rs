//! From a validated document to what a target runs: Kubernetes objects, a `Tempo` resource, or process definitions.
//!
//! Everything here is pure and deterministic: the same document gives the same bytes.

mod component;
mod manifest;
pub mod process;
mod yaml;

pub use component::Component;
pub use manifest::{Manifest, to_yaml_stream};
pub use process::{Endpoint, EnvironmentName, PortRequest, ProcessDefinition, ResolveError, ResolvedPorts};
