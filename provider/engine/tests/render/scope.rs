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
        names(&["querier", "query-frontend"]),
        "both enforce the settings of queries"
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

/// The frontend keeps the deadlines that stand in `querier`; the querier checks again what `query_frontend` bounds.
#[test]
fn settings_of_queries_reach_whoever_enforces_them() {
    let query = "  query: { searchTimeout: 77s, maxSpansPerSpanSet: 7 }\n  config: { query_frontend: { api_timeout: 99s } }\n";
    let text = read(&example("distributed-local")) + query;
    let processes = render::local(&tempo(&text)).unwrap();
    let ports = ports(&processes);
    for instance in ["querier-0", "query-frontend-0"] {
        let process = processes.iter().find(|process| process.instance == instance).unwrap();
        let text = process.resolve(&ports, Path::new("/state")).unwrap();
        let config = Config::load(&text, instance, false).unwrap();
        assert_eq!(config.querier.search.query_timeout.to_string(), "1m17s", "{instance}");
        assert_eq!(config.query_frontend.search.max_spans_per_span_set, 7, "{instance}");
        assert_eq!(config.query_frontend.api_timeout.to_string(), "1m39s", "{instance}");
    }
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
fn policies_can_be_left_out() {
    let text = read(&example("distributed-s3")) + "  networkPolicy: { enabled: false }\n";
    let manifests = render::manifests(&tempo(&text)).unwrap();
    assert!(manifests.iter().all(|m| m.kind != "NetworkPolicy"));
}

/// The runtime speaks TLS on its receivers, with the keys that are rendered for it.
#[test]
fn receivers_get_the_certificates_that_are_mounted() {
    let manifests = render::manifests(&tempo(&read(&case("receiver-tls")))).unwrap();
    let text =
        find(&manifests, "ConfigMap", "tempo-tls-config").value["data"]["tempo.yaml"].as_str().unwrap();
    let config = Config::load_with(text, "test", &|_| Some("1".to_owned())).unwrap();
    assert!(config.warnings().is_empty(), "{}", config.warnings());
    let tls = config.distributor.receivers.otlp.unwrap().protocols.grpc.unwrap().tls.unwrap();
    assert_eq!(tls.cert_file, "/etc/tempo/otlp-grpc-tls/tls.crt");
    let pod = &find(&manifests, "StatefulSet", "tempo-tls").value["spec"]["template"]["spec"];
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    for file in [&tls.cert_file, &tls.key_file, &tls.client_ca_file] {
        let mounted = mounts.iter().any(|mount| file.starts_with(mount["mountPath"].as_str().unwrap()));
        assert!(mounted, "{file}");
    }
}

#[test]
fn only_listed_tenants_are_served() {
    let allowed = |text: &str, name: &str| {
        let manifests = render::manifests(&tempo(text)).unwrap();
        let text =
            find(&manifests, "ConfigMap", name).value["data"]["tempo.yaml"].as_str().unwrap().to_owned();
        Config::load_with(&text, "test", &|_| Some("1".to_owned())).unwrap().multitenancy_allowed_tenants
    };
    let listed = read(&example("distributed-s3"));
    assert_eq!(allowed(&listed, "tempo-production-distributor-config"), ["checkout", "team-7"]);
    assert_eq!(allowed(&listed, "tempo-production-query-frontend-config"), ["checkout", "team-7"]);
    assert!(allowed(&listed, "tempo-production-ingester-config").is_empty());
    assert!(allowed(&read(&example("quickstart")), "tempo-quickstart-config").is_empty());
}

#[test]
fn a_process_may_flush_as_long_as_its_pod_may_stop() {
    let text =
        read(&example("quickstart")) + "  tempo: { podTemplate: { terminationGracePeriodSeconds: 600 } }\n";
    let processes = render::local(&tempo(&text)).unwrap();
    assert_eq!(processes[0].stop_grace_seconds, 600);
    assert_eq!(processes[0].config["server"]["graceful_shutdown_timeout"], "9m50s");
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
