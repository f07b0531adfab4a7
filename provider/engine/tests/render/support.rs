//! Documents for the tests.

use std::path::{Path, PathBuf};

use tempoform_api::{TempoDocument, ValidatedTempo};
use tempoform_engine::render::{Manifest, ProcessDefinition, ResolvedPorts};

fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn example(name: &str) -> PathBuf {
    crate_root().join("../../examples").join(name).join("tempo.yaml")
}

pub(crate) fn case(name: &str) -> PathBuf {
    crate_root().join("tests/cases").join(format!("{name}.yaml"))
}

pub(crate) fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The one document of a text.
pub(crate) fn document(text: &str) -> TempoDocument {
    let mut documents = tempoform_api::load("test", text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

pub(crate) fn tempo(text: &str) -> ValidatedTempo {
    document(text).validated
}

/// The object of that kind and name.
pub(crate) fn find<'a>(manifests: &'a [Manifest], kind: &str, name: &str) -> &'a Manifest {
    manifests
        .iter()
        .find(|m| m.kind == kind && m.name == name)
        .unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

/// A port for every endpoint, as the local target chooses them.
pub(crate) fn ports(processes: &[ProcessDefinition]) -> ResolvedPorts {
    let mut ports = ResolvedPorts::default();
    let endpoints = processes.iter().flat_map(|p| p.endpoints.keys().map(move |endpoint| (p, *endpoint)));
    for ((process, endpoint), port) in endpoints.zip(20_000..) {
        ports.insert(&process.instance, endpoint, (process.host, port).into());
    }
    ports
}
