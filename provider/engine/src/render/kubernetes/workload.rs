//! The StatefulSet or Deployment of a component: the values that its template places.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, PodSecurityContext,
    ResourceRequirements, SecretKeySelector, Toleration, TopologySpreadConstraint,
};
use serde::Serialize;
use tempoform_api::spec::{DeletionPolicy, ImagePullPolicy, RawFragment};
use tempoform_api::{ComponentSettings, ValidatedTempo};

use super::meta::{Meta, is_reserved};
use super::ports::Port;
use crate::render::config::files::Mount;
use crate::render::config::storage::{Source, Variable};
use crate::render::config::{Access, Process};
use crate::render::names::Names;

/// The variable with the pod's name, which is the process's among its peers.
pub(super) const POD_NAME: &str = "TEMPO_POD_NAME";
/// The variable with the pod's address, at which its peers reach it.
pub(super) const POD_IP: &str = "TEMPO_POD_IP";
/// The variable with the zone that the pod is bound to.
pub(super) const ZONE: &str = "TEMPO_ZONE";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Workload<'a> {
    #[serde(flatten)]
    meta: Meta<'a>,
    replicas: u32,
    /// Whether the number is left to an autoscaler.
    autoscaled: bool,
    headless_service: String,
    target: &'static str,
    image: &'a str,
    image_pull_policy: ImagePullPolicy,
    image_pull_secrets: Vec<Reference<'a>>,
    service_account_name: &'a str,
    automount_service_account_token: bool,
    extra_args: &'a [String],
    ports: &'a [Port],
    env: Vec<EnvVar>,
    env_from: &'a [EnvFromSource],
    resources: &'a ResourceRequirements,
    #[serde(flatten)]
    placement: Placement<'a>,
    pod_labels: BTreeMap<&'a str, &'a str>,
    pod_annotations: BTreeMap<&'a str, &'a str>,
    pod_security_context: Option<&'a PodSecurityContext>,
    termination_grace_period_seconds: i64,
    init_containers: &'a [RawFragment],
    sidecars: &'a [RawFragment],
    volumes: &'a [RawFragment],
    volume_mounts: &'a [RawFragment],
    mounts: &'a [Mount],
    config_map: String,
    config_hash: String,
    overrides_config_map: String,
    claim: Option<Claim<'a>>,
}

/// An object by its name.
#[derive(Serialize)]
struct Reference<'a> {
    name: &'a str,
}

/// The volume that each pod claims.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claim<'a> {
    size: &'a str,
    storage_class: Option<&'a str>,
    when_deleted: &'static str,
}

/// On which nodes the pods run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Placement<'a> {
    node_selector: BTreeMap<&'a str, &'a str>,
    tolerations: &'a [Toleration],
    priority_class_name: Option<&'a str>,
    affinity: Option<&'a Affinity>,
    zone_spread: Option<ZoneSpread<'a>>,
    topology_spread_constraints: &'a [TopologySpreadConstraint],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ZoneSpread<'a> {
    topology_key: &'a str,
    max_skew: u32,
    when_unsatisfiable: &'static str,
}

/// A component, or the part of it that is in one zone.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) zone: Option<&'a str>,
    pub(super) replicas: u32,
}

/// What was found out about the component's configuration.
#[derive(Clone, Copy)]
pub(super) struct Configured<'a> {
    pub(super) access: &'a Access,
    pub(super) config_hash: &'a str,
    pub(super) ports: &'a [Port],
}

