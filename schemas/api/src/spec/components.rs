//! The blocks of the components: replicas, image, resources, scheduling, and what is special to each.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, PodSecurityContext, ResourceRequirements, Toleration,
    TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::autoscaling::AutoscalingSpec;
use super::tls::ServerTlsSpec;

/// A piece of a Kubernetes manifest that is passed on as it is.
pub type RawFragment = Map<String, Value>;

/// Ports on which the local target lets the component's first instance listen.
///
/// On Kubernetes ports are always 3200, 9095 and those of `spec.ingestion`. A port that is not pinned, and
/// every port of further instances, is chosen by the local target among the free ones and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PortsSpec {
    /// HTTP: API, metrics, readiness.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub http: Option<u16>,
    /// gRPC between the components.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub grpc: Option<u16>,
    /// OTLP over gRPC (distributor and single binary).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub otlp_grpc: Option<u16>,
    /// OTLP over HTTP (distributor and single binary).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub otlp_http: Option<u16>,
}

/// What is added to the pods, as in a pod template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PodTemplateSpec {
    /// Labels beside ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations beside ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The pod's security context, in place of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurityContext>,
    /// How long a pod, or a process of this machine, may take to flush and stop, in seconds.
    /// Default: by component, 300 for those with a write-ahead log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub termination_grace_period_seconds: Option<i64>,
    /// Containers that run before ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::crd::fragments::named_objects")]
    pub init_containers: Vec<RawFragment>,
    /// Containers that run beside ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::crd::fragments::named_objects")]
    pub sidecars: Vec<RawFragment>,
    /// Volumes beside ours.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::crd::fragments::named_objects")]
    pub volumes: Vec<RawFragment>,
    /// Where our container mounts those volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::crd::fragments::named_objects")]
    pub volume_mounts: Vec<RawFragment>,
}

/// The volume of a component that keeps a write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PersistenceSpec {
    /// The volume's size. Default: `10Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Its storage class. Default: the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
}

