use super::*;

#[test]
fn distributed_runs_all_six_with_three_ingesters() {
    let tempo = distributed(json!({}));
    let replicas: Vec<_> = tempo.components.values().map(|it| (it.component.name(), it.replicas)).collect();
    assert_eq!(
        replicas,
        [
            ("distributor", 1),
            ("ingester", 3),
            ("querier", 1),
            ("queryFrontend", 1),
            ("retriever", 1),
            ("compactor", 1)
        ]
    );
    assert_eq!(tempo.replication.factor, 3);
    assert_eq!(tempo.receiver().unwrap().component, Component::Distributor);
    assert_eq!(tempo.query_api().unwrap().component, Component::QueryFrontend);
}

#[test]
fn single_binary_runs_one_with_the_well_known_ports() {
    let tempo = single(json!({}));
    assert_eq!(tempo.components.len(), 1);
    let binary = tempo.component(Component::Tempo).unwrap();
    let pinned = binary.local.ports;
    assert_eq!(
        (pinned.http, pinned.grpc, pinned.otlp_grpc, pinned.otlp_http),
        (Some(3200), Some(9095), Some(4317), Some(4318))
    );
    assert_eq!(binary.local.address.to_string(), "127.0.0.1");
    assert_eq!(tempo.replication.factor, 1);
    assert!(binary.persistence.is_some());
}

#[test]
fn only_what_users_need_is_pinned_in_distributed_mode() {
    let tempo = distributed(json!({ "ingestion": { "otlp": { "grpc": { "port": 14317 } } } }));
    for (component, settings) in &tempo.components {
        let pinned = settings.local.ports;
        let expected = match component {
            Component::Distributor => (None, None, Some(14317), Some(4318)),
            Component::QueryFrontend => (Some(3200), None, None, None),
            _ => (None, None, None, None),
        };
        assert_eq!((pinned.http, pinned.grpc, pinned.otlp_grpc, pinned.otlp_http), expected, "{component}");
    }
    assert_eq!(tempo.component(Component::Distributor).unwrap().ports.otlp_grpc, Some(14317));
}

#[test]
fn a_block_wins_over_the_spec() {
    let tempo = distributed(json!({
        "image": "docker.io/grafana/tempo:2.10.5",
        "querier": { "image": "registry:5000/grafana/tempo:2.9.0@sha256:abc", "replicas": 4, "listenAddress": "127.0.0.2" },
    }));
    let querier = tempo.component(Component::Querier).unwrap();
    assert_eq!(
        (querier.image.repository(), querier.image.tag()),
        ("registry:5000/grafana/tempo", Some("2.9.0"))
    );
    assert_eq!((querier.replicas, querier.local.address.to_string().as_str()), (4, "127.0.0.2"));
    let compactor = tempo.component(Component::Compactor).unwrap();
    assert!(compactor.image.is_grafana_tempo());
}

#[test]
fn given_resources_replace_the_defaults() {
    let tempo = distributed(json!({ "ingester": { "resources": { "requests": { "cpu": "2" } } } }));
    let ingester = tempo.component(Component::Ingester).unwrap();
    assert_eq!(ingester.resources.limits, None);
    assert_eq!(ingester.memory_limit, None);
    let querier = tempo.component(Component::Querier).unwrap();
    assert_eq!(querier.memory_limit, Some(ByteSize(1 << 30)));
}

#[test]
fn blocks_of_the_other_mode_are_refused() {
    refused("singleBinary", json!({ "ingester": { "replicas": 3 } }), "spec.ingester", "singleBinary");
    refused("distributed", json!({ "tempo": {} }), "spec.tempo", "distributed");
}

#[test]
fn a_single_binary_runs_once_or_not_at_all() {
    refused("singleBinary", json!({ "tempo": { "replicas": 2 } }), "spec.tempo.replicas", "not 2 times");
    assert_eq!(
        single(json!({ "tempo": { "replicas": 0 } })).component(Component::Tempo).unwrap().replicas,
        0
    );
}

#[test]
fn bad_values_are_named() {
    for (patch, path, words) in [
        (json!({ "ports": { "http": 0 } }), "spec.querier.ports.http", "port 0"),
        (json!({ "ports": { "otlpGrpc": 4317 } }), "spec.querier.ports.otlpGrpc", "does not receive"),
        (json!({ "listenAddress": "localhost" }), "spec.querier.listenAddress", "localhost"),
        (json!({ "image": "my image" }), "spec.querier.image", "my image"),
        (json!({ "image": "https://ghcr.io/tempo" }), "spec.querier.image", "https://"),
        (
            json!({ "resources": { "limits": { "memory": "2GB" } } }),
            "spec.querier.resources.limits.memory",
            "2GB",
        ),
        (
            json!({ "resources": { "limits": { "cpu": "0" } } }),
            "spec.querier.resources.limits.cpu",
            "above zero",
        ),
        (
            json!({ "resources": { "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } } }),
            "spec.querier.resources.requests.memory",
            "above the limit",
        ),
        (
            json!({ "extraEnv": [{ "name": "A" }, { "name": "B" }, { "name": "A" }] }),
            "spec.querier.extraEnv[2].name",
            "twice",
        ),
        (
            json!({ "podTemplate": { "volumes": [{}] } }),
            "spec.querier.podTemplate.volumes[0].name",
            "missing",
        ),
        (
            json!({ "podTemplate": { "terminationGracePeriodSeconds": -1 } }),
            "spec.querier.podTemplate.terminationGracePeriodSeconds",
            "below zero",
        ),
    ] {
        refused("distributed", json!({ "querier": patch }), path, words);
    }
    refused(
        "distributed",
        json!({ "ingester": { "persistence": { "size": "big" } } }),
        "spec.ingester.persistence.size",
        "big",
    );
}

#[test]
fn names_are_dns_labels_short_enough_to_be_part_of_others() {
    for (name, words) in
        [("", "missing"), ("My_Tempo", "DNS label"), ("-a", "DNS label"), (&"a".repeat(31), "31")]
    {
        let mut tempo = tempo("singleBinary", json!({}));
        tempo.metadata.name = Some(name.to_owned());
        let problems = validate(&tempo).unwrap_err();
        assert_eq!(problems.problems[0].path, "metadata.name");
        assert!(problems.to_string().contains(words), "{problems}");
    }
}
