//! What a document cannot mean, or must not say.

use super::*;

const UPSTREAM: &str = "docker.io/grafana/tempo:2.10.5";

fn config(config: Value) -> Value {
    json!({ "config": config })
}

fn warnings(tempo: &ValidatedTempo) -> Vec<&str> {
    tempo.warnings.iter().map(|warning| warning.path.as_str()).collect()
}

#[test]
fn secrets_in_clear_are_refused_and_not_repeated() {
    for (patch, path) in [
        (
            config(json!({ "storage": { "trace": { "s3": { "secret_key": "hunter2" } } } })),
            "spec.config.storage.trace.s3.secret_key",
        ),
        (
            config(json!({ "storage": { "trace": { "azure": { "storage_account_key": "hunter2" } } } })),
            "spec.config.storage.trace.azure.storage_account_key",
        ),
        (
            config(json!({ "cache": { "caches": [{ "redis": { "password": "hunter2" } }] } })),
            "spec.config.cache.caches[0].redis.password",
        ),
        (
            config(
                json!({ "storage": { "trace": { "s3": { "endpoint": "https://me:hunter2@minio:9000" } } } }),
            ),
            "spec.config.storage.trace.s3.endpoint",
        ),
        (
            json!({ "observability": { "selfTracing": { "endpoint": "https://me:hunter2@collector:4318" } } }),
            "spec.observability.selfTracing.endpoint",
        ),
    ] {
        let problems = validate(&tempo("singleBinary", patch)).expect_err(path);
        assert_eq!(problems.len(), 1, "{problems}");
        assert_eq!(problems.problems[0].path, path, "{problems}");
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
    }
    single(config(
        json!({ "storage": { "trace": { "s3": { "secret_key": "${S3_KEY}", "session_token": "" } } } }),
    ));
}

#[test]
fn what_other_fields_decide_is_refused_in_the_configuration() {
    for (patch, path, words) in [
        (
            json!({ "server": { "http_listen_port": 80 } }),
            "spec.config.server.http_listen_port",
            "ports.http",
        ),
        (json!({ "server": null }), "spec.config.server", "http_listen_address"),
        (json!({ "target": "ingester" }), "spec.config.target", "spec.mode"),
        (
            json!({ "distributor": { "receivers": { "otlp": { "protocols": { "grpc": { "endpoint": "0.0.0.0:1" } } } } } }),
            "spec.config.distributor.receivers.otlp.protocols.grpc.endpoint",
            "spec.ingestion.otlp.grpc.port",
        ),
        (
            json!({ "storage": { "trace": { "wal": { "path": "/wal" } } } }),
            "spec.config.storage.trace.wal.path",
            "volume",
        ),
        (
            json!({ "memberlist": { "advertise_addr": "10.0.0.1" } }),
            "spec.config.memberlist.advertise_addr",
            "pod's",
        ),
        (
            json!({ "overrides": { "per_tenant_override_config": "/x" } }),
            "spec.config.overrides.per_tenant_override_config",
            "spec.limits.perTenant",
        ),
    ] {
        refused("singleBinary", config(patch), path, words);
    }
    single(config(
        json!({ "server": { "log_level": "debug" }, "memberlist": { "join_members": ["other:7946"] } }),
    ));
}

#[test]
fn only_versions_of_grafana_tempo_are_taken_whose_configuration_is_known() {
    for image in [
        "grafana/tempo:3.0.1",
        "grafana/tempo:latest",
        "grafana/tempo",
        "grafana/tempo:main-1a2b",
        "docker.io/grafana/tempo@sha256:ab",
    ] {
        refused("singleBinary", json!({ "image": image }), "spec.image", "Grafana Tempo");
    }
    single(json!({ "image": "docker.io/grafana/tempo:2.10.5@sha256:ab" }));
    single(json!({ "image": "ghcr.io/acme/tempo:latest" }));
}

#[test]
fn ours_and_grafana_tempo_are_not_mixed() {
    refused(
        "distributed",
        json!({ "querier": { "image": UPSTREAM } }),
        "spec.querier.image",
        "do not find each other",
    );
    refused(
        "distributed",
        json!({ "image": UPSTREAM, "querier": { "image": "ghcr.io/acme/tempo:1" } }),
        "spec.querier.image",
        "do not find each other",
    );
    let tempo = distributed(
        json!({ "image": UPSTREAM, "retriever": { "replicas": 2 }, "cache": { "memory": "64MiB" } }),
    );
    assert_eq!(warnings(&tempo), ["spec.retriever", "spec.cache"]);
}