/// Declares the block of a component: the fields all have, and the given ones. A macro, because
/// `#[serde(flatten)]` and `deny_unknown_fields` exclude each other.
macro_rules! component_block {
    ($(#[$doc:meta])* pub struct $name:ident { $($own:tt)* }) => {
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
        $(#[$doc])*
        pub struct $name {
            /// How many instances run. Defaults: ingester 3, all others 1.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schemars(range(min = 0, max = 1000))]
            pub replicas: Option<u32>,
            /// The image, if not `spec.image`. All components run either ours or Grafana Tempo's.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub image: Option<String>,
            /// CPU and memory. The memory limit is the ceiling the process keeps to, on this machine too.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub resources: Option<ResourceRequirements>,
            /// Labels a node must have.
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pub node_selector: BTreeMap<String, String>,
            /// Taints of nodes that the pods tolerate.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub tolerations: Vec<Toleration>,
            /// Where pods are preferred or required to run. Default: spread over nodes, preferred.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub affinity: Option<Affinity>,
            /// How pods are spread, beside what `spec.replication.zones` asks for.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
            /// The pods' priority class.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub priority_class_name: Option<String>,
            /// Environment variables beside ours.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub extra_env: Vec<EnvVar>,
            /// Sources of environment variables.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub env_from: Vec<EnvFromSource>,
            /// Command-line arguments after ours, for images of Grafana Tempo. Our own runtime takes none: its settings go into `spec.config`.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub extra_args: Vec<String>,
            /// What is added to the pods.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub pod_template: Option<PodTemplateSpec>,
            /// Ports on this machine (local target).
            #[serde(skip_serializing_if = "Option::is_none")]
            pub ports: Option<PortsSpec>,
            /// Address on this machine (local target), if not `spec.local.listenAddress`.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub listen_address: Option<String>,
            $($own)*
        }

        impl $name {
            /// The fields that every component has, by reference.
            pub(crate) fn common(&self) -> CommonSpec<'_> {
                CommonSpec {
                    replicas: self.replicas,
                    image: self.image.as_deref(),
                    resources: self.resources.as_ref(),
                    node_selector: &self.node_selector,
                    tolerations: &self.tolerations,
                    affinity: self.affinity.as_ref(),
                    topology_spread_constraints: &self.topology_spread_constraints,
                    priority_class_name: self.priority_class_name.as_deref(),
                    extra_env: &self.extra_env,
                    env_from: &self.env_from,
                    extra_args: &self.extra_args,
                    pod_template: self.pod_template.as_ref(),
                    ports: self.ports,
                    listen_address: self.listen_address.as_deref(),
                }
            }
        }
    };
}

component_block! {
    /// A component without settings of its own.
    #[schemars(extend("x-kubernetes-validations" = crate::crd::rules::not_scalable()))]
    pub struct ComponentSpec {
        /// Refused: only the distributor, the querier and the query frontend can be scaled automatically.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "crate::crd::fragments::free_form_object")]
        pub autoscaling: Option<RawFragment>,
    }
}

component_block! {
    /// A component without settings of its own whose instances keep nothing, so that their number may change at any time.
    #[schemars(extend("x-kubernetes-validations" = crate::crd::rules::scalable()))]
    pub struct ScalableSpec {
        /// Between how many instances an autoscaler chooses (Kubernetes), in place of `replicas`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub autoscaling: Option<AutoscalingSpec>,
    }
}

component_block! {
    /// The distributor.
    #[schemars(extend("x-kubernetes-validations" = crate::crd::rules::scalable()))]
    pub struct DistributorSpec {
        /// Between how many instances an autoscaler chooses (Kubernetes), in place of `replicas`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub autoscaling: Option<AutoscalingSpec>,
        /// Certificate of the receivers that do not name their own in `spec.ingestion`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tls: Option<ServerTlsSpec>,
    }
}

component_block! {
    /// The ingester.
    #[schemars(extend("x-kubernetes-validations" = crate::crd::rules::not_scalable()))]
    pub struct IngesterSpec {
        /// Refused: only the distributor, the querier and the query frontend can be scaled automatically.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "crate::crd::fragments::free_form_object")]
        pub autoscaling: Option<RawFragment>,
        /// The volume with the write-ahead log.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub persistence: Option<PersistenceSpec>,
    }
}

component_block! {
    /// The single binary.
    #[schemars(extend("x-kubernetes-validations" = crate::crd::rules::not_scalable()))]
    pub struct SingleBinarySpec {
        /// Refused: only the distributor, the querier and the query frontend can be scaled automatically.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "crate::crd::fragments::free_form_object")]
        pub autoscaling: Option<RawFragment>,
        /// The volume with the write-ahead log and, with the local backend, the blocks.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub persistence: Option<PersistenceSpec>,
        /// Certificate of the receivers that do not name their own in `spec.ingestion`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tls: Option<ServerTlsSpec>,
    }
}

/// The fields that every component block has, borrowed from one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommonSpec<'a> {
    pub(crate) replicas: Option<u32>,
    pub(crate) image: Option<&'a str>,
    pub(crate) resources: Option<&'a ResourceRequirements>,
    pub(crate) node_selector: &'a BTreeMap<String, String>,
    pub(crate) tolerations: &'a [Toleration],
    pub(crate) affinity: Option<&'a Affinity>,
    pub(crate) topology_spread_constraints: &'a [TopologySpreadConstraint],
    pub(crate) priority_class_name: Option<&'a str>,
    pub(crate) extra_env: &'a [EnvVar],
    pub(crate) env_from: &'a [EnvFromSource],
    pub(crate) extra_args: &'a [String],
    pub(crate) pod_template: Option<&'a PodTemplateSpec>,
    pub(crate) ports: Option<PortsSpec>,
    pub(crate) listen_address: Option<&'a str>,
}
