//! Fields without an effect where they are, which deserve a word rather than a refusal: a document may serve both
//! targets, or move from one runtime to the other.

use serde_json::Value;
use tempoform_document::Problem;

use super::report::Report;
use crate::Component;
use crate::spec::{Tempo, TempoSpec};
use crate::validated::Target;

/// Fields of `spec` that only Kubernetes has a use for.
const KUBERNETES_ONLY: [&str; 12] = [
    "image",
    "imagePullPolicy",
    "imagePullSecrets",
    "serviceAccount",
    "networkPolicy",
    "ingress",
    "gatewayApi",
    "replication.topologyKey",
    "observability.serviceMonitors",
    "observability.rules",
    "observability.dashboards",
    "observability.grafanaDatasource",
];

/// The same in a component's block.
const KUBERNETES_ONLY_IN_BLOCKS: [&str; 18] = [
    "image",
    "autoscaling",
    "resources.requests",
    "resources.limits.cpu",
    "nodeSelector",
    "tolerations",
    "affinity",
    "topologySpreadConstraints",
    "priorityClassName",
    "envFrom",
    "persistence",
    "podTemplate.labels",
    "podTemplate.annotations",
    "podTemplate.securityContext",
    "podTemplate.initContainers",
    "podTemplate.sidecars",
    "podTemplate.volumes",
    "podTemplate.volumeMounts",
];

/// Fields of a component's block that only this machine has a use for; `spec.local` is another.
const LOCAL_ONLY_IN_BLOCKS: [&str; 2] = ["ports", "listenAddress"];

/// Keys of Grafana Tempo's configuration to which ours has no counterpart.
const UPSTREAM_ONLY: [(&str, &str); 2] = [
    ("query.concurrentJobs", "a search is not cut into jobs; see retriever.concurrent_blocks in spec.config"),
    (
        "query.targetBytesPerJob",
        "a search is not cut into jobs; see retriever.concurrent_blocks in spec.config",
    ),
];

/// Fields that mean nothing to Grafana Tempo.
const NATIVE_ONLY: [(&str, &str); 3] = [
    ("retriever", "Grafana Tempo has no retriever: its queriers read the object store"),
    ("cache", "Grafana Tempo has no retriever, whose cache this is; its own caches go into spec.config"),
    ("wal.durability", "Grafana Tempo never waits for its log to be on the disk"),
];

/// What a target takes no notice of, in one line.
pub(super) fn of_target(spec: &TempoSpec, target: Target) -> Vec<Problem> {
    let spec = value(spec);
    let (whole, blocks): (&[&str], &[&str]) = match target {
        Target::Kubernetes => (&["local"], &LOCAL_ONLY_IN_BLOCKS),
        Target::Local => (&KUBERNETES_ONLY, &KUBERNETES_ONLY_IN_BLOCKS),
    };
    let whole = whole.iter().map(|field| (*field).to_owned());
    let blocks = Component::ALL
        .into_iter()
        .flat_map(|component| blocks.iter().map(move |field| format!("{component}.{field}")));
    let idle: Vec<String> = whole.chain(blocks).filter(|field| is_there(&spec, field)).collect();
    if idle.is_empty() {
        return Vec::new();
    }
    let place = match target {
        Target::Kubernetes => "on Kubernetes",
        Target::Local => "on this machine",
    };
    let message = format!("without effect {place}: {}", idle.join(", "));
    vec![Problem::new("spec", message)]
}

/// What the runtime takes no notice of.
pub(super) fn of_runtime(spec: &TempoSpec, upstream: bool, report: &mut Report) {
    let spec = value(spec);
    let table: &[(&str, &str)] = if upstream { &NATIVE_ONLY } else { &UPSTREAM_ONLY };
    for (field, reason) in table.iter().filter(|(field, _)| is_there(&spec, field)) {
        report.warn(format!("spec.{field}"), format!("has no effect: {reason}"), "remove it");
    }
    if upstream && is_there(&spec, "tenancy.tenants") {
        report.warn(
            "spec.tenancy.tenants",
            "Grafana Tempo serves any tenant, whatever is listed",
            "let whatever stands in front of it keep others out",
        );
    }
}

/// The annotations of the resource are its own: tools write theirs there, and they are not meant for other objects.
pub(super) fn of_metadata(tempo: &Tempo, report: &mut Report) {
    let theirs = |key: &str| key.contains("kubernetes.io/");
    let annotations = tempo.metadata.annotations.iter().flatten();
    if annotations.filter(|(key, _)| !theirs(key)).count() > 0 {
        report.warn(
            "metadata.annotations",
            "they stay with the Tempo resource, and are not put on what is rendered from it",
            "annotations of pods go into podTemplate.annotations, those of the account into serviceAccount.annotations",
        );
    }
}

fn value(spec: &TempoSpec) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

fn is_there(spec: &Value, field: &str) -> bool {
    field.split('.').try_fold(spec, |here, step| here.get(step)).is_some()
}
