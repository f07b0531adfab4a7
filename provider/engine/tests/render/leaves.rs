//! Every field of a document changes something that is rendered, or stands on a list with the reason why not: a field
//! that is read and forgotten is a promise that nobody keeps.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tempoform_api::{Target, Tempo, validate};
use tempoform_engine::render;

use crate::support::ports;

/// The ends of fields that change nothing that is rendered, and why.
const WITHOUT_RENDERING: [(&str, &str); 8] = [
    ("local.stateDirectory", "the folder is the local target's, which finds everything by it"),
    ("storage.trace.backend", "it changes only together with the section that it names"),
    (".autoscaling", "refused for components that hold something"),
    (".ports.otlpGrpc", "refused where no OTLP is received"),
    (".ports.otlpHttp", "refused where no OTLP is received"),
    (".tls.insecureSkipVerify", "refused for stores whose client has no such setting"),
    (".tls.minVersion", "refused for stores whose client has no such setting"),
    (".tls.serverName", "refused for stores whose client has no such setting"),
];

/// Types of Kubernetes, whose inside is Kubernetes' affair.
const KUBERNETES: [&str; 9] = [
    "affinity",
    "behavior",
    "extraEgress",
    "imagePullSecrets",
    "instanceSelector",
    "resources",
    "securityContext",
    "tolerations",
    "topologySpreadConstraints",
];

#[test]
fn every_field_changes_what_is_rendered_or_is_known_not_to() {
    let definition = serde_json::to_value(tempoform_api::crd()).unwrap();
    let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut leaves = Vec::new();
    collect(&mut Vec::new(), spec, &mut leaves);
    assert!(leaves.len() > 200, "the schema is walked: {}", leaves.len());
    let bases: Vec<(Value, String)> =
        bases().into_iter().map(|base| (base.clone(), rendered(&base).unwrap())).collect();
    let idle: BTreeSet<String> = leaves
        .into_iter()
        .filter(|(steps, schema)| !changes_something(steps, schema, &bases))
        .map(|(steps, _)| steps.join("."))
        .collect();
    let forgotten: Vec<_> =
        idle.iter().filter(|path| !WITHOUT_RENDERING.iter().any(|(end, _)| path.ends_with(end))).collect();
    assert!(forgotten.is_empty(), "{forgotten:?} change nothing");
    for (end, reason) in WITHOUT_RENDERING {
        assert!(idle.iter().any(|path| path.ends_with(end)), "{end} has an effect after all: {reason}");
    }
}

fn collect(steps: &mut Vec<String>, schema: &Value, leaves: &mut Vec<(Vec<String>, Value)>) {
    let opaque = steps.last().is_some_and(|name| KUBERNETES.contains(&name.as_str()));
    match schema["properties"].as_object().filter(|_| !opaque) {
        Some(properties) => {
            for (name, schema) in properties {
                steps.push(name.clone());
                collect(steps, schema, leaves);
                steps.pop();
            }
        }
        None => leaves.push((steps.clone(), schema.clone())),
    }
}

fn changes_something(steps: &[String], schema: &Value, bases: &[(Value, String)]) -> bool {
    bases.iter().any(|(base, before)| {
        candidates(steps, schema).into_iter().any(|value| {
            let mut spec = base.clone();
            set(&mut spec, steps, value);
            rendered(&spec).is_some_and(|after| after != *before)
        })
    })
}

fn set(value: &mut Value, steps: &[String], new: Value) {
    match steps {
        [] => *value = new,
        [first, rest @ ..] => {
            if !value.is_object() {
                *value = json!({});
            }
            set(&mut value[first], rest, new);
        }
    }
}

