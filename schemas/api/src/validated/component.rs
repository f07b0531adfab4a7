//! Settings that every component has.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, PodSecurityContext, ResourceRequirements, Toleration,
    TopologySpreadConstraint,
};
use serde::Serialize;

use crate::Component;
use crate::spec::RawFragment;
use tempoform_document::ByteSize;

/// One component: how many instances run, where, and with what.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSettings {
    /// Which component.
    pub component: Component,
    /// Instances; 0 switches it off. On Kubernetes [`Self::autoscaling`] goes before it.
    pub replicas: u32,
    /// Who decides about the number of instances on Kubernetes; `None`: the document.
    pub autoscaling: Option<Autoscaling>,
    /// Its image.
    pub image: Image,
    /// CPU and memory, as given or by default.
    pub resources: ResourceRequirements,
    /// The memory limit among them, rounded down to bytes: the ceiling that the process keeps to.
    /// `None` when the document gives resources without one.
    pub memory_limit: Option<ByteSize>,
    /// Where pods run.
    pub scheduling: Scheduling,
    /// Environment variables beside ours.
    pub extra_env: Vec<EnvVar>,
    /// Sources of environment variables.
    pub env_from: Vec<EnvFromSource>,
    /// Command-line arguments after ours.
    pub extra_args: Vec<String>,
    /// What is added to the pods.
    pub pod_template: PodTemplate,
    /// Ports in the pod.
    pub ports: Ports,
    /// Address and pinned ports on this machine.
    pub local: LocalListen,
    /// The volume of a component with a write-ahead log; there exactly if [`Component::has_wal`].
    pub persistence: Option<Persistence>,
}

/// Between which numbers of instances an autoscaler chooses, and by what.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// The fewest, at least 1.
    pub min_replicas: u32,
    /// The most, at least as many.
    pub max_replicas: u32,
    /// The use of CPU that is aimed at, in percent of what is requested; above 0.
    pub target_cpu_utilization_percentage: u32,
    /// The same for memory; `None`: it is not looked at.
    pub target_memory_utilization_percentage: Option<u32>,
    /// How fast instances are added and removed; `None`: Kubernetes' own way.
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// A container image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Image(pub(crate) String);

impl Image {
    /// The whole reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reference without tag and digest: `docker.io/grafana/tempo`.
    pub fn repository(&self) -> &str {
        let name = self.0.split_once('@').map_or(self.as_str(), |(name, _)| name);
        match name.rsplit_once(':') {
            // A colon before a slash belongs to the registry's port.
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => name,
        }
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        let name = self.0.split_once('@').map_or(self.as_str(), |(name, _)| name);
        name.strip_prefix(self.repository())?.strip_prefix(':')
    }

    /// Whether this is Grafana Tempo itself, which must get a configuration that is valid for it.
    pub fn is_grafana_tempo(&self) -> bool {
        let repository = self.repository();
        repository == "grafana/tempo" || repository.ends_with("/grafana/tempo")
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where pods run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Labels a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    pub tolerations: Vec<Toleration>,
    /// Preferences and requirements; `None`: the renderer spreads pods over nodes, preferred.
    pub affinity: Option<Affinity>,
    /// How pods are spread.
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// The priority class.
    pub priority_class_name: Option<String>,
}

/// What is added to the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels beside ours.
    pub labels: BTreeMap<String, String>,
    /// Annotations beside ours.
    pub annotations: BTreeMap<String, String>,
    /// The pod's security context, in place of ours.
    pub security_context: Option<PodSecurityContext>,
    /// How long a pod may take to stop, in seconds.
    pub termination_grace_period_seconds: i64,
    /// Containers that run before ours.
    pub init_containers: Vec<RawFragment>,
    /// Containers that run beside ours.
    pub sidecars: Vec<RawFragment>,
    /// Volumes beside ours.
    pub volumes: Vec<RawFragment>,
    /// Where our container mounts those volumes.
    pub volume_mounts: Vec<RawFragment>,
}

/// Ports of the component in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    /// API, metrics, readiness: 3200.
    pub http: u16,
    /// gRPC between the components: 9095.
    pub grpc: u16,
    /// OTLP over gRPC, if the component receives it.
    pub otlp_grpc: Option<u16>,
    /// OTLP over HTTP, if the component receives it.
    pub otlp_http: Option<u16>,
}

/// Where the component listens on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalListen {
    /// The address.
    pub address: IpAddr,
    /// Ports of the first instance that are fixed. All others are chosen by the local target.
    pub ports: PinnedPorts,
}

/// Ports that are fixed; `None` lets the local target choose a free one.
///
/// Pinned without a word in the document: all ports of the single binary, the OTLP ports of the distributor, and
/// the HTTP port of the query frontend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedPorts {
    /// API, metrics, readiness.
    pub http: Option<u16>,
    /// gRPC between the components.
    pub grpc: Option<u16>,
    /// OTLP over gRPC; always `None` where it is not received.
    pub otlp_grpc: Option<u16>,
    /// OTLP over HTTP; always `None` where it is not received.
    pub otlp_http: Option<u16>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Persistence {
    /// Its size, as a Kubernetes quantity: `10Gi`.
    pub size: String,
    /// Its storage class; `None`: the cluster's.
    pub storage_class: Option<String>,
}
