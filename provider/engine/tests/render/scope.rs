//! A change concerns only whom it concerns: everything else keeps its bytes, and so its pods and processes.

use std::collections::BTreeSet;
use std::path::Path;

use tempoform_config::Config;
use tempoform_engine::render::{self, Manifest};

use crate::support::{case, example, find, ports, read, tempo};

/// The workloads whose pods would be replaced.
fn rolled(before: &str, after: &str) -> BTreeSet<String> {
    let (before, after) =
        (render::manifests(&tempo(before)).unwrap(), render::manifests(&tempo(after)).unwrap());
    let template = |m: &Manifest| m.value["spec"]["template"].clone();
    let workloads = |m: &&Manifest| matches!(m.kind.as_str(), "StatefulSet" | "Deployment");
    after
        .iter()
        .filter(workloads)
        .filter(|m| template(find(&before, &m.kind, &m.name)) != template(m))
        .map(|m| m.name.trim_start_matches("tempo-production-").to_owned())
        .collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn only_those_restart_whose_configuration_changes() {
    let original = read(&example("distributed-s3"));
    let with = |more: &str| format!("{original}{more}");
    let ingesters = ["ingester-eu-west-1a", "ingester-eu-west-1b", "ingester-eu-west-1c"];
    assert_eq!(rolled(&original, &original), names(&[]));
    assert_eq!(
        rolled(&original, &with("  query: { maxConcurrentQueries: 7 }\n")),
        names(&["querier"]),
        "a querier's setting"
    );
    assert_eq!(
        rolled(&original, &with("  config: { compactor: { compaction: { compaction_window: 2h } } }\n")),
        names(&["compactor"]),
        "a section of spec.config"
    );
    assert_eq!(
        rolled(&original, &original.replace("rateLimitBytes: 20MB", "rateLimitBytes: 21MB")),
        names(&[&["distributor"], &ingesters[..]].concat()),
        "a global ingestion limit"
    );
    assert_eq!(
        rolled(&original, &original.replace("rateLimitBytes: 60MB", "rateLimitBytes: 61MB")),
        names(&[]),
        "a tenant's limit is read while the processes run"
    );
    assert_eq!(
        rolled(&original, &original.replace("replicas: 6", "replicas: 9")),
        names(&[]),
        "more ingesters"
    );
}

#[test]
fn a_further_ingester_changes_no_other_process() {
    let original = read(&example("distributed-local"));
    let before = render::local(&tempo(&original)).unwrap();
    let after = render::local(&tempo(&original.replace("replicas: 3", "replicas: 4"))).unwrap();
    let added: Vec<_> =
        after.iter().filter(|process| !before.contains(process)).map(|p| p.instance.as_str()).collect();
    assert_eq!(added, ["ingester-3"]);
    assert!(before.iter().all(|process| after.contains(process)));
}

#[test]
fn every_process_gets_a_configuration_that_the_runtime_takes() {
    for example_name in ["quickstart", "distributed-local"] {
        let processes = render::local(&tempo(&read(&example(example_name)))).unwrap();
        let ports = ports(&processes);
        for process in &processes {
            let text = process.resolve(&ports, Path::new("/state")).unwrap();
            let mut config =
                Config::load(&text, &process.instance, false).unwrap_or_else(|p| panic!("{p}\n{text}"));
            config.target = serde_json::from_value(process.target.clone().into()).unwrap();
            let problems = config.validate();
            assert!(problems.is_empty(), "{}: {problems}", process.instance);
            assert!(config.warnings().is_empty(), "{}: {}", process.instance, config.warnings());
            let http = ports.get(&process.instance, render::Endpoint::Http).unwrap();
            assert_eq!(config.server.http_listen_port, http.port());
        }
    }
}

#[test]
fn quickstart_listens_where_it_says() {
    let processes = render::local(&tempo(&read(&example("quickstart")))).unwrap();
    let [process] = processes.as_slice() else { panic!("one process: {processes:?}") };
    let pinned = |endpoint| process.endpoints[&endpoint];
    assert_eq!(process.host.to_string(), "127.0.0.1");
    assert_eq!(pinned(render::Endpoint::OtlpGrpc), render::PortRequest::Pinned(4317));
    assert_eq!(pinned(render::Endpoint::OtlpHttp), render::PortRequest::Pinned(4318));
    assert_eq!(pinned(render::Endpoint::Http), render::PortRequest::Pinned(3200));
}

/// Grafana Tempo 2 refuses to start over a key that it does not know.
#[test]
fn upstream_gets_only_keys_that_it_knows() {
    let manifests = render::manifests(&tempo(&read(&case("upstream-image")))).unwrap();
    assert!(manifests.iter().all(|m| !m.name.contains("retriever")));
    let mut configs = 0;
    for manifest in manifests.iter().filter(|m| m.kind == "ConfigMap") {
        let Some(text) = manifest.value["data"]["tempo.yaml"].as_str() else { continue };
        let config: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        let known = [
            "multitenancy_enabled",
            "stream_over_http_enabled",
            "usage_report",
            "server",
            "memberlist",
            "distributor",
            "ingester",
            "querier",
            "query_frontend",
            "compactor",
            "storage",
            "overrides",
        ];
        let sections = config.as_object().unwrap();
        assert!(sections.keys().all(|key| known.contains(&key.as_str())), "{}: {text}", manifest.name);
        assert!(config["ingester"].get("durability").is_none());
        configs += 1;
    }
    assert_eq!(configs, 5);
}
