//! A Tempo as Kubernetes objects.

mod autoscaler;
mod exposure;
mod meta;
mod monitoring;
mod pod_check;
mod ports;
mod workload;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyEgressRule};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde_json::Value;
use tempoform_api::{Component, Problem, ValidatedTempo};

use self::meta::Meta;
use self::ports::Port;
use self::workload::{Configured, Part};
use super::config::{self, Access, Place, Process, Rendered};
use crate::object::{Object, ObjectId};

use super::flavour::Flavour;
use super::hash::fingerprint;
use super::names::Names;
use super::{Manifest, RenderError, typed, yaml};

/// The objects in the order in which they are applied: what others refer to comes first, ingesters before those who
/// write to them.
pub(super) fn manifests(tempo: &ValidatedTempo) -> Result<Vec<Manifest>, RenderError> {
    check(tempo)?;
    let mut parts =
        Process::all(tempo).map(|process| component(tempo, &process)).collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(|part| start_order(part.component));
    let mut all = common(tempo)?;
    all.extend(parts.iter().flat_map(|part| part.foundation.iter().cloned()));
    all.extend(parts.into_iter().flat_map(|part| part.workloads));
    all.extend(exposure::manifests(tempo)?);
    all.extend(monitoring::manifests(tempo)?);
    refuse_duplicates(&all)?;
    Ok(all)
}

/// The objects with what the engine has to know of each.
pub(super) fn objects(tempo: &ValidatedTempo, namespace: &str) -> Result<Vec<Object>, RenderError> {
    let in_namespace = |manifest: Manifest| {
        let Manifest { namespace: own, mut value, .. } = manifest;
        value["metadata"]["namespace"] = own.as_deref().unwrap_or(namespace).into();
        object(value)
    };
    Ok(manifests(tempo)?.into_iter().map(in_namespace).collect())
}

/// An object that is, or was, rendered here: what it belongs to is in its labels.
pub(super) fn object(value: Value) -> Object {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, metadata) = (text(&value["kind"]), &value["metadata"]);
    let mut id = ObjectId::new(kind.clone(), text(&metadata["name"]));
    id.namespace = metadata["namespace"].as_str().map(str::to_owned);
    let label = text(&metadata["labels"]["app.kubernetes.io/component"]);
    let component = Component::ALL.into_iter().find(|component| component.kubernetes_name() == label);
    // A workload refers to all the others, and is the only thing that is waited for.
    let is_workload = matches!(kind.as_str(), "Deployment" | "StatefulSet");
    Object {
        wave: component.filter(|_| is_workload).map_or(0, |component| 1 + start_order(component)),
        stateful: is_workload && component.is_some_and(Component::has_wal),
        component: component.map_or(label, |component| component.name().to_owned()),
        id,
        value,
    }
}

/// Reads the configurations of all components as the runtime does, and gives what is allowed but not meant.
pub(super) fn check(tempo: &ValidatedTempo) -> Result<Vec<Problem>, RenderError> {
    config::check(tempo, Process::all(tempo).map(|process| (process, place(tempo, &process))))
}

/// Ingesters first, the query API last, the compactor when nobody waits any more.
const fn start_order(component: Component) -> u8 {
    match component {
        Component::Ingester | Component::Tempo => 0,
        Component::Retriever => 1,
        Component::Distributor => 2,
        Component::Querier => 3,
        Component::QueryFrontend => 4,
        Component::Compactor => 5,
    }
}

fn refuse_duplicates(manifests: &[Manifest]) -> Result<(), RenderError> {
    let mut seen = std::collections::BTreeSet::new();
    match manifests.iter().find(|m| !seen.insert((m.kind.as_str(), m.name.as_str()))) {
        None => Ok(()),
        Some(twice) => Err(RenderError::Duplicate { kind: twice.kind.clone(), name: twice.name.clone() }),
    }
}

/// What a Tempo has once.
fn common(tempo: &ValidatedTempo) -> Result<Vec<Manifest>, RenderError> {
    #[derive(Serialize)]
    struct WithOverrides<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        overrides: String,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Gossip<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        gossip_port: u16,
        gossip_protocol: &'static str,
    }
    let names = Names::new(&tempo.name);
    let flavour = common_flavour(tempo);
    let meta = |component, name| Meta::new(tempo, component, name);
    let mut all = Vec::new();
    all.extend(service_account(tempo)?);
    all.push(typed::render::<ConfigMap>(
        "kubernetes/common/overrides-configmap.yaml",
        &WithOverrides {
            meta: meta("overrides", names.with("overrides")),
            overrides: config::overrides_file(tempo, flavour)?,
        },
    )?);
    all.push(typed::render::<Service>(
        "kubernetes/common/gossip-service.yaml",
        &Gossip {
            meta: meta("gossip", names.with("gossip")),
            gossip_port: ports::GOSSIP,
            gossip_protocol: flavour.gossip_protocol(),
        },
    )?);
    Ok(all)
}