/// The values of a component's workload.
pub(super) fn values<'a>(
    tempo: &'a ValidatedTempo,
    process: &Process<'a>,
    meta: &Meta<'a>,
    part: Part<'a>,
    configured: Configured<'a>,
) -> Workload<'a> {
    let Process { component, settings, .. } = *process;
    let names = Names::new(&tempo.name);
    let template = &settings.pod_template;
    let Configured { access, config_hash, ports } = configured;
    Workload {
        meta: meta.named(names.stateful_set(component, part.zone)).in_zone(part.zone),
        replicas: part.replicas,
        autoscaled: settings.autoscaling.is_some(),
        headless_service: names.of_component(component, "headless"),
        target: component.target(),
        image: settings.image.as_str(),
        image_pull_policy: tempo.image_pull_policy,
        image_pull_secrets: tempo.image_pull_secrets.iter().map(|name| Reference { name }).collect(),
        service_account_name: &tempo.service_account.name,
        // Nothing here calls the Kubernetes API; the tokens of workload identity are mounted by their webhooks.
        automount_service_account_token: false,
        extra_args: &settings.extra_args,
        ports,
        env: env(settings, &access.variables, part.zone),
        env_from: &settings.env_from,
        resources: &settings.resources,
        placement: placement(tempo, settings, part.zone),
        pod_labels: pod_labels(tempo, settings, access),
        pod_annotations: strings(&template.annotations),
        pod_security_context: template.security_context.as_ref(),
        termination_grace_period_seconds: template.termination_grace_period_seconds,
        init_containers: &template.init_containers,
        sidecars: &template.sidecars,
        volumes: &template.volumes,
        volume_mounts: &template.volume_mounts,
        mounts: &access.mounts,
        config_map: names.of_component(component, "config"),
        config_hash: config_hash.to_owned(),
        overrides_config_map: names.with("overrides"),
        claim: settings.persistence.as_ref().map(|volume| Claim {
            size: &volume.size,
            storage_class: volume.storage_class.as_deref(),
            when_deleted: match tempo.deletion_policy {
                DeletionPolicy::Retain => "Retain",
                DeletionPolicy::Delete => "Delete",
            },
        }),
    }
}

/// Ours first; a variable that the document names too is the document's.
fn env(settings: &ComponentSettings, storage: &[Variable], zone: Option<&str>) -> Vec<EnvVar> {
    let mut env = vec![pod_field(POD_NAME, "metadata.name"), pod_field(POD_IP, "status.podIP")];
    env.extend(zone.map(|zone| literal(ZONE, zone)));
    env.extend(storage.iter().filter_map(variable));
    env.retain(|ours| settings.extra_env.iter().all(|own| own.name != ours.name));
    env.extend(settings.extra_env.iter().cloned());
    env
}

fn pod_field(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() };
    let source = EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value_from: Some(source), ..EnvVar::default() }
}

fn literal(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() }
}

fn variable(variable: &Variable) -> Option<EnvVar> {
    match &variable.source {
        Source::Literal(value) => Some(literal(variable.name, value)),
        Source::Secret { name, key } => {
            let secret = SecretKeySelector { name: name.clone(), key: key.clone(), optional: None };
            let source = EnvVarSource { secret_key_ref: Some(secret), ..EnvVarSource::default() };
            Some(EnvVar { name: variable.name.to_owned(), value_from: Some(source), ..EnvVar::default() })
        }
        // A pod has no environment of ours; the document brings the variable by `extraEnv` or `envFrom`.
        Source::Environment(_) => None,
    }
}

fn placement<'a>(
    tempo: &'a ValidatedTempo,
    settings: &'a ComponentSettings,
    zone: Option<&'a str>,
) -> Placement<'a> {
    let topology_key = tempo.replication.topology_key.as_str();
    let scheduling = &settings.scheduling;
    let mut node_selector = strings(&scheduling.node_selector);
    if let Some(zone) = zone {
        node_selector.insert(topology_key, zone);
    }
    let spread = ZoneSpread { topology_key, max_skew: 1, when_unsatisfiable: "ScheduleAnyway" };
    // A constraint of the document's own for the same key takes the place of ours.
    let own = scheduling.topology_spread_constraints.iter().any(|c| c.topology_key == topology_key);
    Placement {
        node_selector,
        tolerations: &scheduling.tolerations,
        priority_class_name: scheduling.priority_class_name.as_deref(),
        affinity: scheduling.affinity.as_ref(),
        zone_spread: (zone.is_none() && !own).then_some(spread),
        topology_spread_constraints: &scheduling.topology_spread_constraints,
    }
}

fn pod_labels<'a>(
    tempo: &'a ValidatedTempo,
    settings: &'a ComponentSettings,
    access: &'a Access,
) -> BTreeMap<&'a str, &'a str> {
    let mut labels = strings(&settings.pod_template.labels);
    labels.extend(strings(&access.labels));
    // The labels of all objects stand in the pod's already.
    labels.retain(|label, _| !is_reserved(label) && !tempo.labels.contains_key(*label));
    labels
}

fn strings(map: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
