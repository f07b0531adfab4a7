//! What holds for every valid document.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempoform_config::Config;
use tempoform_engine::render::{self, Manifest};

use crate::support::tempo;

/// Text that a YAML reader may take for something else.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,30}",
        "[a-z{}:#'\"\\\\\n\t&*!|>%@`\\[\\], -]{0,20}",
        Just("{{name}}".to_owned()),
        Just("${HOME}".to_owned()),
        prop::sample::select(vec!["yes", "null", "1e3", "0x1F", "12:30:00", "~", "- a", "a: b", "é\u{2028}"])
            .prop_map(str::to_owned),
    ]
}

fn storage(distributed: bool) -> BoxedStrategy<Value> {
    let s3 = prop_oneof![
        Just(json!({"secretRef": {"name": "keys"}})),
        Just(json!({"workloadIdentity": {"roleArn": "arn:aws:iam::123456789012:role/tempo"}})),
        Just(json!({})),
    ]
    .prop_map(|credentials| {
        json!({"backend": "s3", "s3": {"bucket": "traces", "region": "eu-west-1", "credentials": credentials}})
    });
    let gcs = Just(
        json!({"backend": "gcs", "gcs": {"bucket": "traces", "credentials": {"secretRef": {"name": "key"}}}}),
    );
    let azure = Just(json!({"backend": "azure", "azure": {
        "container": "traces", "account": "acme", "credentials": {"workloadIdentity": {"clientId": "1234"}}}}));
    let cloud = prop_oneof![s3, gcs, azure];
    if distributed { cloud.boxed() } else { prop_oneof![cloud, Just(json!({"backend": "local"}))].boxed() }
}