/// The runtime of what all components share. They can only talk to each other when they have the same.
fn common_flavour(tempo: &ValidatedTempo) -> Flavour {
    Process::all(tempo)
        .map(|process| process.flavour)
        .find(|f| *f == Flavour::Upstream)
        .unwrap_or(Flavour::Native)
}

fn service_account(tempo: &ValidatedTempo) -> Result<Option<Manifest>, RenderError> {
    #[derive(Serialize)]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        annotations: std::collections::BTreeMap<String, String>,
    }
    let account = &tempo.service_account;
    if !account.create {
        return Ok(None);
    }
    let mut annotations =
        config::storage::access(&tempo.storage, Flavour::Native, |_| String::new()).annotations;
    annotations.extend(account.annotations.clone());
    let meta = Meta::new(tempo, "service-account", account.name.clone());
    typed::render::<ServiceAccount>("kubernetes/common/serviceaccount.yaml", &Values { meta, annotations })
        .map(Some)
}

/// The objects of one component.
struct ComponentObjects {
    component: Component,
    /// What the pods refer to.
    foundation: Vec<Manifest>,
    workloads: Vec<Manifest>,
}

fn component(tempo: &ValidatedTempo, process: &Process<'_>) -> Result<ComponentObjects, RenderError> {
    let component = process.component;
    let templates = Templates::of(component);
    let names = Names::new(&tempo.name);
    let meta = Meta::new(tempo, component.kubernetes_name(), names.component(component));
    let Rendered { config, access } = config::render(tempo, process, &place(tempo, process))?;
    let config = yaml::to_string(&config);
    let config_hash = fingerprint(&config);
    let pod_ports = ports::pod(tempo, process);
    let service_ports = ports::service(tempo, process);

    let config_meta = meta.named(names.of_component(component, "config"));
    let mut foundation = Vec::new();
    if let Some(policy) = &tempo.network_policy {
        foundation.push(network_policy(tempo, process, &meta, &access, policy)?);
    }
    foundation.extend([
        typed::render::<ConfigMap>(templates.config, &WithConfig { meta: config_meta, config })?,
        typed::render::<Service>(
            templates.service,
            &WithPorts { meta: meta.clone(), ports: &service_ports },
        )?,
    ]);
    if let Some(template) = templates.headless {
        let meta = meta.named(names.of_component(component, "headless"));
        foundation.push(typed::render::<Service>(template, &WithPorts { meta, ports: &service_ports })?);
    }
    if component == Component::QueryFrontend && process.flavour == Flavour::Upstream {
        let meta = meta.named(names.of_component(component, "discovery"));
        let template = "kubernetes/query-frontend/discovery-service.yaml";
        foundation.push(typed::render::<Service>(template, &WithPorts { meta, ports: &service_ports })?);
    }
    if let Some(template) = templates.budget {
        foundation.push(typed::render::<PodDisruptionBudget>(template, &meta)?);
    }
    if let (Some(template), Some(autoscaling)) = (templates.autoscaler, &process.settings.autoscaling) {
        let workload = names.stateful_set(component, None);
        foundation.push(autoscaler::render(template, meta.clone(), &workload, autoscaling)?);
    }

    let configured = Configured { access: &access, config_hash: &config_hash, ports: &pod_ports };
    let workloads = parts(tempo, process)
        .into_iter()
        .map(|part| {
            let values = workload::values(tempo, process, &meta, part, configured);
            let workload = match templates.workload {
                WorkloadTemplate::StatefulSet(template) => typed::render::<StatefulSet>(template, &values),
                WorkloadTemplate::Deployment(template) => typed::render::<Deployment>(template, &values),
            }?;
            pod_check::check(component, &workload)?;
            Ok(workload)
        })
        .collect::<Result<_, RenderError>>()?;
    Ok(ComponentObjects { component, foundation, workloads })
}

#[derive(Serialize)]
struct WithConfig<'a> {
    #[serde(flatten)]
    meta: Meta<'a>,
    config: String,
}

#[derive(Serialize)]
struct WithPorts<'a> {
    #[serde(flatten)]
    meta: Meta<'a>,
    ports: &'a [Port],
}

fn network_policy(
    tempo: &ValidatedTempo,
    process: &Process<'_>,
    meta: &Meta<'_>,
    access: &Access,
    policy: &tempoform_api::NetworkPolicy,
) -> Result<Manifest, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        public_ports: Vec<Port>,
        outward_ports: &'a [u16],
        in_cluster: bool,
        extra_egress: &'a [NetworkPolicyEgressRule],
    }
    typed::render::<NetworkPolicy>(
        "kubernetes/common/networkpolicy.yaml",
        &Values {
            meta: meta.clone(),
            public_ports: ports::public(tempo, process),
            outward_ports: &access.ports,
            in_cluster: access.in_cluster,
            extra_egress: &policy.extra_egress,
        },
    )
}

