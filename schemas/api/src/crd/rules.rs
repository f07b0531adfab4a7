//! What the API server itself refuses, as CEL rules.
//!
//! Only what is cheap and certain: the rest is found by [`validate`](crate::validate), with better words.

use serde_json::{Value, json};

/// `(rule, message, field that is wrong)`
type Rule = (&'static str, &'static str, Option<&'static str>);

fn rules(rules: &[Rule]) -> Value {
    rules.iter().map(rule).collect()
}

fn rule(&(rule, message, field): &Rule) -> Value {
    let mut entry = json!({ "rule": rule, "message": message, "reason": "FieldValueInvalid" });
    if let (Some(field), Value::Object(entry)) = (field, &mut entry) {
        entry.insert("fieldPath".to_owned(), Value::from(field));
    }
    entry
}

/// Rules of the whole resource: the name becomes part of others.
pub(crate) fn root() -> Value {
    rules(&[
        (
            "self.metadata.name.size() <= 30",
            "metadata.name must have at most 30 characters, so that the names made of it are not too long",
            None,
        ),
        (
            "!self.metadata.name.contains('.')",
            "metadata.name must be a DNS label: lower-case letters, digits and dashes",
            None,
        ),
    ])
}

/// Rules of `spec`.
pub(crate) fn spec() -> Value {
    rules(&[
        (
            "self.mode != 'singleBinary' || !(has(self.distributor) || has(self.ingester) || has(self.querier) || has(self.queryFrontend) || has(self.retriever) || has(self.compactor))",
            "mode singleBinary runs one process: use the tempo block instead of component blocks, or mode distributed",
            Some(".mode"),
        ),
        (
            "self.mode != 'distributed' || !has(self.tempo)",
            "the tempo block belongs to mode singleBinary: use the component blocks, or mode singleBinary",
            Some(".tempo"),
        ),
        (
            "self.mode != 'distributed' || self.storage.trace.backend != 'local'",
            "pods do not share a disk: mode distributed needs storage.trace.backend s3, gcs or azure",
            Some(".storage.trace.backend"),
        ),
        (
            "self.mode != 'distributed' || !has(self.replication) || !has(self.replication.factor) || self.replication.factor <= (has(self.ingester) && has(self.ingester.replicas) ? self.ingester.replicas : 3) || (has(self.ingester) && has(self.ingester.replicas) && self.ingester.replicas == 0)",
            "replication.factor must not be larger than ingester.replicas (3 by default)",
            Some(".replication.factor"),
        ),
        (
            "self.mode != 'singleBinary' || !has(self.replication) || !has(self.replication.factor) || self.replication.factor == 1",
            "mode singleBinary keeps one copy: replication.factor must be 1",
            Some(".replication.factor"),
        ),
        (
            "self.mode != 'singleBinary' || !has(self.tempo) || !has(self.tempo.replicas) || self.tempo.replicas <= 1",
            "mode singleBinary runs one instance: tempo.replicas must be 1, or 0 to stop it",
            Some(".tempo.replicas"),
        ),
        (
            "!has(self.replication) || !has(self.replication.factor) || !has(self.replication.zones) || self.replication.zones.size() == 0 || self.replication.zones.size() >= self.replication.factor",
            "each copy needs a zone of its own: name at least replication.factor zones, or none",
            Some(".replication.zones"),
        ),
        (
            "!has(self.limits) || !has(self.limits.perTenant) || self.limits.perTenant.size() == 0 || (has(self.tenancy) && (has(self.tenancy.enabled) ? self.tenancy.enabled : has(self.tenancy.tenants) && self.tenancy.tenants.size() > 0))",
            "limits.perTenant needs tenancy.enabled: true",
            Some(".limits.perTenant"),
        ),
        (
            "!has(self.retention) || !has(self.retention.perTenant) || self.retention.perTenant.size() == 0 || (has(self.tenancy) && (has(self.tenancy.enabled) ? self.tenancy.enabled : has(self.tenancy.tenants) && self.tenancy.tenants.size() > 0))",
            "retention.perTenant needs tenancy.enabled: true",
            Some(".retention.perTenant"),
        ),
    ])
}

/// Rules of a component whose instances keep nothing.
pub(crate) fn scalable() -> Value {
    rules(&[
        (
            "!(has(self.autoscaling) && has(self.replicas))",
            "an autoscaler decides about the number of instances: keep replicas or autoscaling",
            Some(".replicas"),
        ),
        (
            "!has(self.autoscaling) || !has(self.resources) || (has(self.resources.requests) && 'cpu' in self.resources.requests) || (has(self.resources.limits) && 'cpu' in self.resources.limits)",
            "autoscaling by CPU needs resources.requests.cpu",
            Some(".resources"),
        ),
        (
            "!has(self.autoscaling) || !has(self.autoscaling.targetMemoryUtilizationPercentage) || !has(self.resources) || (has(self.resources.requests) && 'memory' in self.resources.requests) || (has(self.resources.limits) && 'memory' in self.resources.limits)",
            "autoscaling by memory needs resources.requests.memory",
            Some(".resources"),
        ),
    ])
}

/// Rules of all other components.
pub(crate) fn not_scalable() -> Value {
    rules(&[(
        "!has(self.autoscaling)",
        "only the distributor, the querier and the queryFrontend can be scaled automatically: the others hold data or caches, or gain nothing from it",
        Some(".autoscaling"),
    )])
}

/// Rules of `autoscaling`.
pub(crate) fn autoscaling() -> Value {
    rules(&[(
        "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
        "minReplicas must not be larger than maxReplicas",
        Some(".minReplicas"),
    )])
}

/// Rules of `spec.storage.trace`: the backend's section is there, and no other.
pub(crate) fn trace_storage() -> Value {
    rules(&[
        (
            "self.backend != 's3' || has(self.s3)",
            "backend s3 needs the section s3 with at least a bucket",
            Some(".backend"),
        ),
        (
            "self.backend != 'gcs' || has(self.gcs)",
            "backend gcs needs the section gcs with at least a bucket",
            Some(".backend"),
        ),
        (
            "self.backend != 'azure' || has(self.azure)",
            "backend azure needs the section azure with at least a container and an account",
            Some(".backend"),
        ),
        ("self.backend == 's3' || !has(self.s3)", "the section s3 needs backend: s3", Some(".s3")),
        ("self.backend == 'gcs' || !has(self.gcs)", "the section gcs needs backend: gcs", Some(".gcs")),
        (
            "self.backend == 'azure' || !has(self.azure)",
            "the section azure needs backend: azure",
            Some(".azure"),
        ),
        (
            "self.backend == 'local' || !has(self.local)",
            "the section local needs backend: local",
            Some(".local"),
        ),
    ])
}

/// Rules of every backend's `credentials`.
pub(crate) fn credentials() -> Value {
    rules(&[
        (
            "!(has(self.secretRef) && has(self.workloadIdentity))",
            "credentials come from one place: secretRef or workloadIdentity",
            Some(".workloadIdentity"),
        ),
        (
            "!has(self.env)",
            "credentials.env is for the local target: in a cluster use secretRef or workloadIdentity, or leave credentials out",
            Some(".env"),
        ),
    ])
}

/// Rules of a reference to certificates of authorities.
pub(crate) fn ca_bundle() -> Value {
    rules(&[
        ("has(self.configMap) != has(self.secret)", "name either a configMap or a secret", None),
        (
            "!has(self.file)",
            "file is for the local target: in a cluster use configMap or secret",
            Some(".file"),
        ),
    ])
}

/// Rules of a receiver's certificate.
pub(crate) fn server_tls() -> Value {
    rules(&[
        ("has(self.secretName)", "name the secret with tls.crt and tls.key", None),
        (
            "!has(self.certFile) && !has(self.keyFile)",
            "certFile and keyFile are for the local target: in a cluster use secretName",
            None,
        ),
    ])
}
