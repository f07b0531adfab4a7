//! Whole outputs, one case per reason.
//!
//! `INSTA_UPDATE=always cargo test --release -p tempoform-engine --test render` rewrites them; the diff is the review.

use std::path::Path;

use serde_json::json;
use tempoform_engine::render::{self, ProcessDefinition};

use crate::support::{case, document, example, ports, read, tempo};

fn manifests(name: &str, file: &Path) {
    let manifests = render::manifests(&tempo(&read(file))).unwrap();
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, render::to_yaml_stream(&manifests));
    });
}

/// Definitions, and the configuration that each process gets once ports are chosen.
fn processes(name: &str, file: &Path) {
    let processes = render::local(&tempo(&read(file))).unwrap();
    let ports = ports(&processes);
    let text: String = processes.iter().map(|process| show(process, &ports)).collect();
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

fn show(process: &ProcessDefinition, ports: &render::ResolvedPorts) -> String {
    let mut definition = json!(process);
    definition.as_object_mut().unwrap().remove("config");
    let definition = serde_json::to_string_pretty(&definition).unwrap();
    let config = process.resolve(ports, Path::new("/state")).unwrap();
    format!("=== {}\n{definition}\n--- tempo.yaml\n{config}\n", process.instance)
}

#[test]
fn quickstart() {
    processes("quickstart.processes", &example("quickstart"));
    manifests("quickstart", &example("quickstart"));
}

#[test]
fn distributed_local() {
    processes("distributed-local.processes", &example("distributed-local"));
}

#[test]
fn distributed_s3() {
    manifests("distributed-s3", &example("distributed-s3"));
}

#[test]
fn gcs_workload_identity() {
    manifests("gcs-workload-identity", &case("gcs-workload-identity"));
}

#[test]
fn azure_account_key() {
    manifests("azure-account-key", &case("azure-account-key"));
}

#[test]
fn s3_own_authority() {
    manifests("s3-own-authority", &case("s3-own-authority"));
}

#[test]
fn receiver_tls() {
    manifests("receiver-tls", &case("receiver-tls"));
}

#[test]
fn tenant_limits() {
    manifests("tenant-limits", &case("tenant-limits"));
}

#[test]
fn upstream_image() {
    manifests("upstream-image", &case("upstream-image"));
}

#[test]
fn pod_additions() {
    manifests("pod-additions", &case("pod-additions"));
}

#[test]
fn config_escape_hatch() {
    manifests("config-escape-hatch", &case("config-escape-hatch"));
}

#[test]
fn self_tracing() {
    manifests("self-tracing", &case("self-tracing"));
}

#[test]
fn autoscaling() {
    manifests("autoscaling", &case("autoscaling"));
}

#[test]
fn ways_in() {
    manifests("ways-in", &case("ways-in"));
}

#[test]
fn the_resource_itself_reads_back() {
    let original = document(&read(&example("distributed-s3")));
    let manifest = render::tempo_resource(&original.tempo);
    assert_eq!((manifest.kind.as_str(), manifest.name.as_str()), ("Tempo", "production"));
    assert_eq!(manifest.namespace.as_deref(), Some("tracing"));
    let again = document(&manifest.to_yaml());
    assert_eq!(again.tempo, original.tempo);
    assert_eq!(again.validated, original.validated);
}