/// What is rendered for both targets, as far as the document is valid for them; `None` if for neither.
fn rendered(spec: &Value) -> Option<String> {
    let document = json!({"apiVersion": tempoform_api::API_VERSION, "kind": tempoform_api::KIND,
        "metadata": {"name": "leaf"}, "spec": spec});
    let tempo: Tempo = serde_json::from_value(document).ok()?;
    let tempo = validate(&tempo).ok()?;
    let manifests = tempo.check_target(Target::Kubernetes).ok().map(|()| render::manifests(&tempo).ok());
    let processes = tempo.check_target(Target::Local).ok().map(|()| render::local(&tempo).ok());
    let mut text = String::new();
    if let Some(manifests) = manifests.flatten() {
        text += &render::to_yaml_stream(&manifests);
    }
    for process in processes.flatten().iter().flatten() {
        let ports = ports(std::slice::from_ref(process));
        text += &json!(process).to_string();
        text += &process.resolve(&ports, Path::new("/state")).unwrap_or_default();
    }
    (!text.is_empty()).then_some(text)
}

/// Values to try, most of which will not be valid.
fn candidates(steps: &[String], schema: &Value) -> Vec<Value> {
    let name = steps.last().map(String::as_str).unwrap_or_default();
    let list = match name {
        "affinity" => json!([{ "nodeAffinity": {} }]),
        "behavior" => json!([{ "scaleDown": { "stabilizationWindowSeconds": 60 } }]),
        "hostnames" => json!([["other.example"]]),
        "parentRefs" => json!([[{ "name": "other", "sectionName": "x" }]]),
        "extraEgress" => json!([[{ "ports": [{ "port": 3128 }] }]]),
        "imagePullSecrets" => json!([[{ "name": "x" }]]),
        "instanceSelector" => json!([{ "matchLabels": { "a": "b" } }]),
        "resources" => json!([{ "limits": { "memory": "3Gi" } }]),
        "securityContext" => json!([{ "runAsUser": 7 }]),
        "tolerations" => json!([[{ "key": "x" }]]),
        "topologySpreadConstraints" => {
            json!([[{ "topologyKey": "x", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule" }]])
        }
        "extraEnv" => json!([[{ "name": "X", "value": "1" }]]),
        "envFrom" => json!([[{ "configMapRef": { "name": "x" } }]]),
        "extraArgs" => json!([["-x"]]),
        "initContainers" | "sidecars" => json!([[{ "name": "x", "image": "x:1" }]]),
        "volumes" => json!([[{ "name": "x", "emptyDir": {} }]]),
        "volumeMounts" => json!([[{ "name": "tmp", "mountPath": "/x" }]]),
        "zones" => json!([["a", "b", "c"]]),
        "tenants" => json!([[{ "name": "x", "id": "y" }]]),
        "dedicatedColumns" => json!([[{ "scope": "span", "name": "x", "type": "string" }]]),
        "config" => json!([{ "server": { "log_level": "debug" } }]),
        "perTenant" if steps[0] == "limits" => json!([{ "x": { "ingestion": { "rateLimitBytes": "1MB" } } }]),
        "perTenant" => json!([{ "x": "100h" }]),
        "labels" | "annotations" | "nodeSelector" => json!([{ "x": "y" }]),
        _ => by_type(schema),
    };
    serde_json::from_value(list).unwrap()
}

fn by_type(schema: &Value) -> Value {
    if let Some(words) = schema.get("enum") {
        return words.clone();
    }
    match schema["type"].as_str() {
        Some("boolean") => json!([true, false]),
        Some("integer" | "number") => json!([0, 0.5, 1, 2, 12_345]),
        _ => json!([
            "some-name",
            "SOME_NAME",
            "77s",
            "77h",
            "30MiB",
            "3Gi",
            30_000_000,
            "http://some-name:1",
            "/var/tempo/x",
            "127.0.0.2",
            "arn:aws:iam::123456789012:role/x",
            "a@b.iam.gserviceaccount.com",
            "docker.io/some/image:1",
            "docker.io/grafana/tempo:2.9.0",
            "somename"
        ]),
    }
}

/// Documents that a field is set in. One for each thing that a field needs beside it.
fn bases() -> Vec<Value> {
    let s3 = |more: Value| {
        let mut s3 = json!({ "bucket": "traces", "region": "eu-west-1" });
        for (key, value) in more.as_object().unwrap() {
            s3[key] = value.clone();
        }
        json!({ "trace": { "backend": "s3", "s3": s3 } })
    };
    let gcs = |credentials: Value| json!({ "trace": { "backend": "gcs", "gcs": { "bucket": "traces", "endpoint": "gcs:4443", "credentials": credentials } } });
    let azure = |more: Value| {
        let mut azure = json!({ "container": "traces", "account": "account" });
        for (key, value) in more.as_object().unwrap() {
            azure[key] = value.clone();
        }
        json!({ "trace": { "backend": "azure", "azure": azure } })
    };
    let single = |storage: Value, more: Value| {
        let mut spec = json!({ "mode": "singleBinary", "storage": storage });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        spec
    };
    let distributed = |more: Value| {
        let mut spec = single(s3(json!({})), more);
        spec["mode"] = "distributed".into();
        spec
    };
    let local = || json!({ "trace": { "backend": "local" } });
    let observed = json!({ "serviceMonitors": {}, "rules": {}, "dashboards": {}, "grafanaDatasource": {},
        "selfTracing": { "endpoint": "http://collector:4318" } });
    let upstream = "docker.io/grafana/tempo:2.10.5";
    let cluster_tls = |ca: Value| json!({ "secretName": "otlp", "clientCa": ca });
    let file_tls = json!({ "certFile": "/c", "keyFile": "/k", "clientCa": { "file": "/ca" } });
    let mut bases = vec![
        single(local(), json!({ "observability": observed, "tenancy": { "enabled": true } })),
        distributed(json!({ "tenancy": { "enabled": true } })),
        distributed(json!({ "image": upstream })),
        single(local(), json!({ "image": upstream })),
        distributed(json!({ "serviceAccount": { "name": "x" } })),
        single(gcs(json!({})), json!({})),
        single(gcs(json!({ "secretRef": { "name": "key" } })), json!({})),
        single(gcs(json!({ "workloadIdentity": {} })), json!({})),
        single(gcs(json!({ "env": {} })), json!({})),
        single(azure(json!({ "endpoint": "azurite:10000" })), json!({})),
    ];
    let at = |host: &str| json!({ "host": host });
    let named = |host: &str| json!({ "hostnames": [host] });
    let scaled = json!({ "autoscaling": { "minReplicas": 2, "maxReplicas": 4 } });
    bases.push(distributed(json!({
        "distributor": scaled, "querier": scaled, "queryFrontend": scaled,
        "ingress": { "query": at("a"), "otlpHttp": at("b"), "otlpGrpc": at("c") },
        "gatewayApi": { "parentRefs": [{ "name": "x" }], "query": named("a"), "otlpHttp": named("b"), "otlpGrpc": named("c") },
    })));
    for credentials in [
        json!({ "secretRef": { "name": "key" } }),
        json!({ "workloadIdentity": { "clientId": "x" } }),
        json!({ "env": {} }),
        json!({}),
    ] {
        bases.push(single(azure(json!({ "credentials": credentials })), json!({})));
    }
    for credentials in
        [json!({ "secretRef": { "name": "key" } }), json!({ "workloadIdentity": {} }), json!({ "env": {} })]
    {
        bases.push(single(s3(json!({ "credentials": credentials })), json!({})));
    }
    for ca in [
        json!({ "configMap": { "name": "ca" } }),
        json!({ "secret": { "name": "ca" } }),
        json!({ "file": "/ca" }),
    ] {
        bases.push(single(
            s3(json!({ "endpoint": "minio:9000", "tls": { "ca": ca } })),
            json!({ "image": upstream }),
        ));
        let mut storage = gcs(json!({}));
        storage["trace"]["gcs"]["tls"] = json!({ "ca": ca });
        bases.push(single(storage, json!({})));
        bases.push(single(azure(json!({ "tls": { "ca": ca } })), json!({})));
        let tls = if ca.get("file").is_some() { file_tls.clone() } else { cluster_tls(ca) };
        for image in [upstream, "ghcr.io/some/tempo:1"] {
            bases.push(single(local(), json!({ "image": image, "tempo": { "tls": tls } })));
            bases.push(distributed(json!({ "image": image, "distributor": { "tls": tls } })));
            let otlp = json!({ "grpc": { "tls": tls }, "http": { "tls": tls } });
            bases.push(single(local(), json!({ "image": image, "ingestion": { "otlp": otlp } })));
        }
    }
    bases
}
