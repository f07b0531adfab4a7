use super::*;

const LOCAL_STORAGE: &str = r#"{ "trace": { "backend": "local", "s3": null } }"#;

fn on_disk(mut patch: Value) -> Value {
    patch["storage"] = serde_json::from_str(LOCAL_STORAGE).unwrap();
    patch
}

#[test]
fn a_folder_is_shared_on_one_machine_only() {
    validate_for(&tempo("distributed", on_disk(json!({}))), Target::Local).unwrap();
    refused_by(
        Target::Kubernetes,
        "distributed",
        on_disk(json!({})),
        "spec.storage.trace.backend",
        "do not share a disk",
    );
    validate_for(&tempo("singleBinary", on_disk(json!({}))), Target::Kubernetes).unwrap();
}

#[test]
fn each_target_has_its_own_sources_of_secrets() {
    let credentials = |source: &str, value: Value| s3(json!({ "credentials": { source: value } }));
    let path = |source: &str| format!("spec.storage.trace.s3.credentials.{source}");
    let (kubernetes, local) = (Target::Kubernetes, Target::Local);
    refused_by(kubernetes, "distributed", credentials("env", json!({})), &path("env"), "pods do not see");
    let secret = credentials("secretRef", json!({ "name": "keys" }));
    refused_by(local, "distributed", secret.clone(), &path("secretRef"), "no Kubernetes secrets");
    refused_by(
        local,
        "distributed",
        credentials("workloadIdentity", json!({})),
        &path("workloadIdentity"),
        "identity",
    );
    validate_for(&tempo("distributed", secret), kubernetes).unwrap();
    validate_for(&tempo("distributed", credentials("env", json!({}))), local).unwrap();
}

#[test]
fn each_target_has_its_own_sources_of_certificates() {
    let ca = |ca: Value| s3(json!({ "tls": { "ca": ca } }));
    let path = "spec.storage.trace.s3.tls.ca";
    refused_by(
        Target::Kubernetes,
        "distributed",
        ca(json!({ "file": "/ca.pem" })),
        &format!("{path}.file"),
        "files",
    );
    refused_by(Target::Local, "distributed", ca(json!({ "secret": { "name": "ca" } })), path, "config maps");
    let tls = |tls: Value| json!({ "ingestion": { "otlp": { "grpc": { "tls": tls } } } });
    let path = "spec.ingestion.otlp.grpc.tls";
    let files = tls(json!({ "certFile": "c", "keyFile": "k" }));
    refused_by(Target::Kubernetes, "distributed", files, &format!("{path}.certFile"), "files");
    let secret = tls(json!({ "secretName": "otlp" }));
    refused_by(Target::Local, "distributed", secret, &format!("{path}.secretName"), "secrets");
}

#[test]
fn pinned_ports_are_taken_once() {
    let patch = json!({ "querier": { "ports": { "http": 3200 } } });
    refused_by(
        Target::Local,
        "distributed",
        patch.clone(),
        "spec.queryFrontend.ports.http",
        "spec.querier.ports.http",
    );
    validate_for(&tempo("distributed", patch), Target::Kubernetes).unwrap();
    let apart = json!({ "querier": { "ports": { "http": 3200 }, "listenAddress": "127.0.0.2" } });
    validate_for(&tempo("distributed", apart), Target::Local).unwrap();
    let everywhere = json!({ "querier": { "ports": { "http": 3200 }, "listenAddress": "0.0.0.0" } });
    refused_by(Target::Local, "distributed", everywhere, "spec.queryFrontend.ports.http", "taken");
}

#[test]
fn paths_in_pods_are_absolute() {
    let patch =
        json!({ "storage": { "trace": { "backend": "local", "s3": null, "local": { "path": "blocks" } } } });
    refused_by(Target::Kubernetes, "singleBinary", patch.clone(), "spec.storage.trace.local.path", "blocks");
    validate_for(&tempo("singleBinary", patch), Target::Local).unwrap();
}