/// The ingesters of each zone are a StatefulSet of their own, so that a zone can be rolled, and lost, as one.
fn parts<'a>(tempo: &'a ValidatedTempo, process: &Process<'_>) -> Vec<Part<'a>> {
    let zones = &tempo.replication.zones;
    if process.component == Component::Ingester && !zones.is_empty() {
        zones.iter().map(|zone| Part { zone: Some(&zone.name), replicas: zone.ingesters }).collect()
    } else {
        vec![Part { zone: None, replicas: process.settings.replicas }]
    }
}

/// A pod as the place of a process.
fn place(tempo: &ValidatedTempo, process: &Process<'_>) -> Place {
    let names = Names::new(&tempo.name);
    let ports = process.settings.ports;
    let everywhere = |port: Option<u16>| format!("0.0.0.0:{}", port.unwrap_or_default());
    let variable = |name: &str| format!("${{{name}}}");
    let frontend_port = tempo.component(Component::QueryFrontend).map_or(ports.grpc, |s| s.ports.grpc);
    let frontend = match process.component {
        Component::Tempo => "127.0.0.1".to_owned(),
        _ => names.of_component(Component::QueryFrontend, "discovery"),
    };
    let zoned = process.component == Component::Ingester && !tempo.replication.zones.is_empty();
    Place {
        address: None,
        http_port: ports.http.into(),
        grpc_port: ports.grpc.into(),
        gossip_port: ports::GOSSIP.into(),
        otlp_grpc: everywhere(tempo.ingestion.otlp_grpc.as_ref().map(|r| r.port)),
        otlp_http: everywhere(tempo.ingestion.otlp_http.as_ref().map(|r| r.port)),
        cluster_label: names.cluster_label(tempo.namespace.as_deref()),
        node_name: variable(workload::POD_NAME),
        advertise_address: Some(variable(workload::POD_IP)),
        join_members: vec![format!("{}:{}", names.with("gossip"), ports::GOSSIP)],
        gossip_interval: None,
        frontend_address: format!("{frontend}:{frontend_port}"),
        data: "/var/tempo".to_owned(),
        blocks_root: "/var/tempo".to_owned(),
        overrides_path: "/overrides/overrides.yaml".to_owned(),
        zone: zoned.then(|| variable(workload::ZONE)),
        states_memory_limit: false,
    }
}

/// The templates of a component.
struct Templates {
    config: &'static str,
    service: &'static str,
    headless: Option<&'static str>,
    budget: Option<&'static str>,
    /// For components that can be scaled automatically.
    autoscaler: Option<&'static str>,
    workload: WorkloadTemplate,
}

enum WorkloadTemplate {
    StatefulSet(&'static str),
    Deployment(&'static str),
}

macro_rules! stateful_set {
    ($folder:literal) => {
        Templates {
            config: concat!("kubernetes/", $folder, "/configmap.yaml"),
            service: concat!("kubernetes/", $folder, "/service.yaml"),
            headless: Some(concat!("kubernetes/", $folder, "/headless-service.yaml")),
            budget: Some(concat!("kubernetes/", $folder, "/poddisruptionbudget.yaml")),
            autoscaler: None,
            workload: WorkloadTemplate::StatefulSet(concat!("kubernetes/", $folder, "/statefulset.yaml")),
        }
    };
}

macro_rules! deployment {
    ($folder:literal) => {
        Templates {
            config: concat!("kubernetes/", $folder, "/configmap.yaml"),
            service: concat!("kubernetes/", $folder, "/service.yaml"),
            headless: None,
            budget: Some(concat!("kubernetes/", $folder, "/poddisruptionbudget.yaml")),
            autoscaler: Some(concat!("kubernetes/", $folder, "/horizontalpodautoscaler.yaml")),
            workload: WorkloadTemplate::Deployment(concat!("kubernetes/", $folder, "/deployment.yaml")),
        }
    };
}

impl Templates {
    fn of(component: Component) -> Self {
        match component {
            Component::Distributor => deployment!("distributor"),
            Component::Ingester => stateful_set!("ingester"),
            Component::Querier => deployment!("querier"),
            Component::QueryFrontend => deployment!("query-frontend"),
            Component::Retriever => stateful_set!("retriever"),
            // Nobody waits for a compactor, so nothing protects its pods from eviction.
            Component::Compactor => Self { budget: None, autoscaler: None, ..deployment!("compactor") },
            Component::Tempo => stateful_set!("tempo"),
        }
    }
}