fn additions() -> impl Strategy<Value = Value> {
    (
        prop::collection::btree_map("[A-Z][A-Z_]{0,8}", odd_text(), 0..3),
        prop::collection::btree_map("[a-z]{1,8}", odd_text(), 0..3),
        any::<bool>(),
    )
        .prop_map(|(env, annotations, sidecar)| {
            let env: Vec<Value> =
                env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            let mut template = json!({"annotations": annotations});
            if sidecar {
                template["sidecars"] = json!([{"name": "side", "image": "side:1",
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}]);
                template["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
            }
            json!({"extraEnv": env, "podTemplate": template})
        })
}

fn ways_in() -> impl Strategy<Value = (Value, Value)> {
    let annotations = prop::collection::btree_map("[a-z]{1,8}", odd_text(), 0..3);
    (prop::sample::subsequence(vec!["query", "otlpHttp", "otlpGrpc"], 1..=3), annotations, any::<bool>())
        .prop_map(|(entrances, annotations, secure)| {
            let routes = entrances.iter().map(|name| {
                let mut route = json!({"host": "*.example.com", "annotations": annotations});
                if secure {
                    route["tls"] = json!({"secretName": "on"});
                }
                ((*name).to_owned(), route)
            });
            let ingress: Map<_, _> = routes.collect();
            let mut gateway = json!({"parentRefs": [{"name": "null", "namespace": "123"}]});
            for name in entrances {
                gateway[name] = json!({"hostnames": [if name == "otlpGrpc" { "grpc.no" } else { "on" }]});
            }
            (ingress.into(), gateway)
        })
}

fn observability() -> impl Strategy<Value = Value> {
    prop::collection::vec(
        prop::sample::select(vec!["serviceMonitors", "rules", "dashboards", "grafanaDatasource"]),
        0..4,
    )
    .prop_map(|wanted| {
        wanted.into_iter().map(|name| (name.to_owned(), json!({}))).collect::<Map<_, _>>().into()
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]([a-z0-9-]{0,28}[a-z0-9])?", Just("on".to_owned()), Just("null".to_owned())]
}

prop_compose! {
    fn single_binary()(storage in storage(false), more in additions()) -> Value {
        json!({"mode": "singleBinary", "storage": {"trace": storage}, "tempo": more})
    }
}

prop_compose! {
    fn distributed()(
        storage in storage(true),
        more in additions(),
        args in prop::collection::vec(odd_text().prop_filter("not empty", |text| !text.is_empty()), 0..2),
        zones in prop::sample::subsequence(vec!["a", "eu-west-1b", "Zone_3"], 0..=3),
        replicas in 3_u32..7,
        upstream in any::<bool>(),
        receiver in prop::sample::select(vec!["distributor", "querier", "compactor"]),
        (autoscaled, least, more_than_least) in (prop::sample::subsequence(vec!["distributor", "querier", "queryFrontend"], 0..=3), 1_u32..9, 0_u32..9),
    ) -> Value {
        let mut spec = json!({"mode": "distributed", "storage": {"trace": storage},
            "ingester": {"replicas": replicas}, "replication": {"factor": 3, "zones": zones}});
        if matches!(zones.len(), 1 | 2) {
            spec["replication"]["factor"] = 1.into();
        }
        spec[receiver] = more;
        for component in autoscaled {
            spec[component]["autoscaling"] = json!({"minReplicas": least, "maxReplicas": least + more_than_least});
        }
        if upstream {
            spec["image"] = "grafana/tempo:2.10.8".into();
            spec[receiver]["extraArgs"] = args.into();
        }
        spec
    }
}

prop_compose! {
    fn documents()(
        name in name(),
        namespace in prop::option::of(prop_oneof![Just("123".to_owned()), Just("true".to_owned()), "[a-z]{1,20}"]),
        labels in prop::collection::btree_map("[a-z]{1,6}", "[a-z0-9]{0,6}|no|1", 0..3),
        mut spec in prop_oneof![single_binary(), distributed()],
        observability in observability(),
        ways_in in prop::option::of(ways_in()),
        tenants in prop::collection::btree_map("[a-z]{1,6}", 1_u32..500, 0..3),
    ) -> String {
        spec["observability"] = observability;
        if let Some((ingress, gateway)) = ways_in {
            spec["ingress"] = ingress;
            spec["gatewayApi"] = gateway;
        }
        spec["tenancy"] = json!({"tenants": tenants.keys().map(|name| json!({"name": name})).collect::<Vec<_>>()});
        let retention: Map<String, Value> =
            tenants.into_iter().map(|(name, hours)| (name, format!("{}h", hours + 24).into())).collect();
        spec["retention"] = json!({"perTenant": retention});
        let mut metadata = json!({"name": name, "labels": labels});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        json!({"apiVersion": "tempoform.io/v1alpha1", "kind": "Tempo", "metadata": metadata, "spec": spec}).to_string()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_valid_document_renders_to_sound_objects(document in documents()) {
        let tempo = tempo(&document);
        let manifests = render::manifests(&tempo).unwrap_or_else(|error| panic!("{error:?}"));
        let again = render::manifests(&tempo).unwrap();
        prop_assert_eq!(render::to_yaml_stream(&manifests), render::to_yaml_stream(&again));
        names_are_legal_and_unique(&manifests);
        labels_are_legal(&manifests);
        for manifest in &manifests {
            let back: Value = serde_saphyr::from_str(&manifest.to_yaml()).unwrap();
            prop_assert_eq!(&back, &manifest.value, "YAML gives the object back");
        }
        selectors_find_pods(&manifests);
        for workload in workloads(&manifests) {
            references_exist(workload, &manifests);
        }
        autoscalers_have_the_last_word(&manifests);
        ways_in_lead_somewhere(&manifests);
        configurations_load(&manifests);
    }

    #[test]
    fn every_valid_document_runs_as_processes(document in documents()) {
        let tempo = tempo(&document);
        let processes = render::local(&tempo).unwrap_or_else(|error| panic!("{error:?}"));
        let instances: BTreeSet<_> = processes.iter().map(|process| &process.instance).collect();
        prop_assert_eq!(instances.len(), processes.len());
        let ports = crate::support::ports(&processes);
        for process in &processes {
            let text = process.resolve(&ports, std::path::Path::new("/state")).unwrap();
            prop_assert!(!text.contains("@("), "a placeholder is left: {}", text);
            let loaded = Config::load_with(&text, "test", &|_| Some("1".to_owned()));
            prop_assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
        }
    }
}

fn workloads(manifests: &[Manifest]) -> impl Iterator<Item = &Manifest> {
    manifests.iter().filter(|m| matches!(m.kind.as_str(), "StatefulSet" | "Deployment"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn names_are_legal_and_unique(manifests: &[Manifest]) {
    let mut seen = BTreeSet::new();
    for manifest in manifests {
        let name = manifest.name.as_str();
        let longest = if manifest.kind == "StatefulSet" { 52 } else { 63 };
        assert!(!name.is_empty() && name.len() <= longest, "{manifest}");
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{manifest}"
        );
        assert!(name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-'), "{manifest}");
        assert!(seen.insert((&manifest.kind, name)), "{manifest} is there twice");
    }
}

fn labels_are_legal(manifests: &[Manifest]) {
    for manifest in manifests {
        let pod = &manifest.value["spec"]["template"]["metadata"];
        for labels in [&manifest.value["metadata"]["labels"], &pod["labels"]] {
            for value in labels.as_object().into_iter().flat_map(Map::values) {
                let value = value.as_str().expect("a label is text");
                assert!(value.len() <= 63, "{manifest}: {value}");
            }
        }
    }
}

fn is_subset(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("there is a selector");
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn selectors_find_pods(manifests: &[Manifest]) {
    let pods: Vec<&Value> =
        workloads(manifests).map(|m| &m.value["spec"]["template"]["metadata"]["labels"]).collect();
    for manifest in manifests {
        let spec = &manifest.value["spec"];
        let selector = match manifest.kind.as_str() {
            "Service" => &spec["selector"],
            "StatefulSet" | "Deployment" | "PodDisruptionBudget" => &spec["selector"]["matchLabels"],
            "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
            "ServiceMonitor" => {
                let services = manifests.iter().filter(|m| m.kind == "Service");
                let found = services
                    .filter(|m| is_subset(&spec["selector"]["matchLabels"], &m.value["metadata"]["labels"]))
                    .count();
                assert_eq!(found, 1, "{manifest}: a target is scraped once");
                continue;
            }
            _ => continue,
        };
        assert!(pods.iter().any(|labels| is_subset(selector, labels)), "{manifest} selects no pod");
        if matches!(manifest.kind.as_str(), "StatefulSet" | "Deployment") {
            let own = &spec["template"]["metadata"]["labels"];
            assert!(is_subset(selector, own), "{manifest} does not select its own pods");
            let others = pods.iter().filter(|labels| **labels != own && is_subset(selector, labels));
            assert_eq!(others.count(), 0, "{manifest} selects the pods of another workload");
        }
    }
}

fn references_exist(workload: &Manifest, manifests: &[Manifest]) {
    let exists =
        |kind: &str, name: &Value| manifests.iter().any(|m| m.kind == kind && name == m.name.as_str());
    let spec = &workload.value["spec"];
    let pod = &spec["template"]["spec"];
    let claims = list(&spec["volumeClaimTemplates"]).map(|claim| &claim["metadata"]["name"]);
    let volumes: BTreeSet<_> =
        list(&pod["volumes"]).map(|v| &v["name"]).chain(claims).map(ToString::to_string).collect();
    for container in list(&pod["containers"]) {
        for mount in list(&container["volumeMounts"]) {
            assert!(volumes.contains(&mount["name"].to_string()), "{workload}: {mount}");
        }
    }
    for volume in list(&pod["volumes"]).filter(|v| v["name"] == "config" || v["name"] == "overrides") {
        assert!(exists("ConfigMap", &volume["configMap"]["name"]), "{workload}: {volume}");
    }
    assert!(exists("ServiceAccount", &pod["serviceAccountName"]), "{workload}");
    if workload.kind == "StatefulSet" {
        assert!(exists("Service", &spec["serviceName"]), "{workload}");
    }
    let ports: BTreeSet<_> =
        list(&pod["containers"][0]["ports"]).map(|port| port["name"].to_string()).collect();
    let labels = &spec["template"]["metadata"]["labels"];
    for service in
        manifests.iter().filter(|m| m.kind == "Service" && is_subset(&m.value["spec"]["selector"], labels))
    {
        for port in list(&service.value["spec"]["ports"]) {
            assert!(ports.contains(&port["targetPort"].to_string()), "{service}: {port}");
        }
    }
}

/// An autoscaler and a document that both set the number would undo each other's changes.
fn autoscalers_have_the_last_word(manifests: &[Manifest]) {
    let of = |workload: &Manifest| {
        let scalers = manifests.iter().filter(|m| m.kind == "HorizontalPodAutoscaler");
        scalers
            .filter(|m| {
                let target = &m.value["spec"]["scaleTargetRef"];
                target["kind"] == workload.kind && target["name"] == workload.name
            })
            .count()
    };
    for workload in workloads(manifests) {
        let left_alone = usize::from(workload.value["spec"]["replicas"].is_null());
        assert_eq!(of(workload), left_alone, "{workload}");
    }
    let scalers = manifests.iter().filter(|m| m.kind == "HorizontalPodAutoscaler").count();
    assert_eq!(workloads(manifests).map(of).sum::<usize>(), scalers, "each has its workload");
}

/// Each route's service has its port, and the pods' policies let strangers in there.
fn ways_in_lead_somewhere(manifests: &[Manifest]) {
    for route in manifests {
        let spec = &route.value["spec"];
        let (service, port) = match route.kind.as_str() {
            "Ingress" => {
                let service = &spec["rules"][0]["http"]["paths"][0]["backend"]["service"];
                (&service["name"], &service["port"]["name"])
            }
            "HTTPRoute" | "GRPCRoute" => {
                let backend = &spec["rules"][0]["backendRefs"][0];
                (&backend["name"], &backend["port"])
            }
            _ => continue,
        };
        let service = manifests.iter().find(|m| m.kind == "Service" && *service == m.name).unwrap();
        let found =
            list(&service.value["spec"]["ports"]).find(|it| it["name"] == *port || it["port"] == *port);
        let target = &found.unwrap_or_else(|| panic!("{route}: {service} has no port {port}"))["targetPort"];
        let selector = &service.value["spec"]["selector"];
        let policies = manifests.iter().filter(|m| m.kind == "NetworkPolicy");
        let policy = policies
            .into_iter()
            .find(|m| m.value["spec"]["podSelector"]["matchLabels"] == *selector)
            .unwrap();
        let open = list(&policy.value["spec"]["ingress"]).filter(|rule| rule["from"].is_null());
        assert!(
            open.flat_map(|rule| list(&rule["ports"])).any(|it| it["port"] == *target),
            "{route}: {policy}"
        );
    }
}

fn configurations_load(manifests: &[Manifest]) {
    for manifest in manifests {
        let Some(text) = manifest.value["data"]["tempo.yaml"].as_str() else { continue };
        let loaded = Config::load_with(text, manifest.name.clone(), &|_| Some("1".to_owned()));
        assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
    }
}
