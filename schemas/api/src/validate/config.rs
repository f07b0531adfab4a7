//! `spec.config`: what it must not say, whatever the runtime makes of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tempoform_document::path;

use super::report::Report;

const PATH: &str = "spec.config";

/// Keys that other fields decide about, because something else of the Tempo depends on them too: ports of services,
/// probes, volumes, certificates, the plan.
const RESERVED: [(&str, &str); 24] = [
    ("target", "spec.mode and the components' blocks"),
    ("multitenancy_enabled", "spec.tenancy.enabled"),
    ("multitenancy_allowed_tenants", "spec.tenancy.tenants"),
    ("server.http_listen_address", "listenAddress of the component's block (this machine)"),
    (
        "server.http_listen_port",
        "ports.http of the component's block (this machine); it is 3200 on Kubernetes",
    ),
    ("server.http_tls_config", "nothing: probes and the other components speak plain HTTP with it"),
    ("server.grpc_listen_address", "listenAddress of the component's block (this machine)"),
    (
        "server.grpc_listen_port",
        "ports.grpc of the component's block (this machine); it is 9095 on Kubernetes",
    ),
    ("distributor.receivers.otlp.protocols.grpc.endpoint", "spec.ingestion.otlp.grpc.port"),
    ("distributor.receivers.otlp.protocols.grpc.tls", "spec.ingestion.otlp.grpc.tls"),
    ("distributor.receivers.otlp.protocols.http.endpoint", "spec.ingestion.otlp.http.port"),
    ("distributor.receivers.otlp.protocols.http.tls", "spec.ingestion.otlp.http.tls"),
    ("ingester.lifecycler.availability_zone", "spec.replication.zones"),
    ("ingester.lifecycler.ring.replication_factor", "spec.replication.factor"),
    ("ingester.lifecycler.ring.zone_awareness_enabled", "spec.replication.zones"),
    ("storage.trace.backend", "spec.storage.trace.backend"),
    ("storage.trace.local.path", "spec.storage.trace.local.path"),
    ("storage.trace.wal.path", "nothing: it is on the component's volume, or in the state directory"),
    ("memberlist.bind_addr", "listenAddress of the component's block (this machine)"),
    ("memberlist.bind_port", "nothing: services and the other components expect the rendered port"),
    ("memberlist.advertise_addr", "nothing: it is the pod's, or listenAddress of the component's block"),
    ("memberlist.advertise_port", "nothing: services and the other components expect the rendered port"),
    ("memberlist.node_name", "nothing: it is the instance's own name, which must outlive restarts"),
    ("overrides.per_tenant_override_config", "spec.limits.perTenant and spec.retention.perTenant"),
];

/// Keys, in any section, that hold secrets: ours, and those of Grafana Tempo.
const SECRETS: [&str; 8] = [
    "secret_key",
    "session_token",
    "storage_account_key",
    "password",
    "sasl_password",
    "bearer_token",
    "credentials",
    "client_secret",
];

pub(super) fn check(config: &Map<String, Value>, report: &mut Report) {
    let mut told = BTreeSet::new();
    for (key, field) in RESERVED {
        let Some(at) = written(config, key).filter(|at| told.insert(at.clone())) else { continue };
        let (message, help) = match field.strip_prefix("nothing: ") {
            Some(reason) => (format!("{key} cannot be changed: {reason}"), "remove it".to_owned()),
            None => (format!("{key} is decided by {field}"), "remove it here, and set it there".to_owned()),
        };
        report.refuse(at, message, help);
    }
    for (key, value) in config {
        refuse_secrets(&path::child(PATH, key), key, value, report);
    }
}

/// Where the document sets a key, or takes it away with a section above it.
fn written(config: &Map<String, Value>, key: &str) -> Option<String> {
    let mut at = PATH.to_owned();
    let mut section = config;
    let mut steps = key.split('.').peekable();
    while let Some(step) = steps.next() {
        let value = section.get(step)?;
        at = path::child(&at, step);
        match value {
            Value::Object(inner) if steps.peek().is_some() => section = inner,
            _ => break,
        }
    }
    Some(at)
}

/// What stands here comes out again in manifests, plans and state files, so that a secret may only be referred to.
fn refuse_secrets(at: &str, key: &str, value: &Value, report: &mut Report) {
    let referred = |text: &str| text.is_empty() || (text.starts_with("${") && text.ends_with('}'));
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                refuse_secrets(&path::child(at, key), key, value, report);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                refuse_secrets(&path::item(at, index), key, value, report);
            }
        }
        Value::String(text) if referred(text) => {}
        Value::String(_) | Value::Number(_) | Value::Bool(_) if SECRETS.contains(&key) => report.refuse(
            at,
            "a secret stands here in clear, and would come out in manifests and plans",
            "write the name of a variable, ${VAR}, and bring the variable by extraEnv from a secret",
        ),
        Value::String(text) if url_has_credentials(text) => report.refuse(
            at,
            "the URL contains credentials, and would come out in manifests and plans",
            "write the name of a variable for them, ${VAR}, and bring it by extraEnv from a secret",
        ),
        _ => {}
    }
}

/// Whether a URL names a user or a password before its host, other than by a variable.
pub(super) fn url_has_credentials(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').is_some_and(|(user, _)| !(user.starts_with("${") && user.ends_with('}')))
}