#[test]
fn flags_are_for_grafana_tempo() {
    let flags = json!({ "tempo": { "extraArgs": ["-log.level=debug"] } });
    refused("singleBinary", flags.clone(), "spec.tempo.extraArgs", "no further flags");
    let mut upstream = flags;
    upstream["image"] = UPSTREAM.into();
    validate_for(&tempo("singleBinary", upstream.clone()), Target::Kubernetes).unwrap();
    refused_by(Target::Local, "singleBinary", upstream, "spec.tempo.extraArgs", "no further flags");
    refused(
        "singleBinary",
        json!({ "image": UPSTREAM, "tempo": { "extraArgs": ["--target=ingester"] } }),
        "spec.tempo.extraArgs[0]",
        "-target",
    );
}

#[test]
fn tls_that_nobody_keeps_to_is_refused() {
    let receivers = json!({ "tempo": { "tls": { "secretName": "otlp", "minVersion": "1.3" } } });
    refused("singleBinary", receivers.clone(), "spec.tempo.tls.minVersion", "1.2 and 1.3");
    let mut upstream = receivers;
    upstream["image"] = UPSTREAM.into();
    single(upstream);
    single(json!({ "tempo": { "tls": { "secretName": "otlp", "minVersion": "1.2" } } }));
    let store = |tls: Value| s3(json!({ "tls": tls }));
    let path = "spec.storage.trace.s3.tls";
    refused(
        "singleBinary",
        store(json!({ "minVersion": "1.3" })),
        &format!("{path}.minVersion"),
        "1.2 and 1.3",
    );
    refused("singleBinary", store(json!({ "serverName": "x" })), &format!("{path}.serverName"), "host");
    let host_style = s3(json!({ "endpoint": "minio:9000", "forcePathStyle": false }));
    refused("singleBinary", host_style, "spec.storage.trace.s3.forcePathStyle", "into the path");
    for field in
        [json!({ "serverName": "x" }), json!({ "insecureSkipVerify": true }), json!({ "minVersion": "1.3" })]
    {
        let name = field.as_object().unwrap().keys().next().unwrap().clone();
        let gcs = json!({ "storage": { "trace": { "backend": "gcs", "s3": null,
            "gcs": { "bucket": "my-traces", "tls": field } } } });
        refused("singleBinary", gcs, &format!("spec.storage.trace.gcs.tls.{name}"), "authorities");
    }
}

#[test]
fn a_shared_certificate_is_told_of_once_and_where_it_stands() {
    let tls = json!({ "distributor": { "tls": { "certFile": "c", "keyFile": "k" } } });
    refused_by(Target::Kubernetes, "distributed", tls, "spec.distributor.tls.certFile", "files");
    refused("distributed", json!({ "distributor": { "tls": {} } }), "spec.distributor.tls", "no certificate");
}

#[test]
fn pieces_of_pods_are_read_as_kubernetes_does() {
    let template = |template: Value| json!({ "tempo": { "podTemplate": template } });
    let path = |rest: &str| format!("spec.tempo.podTemplate.{rest}");
    for (patch, at, words) in [
        (
            json!({ "sidecars": [{ "name": "a", "image": "a:1", "comand": ["x"] }] }),
            "sidecars[0].comand",
            "no such field",
        ),
        (
            json!({ "initContainers": [{ "name": "a", "image": "a:1", "env": [{ "name": "X", "vlaue": "1" }] }] }),
            "initContainers[0].env[0].vlaue",
            "no such field",
        ),
        (json!({ "sidecars": [{ "name": "a" }] }), "sidecars[0].image", "missing"),
        (
            json!({ "sidecars": [{ "name": "a", "image": "a:1", "args": "x" }] }),
            "sidecars[0]",
            "no container",
        ),
        (json!({ "volumes": [{ "name": "a", "emptydir": {} }] }), "volumes[0].emptydir", "no such field"),
        (
            json!({ "volumeMounts": [{ "name": "a", "mountpath": "/x", "mountPath": "/x" }] }),
            "volumeMounts[0].mountpath",
            "no such field",
        ),
        (json!({ "volumeMounts": [{ "name": "a" }] }), "volumeMounts[0].mountPath", "missing"),
    ] {
        refused("singleBinary", template(patch), &path(at), words);
    }
    let numbers =
        json!({ "sidecars": [{ "name": "a", "image": "a:1", "resources": { "limits": { "cpu": 2 } } }] });
    let tempo = single(template(numbers));
    let sidecar = &tempo.component(Component::Tempo).unwrap().pod_template.sidecars[0];
    assert_eq!(sidecar["resources"]["limits"]["cpu"], json!("2"), "as the API server gives it back");
}

#[test]
fn names_that_the_api_server_would_refuse_are_refused_here() {
    for (patch, path, words) in [
        (
            json!({ "tempo": { "podTemplate": { "labels": { "a b": "x" } } } }),
            "spec.tempo.podTemplate.labels[\"a b\"]",
            "key",
        ),
        (
            json!({ "tempo": { "podTemplate": { "labels": { "a": "x y" } } } }),
            "spec.tempo.podTemplate.labels.a",
            "value",
        ),
        (
            json!({ "tempo": { "podTemplate": { "annotations": { "-a": "" } } } }),
            "spec.tempo.podTemplate.annotations.-a",
            "key",
        ),
        (
            json!({ "tempo": { "nodeSelector": { "x/y/z": "1" } } }),
            "spec.tempo.nodeSelector[\"x/y/z\"]",
            "key",
        ),
        (json!({ "tempo": { "extraEnv": [{ "name": "1X" }] } }), "spec.tempo.extraEnv[0].name", "1X"),
        (
            json!({ "tempo": { "persistence": { "storageClass": "Fast SSD" } } }),
            "spec.tempo.persistence.storageClass",
            "Fast SSD",
        ),
        (json!({ "tempo": { "priorityClassName": "" } }), "spec.tempo.priorityClassName", "name"),
        (json!({ "serviceAccount": { "create": false } }), "spec.serviceAccount.create", "none is named"),
        (
            json!({ "observability": { "rules": { "labels": { "a": "b c" } } } }),
            "spec.observability.rules.labels.a",
            "value",
        ),
    ] {
        refused("singleBinary", patch, path, words);
    }
    refused(
        "distributed",
        json!({ "replication": { "topologyKey": "a zone" } }),
        "spec.replication.topologyKey",
        "key",
    );
    let identity = json!({ "workloadIdentity": { "roleArn": "arn:aws:iam::123456789012:role/x" } });
    let mut foreign = s3(json!({ "credentials": identity }));
    foreign["serviceAccount"] = json!({ "name": "mine" });
    assert_eq!(warnings(&single(foreign)), ["spec.storage.trace.s3.credentials.workloadIdentity"]);
}

#[test]
fn blocks_in_a_pod_are_on_a_volume() {
    let on = |path: &str| json!({ "storage": { "trace": { "backend": "local", "s3": null, "local": { "path": path } } } });
    let field = "spec.storage.trace.local.path";
    for path in ["/mnt/blocks", "/var/tempo-blocks", "/var/tempo/../blocks"] {
        refused_by(Target::Kubernetes, "singleBinary", on(path), field, "no volume");
    }
    let mut mounted = on("/mnt/blocks");
    mounted["tempo"] = json!({ "podTemplate": {
        "volumes": [{ "name": "nas", "nfs": { "server": "nas", "path": "/" } }],
        "volumeMounts": [{ "name": "nas", "mountPath": "/mnt" }],
    } });
    validate_for(&tempo("singleBinary", mounted.clone()), Target::Kubernetes).unwrap();
    mounted["tempo"]["podTemplate"]["volumeMounts"][0]["readOnly"] = true.into();
    refused_by(Target::Kubernetes, "singleBinary", mounted, field, "no volume");
    validate_for(&tempo("singleBinary", on("/mnt/blocks")), Target::Local).unwrap();
}

#[test]
fn what_a_target_or_runtime_takes_no_notice_of_is_told() {
    let tempo = single(json!({
        "image": "ghcr.io/acme/tempo:1",
        "tempo": { "nodeSelector": { "disk": "ssd" }, "ports": { "http": 3300 } },
        "query": { "concurrentJobs": 5 },
    }));
    let told =
        |target: Target| tempo.target_warnings(target).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(Target::Local), ["spec: without effect on this machine: image, tempo.nodeSelector"]);
    assert_eq!(told(Target::Kubernetes), ["spec: without effect on Kubernetes: tempo.ports"]);
    assert_eq!(warnings(&tempo), ["spec.query.concurrentJobs"]);
}

#[test]
fn a_tenants_name_with_dots_keeps_its_place() {
    let patch = json!({ "tenancy": { "enabled": true }, "retention": { "perTenant": { "a.b": "0s" } } });
    refused("singleBinary", patch, "spec.retention.perTenant[\"a.b\"]", "keeps nothing");
}
