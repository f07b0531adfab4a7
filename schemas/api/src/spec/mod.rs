//! The `Tempo` custom resource as it is written: every optional field optional, nothing resolved.
//!
//! Only [`validate`](crate::validate) reads these types; everything downstream works from
//! [`ValidatedTempo`](crate::ValidatedTempo).

mod autoscaling;
mod blocks;
mod components;
mod exposure;
mod ingestion;
mod limits;
mod local;
mod network_policy;
mod observability;
mod query;
mod replication;
mod storage;
mod tenancy;
mod tls;

pub use autoscaling::AutoscalingSpec;
pub use blocks::{BlocksSpec, CacheSpec, ColumnScope, ColumnType, DedicatedColumnSpec};
pub(crate) use components::CommonSpec;
pub use components::{
    ComponentSpec, DistributorSpec, IngesterSpec, PersistenceSpec, PodTemplateSpec, PortsSpec, RawFragment,
    ScalableSpec, SingleBinarySpec,
};
pub use exposure::{
    GatewayApiSpec, GatewayRouteSpec, IngressRouteSpec, IngressSpec, IngressTlsSpec, ParentRefSpec,
};
pub use ingestion::{IngestionSpec, OtlpSpec, ReceiverSpec};
pub use limits::{
    IngestionLimitsSpec, LimitsSpec, QueryLimitsSpec, RateStrategy, RetentionSpec, TenantLimitsSpec,
};
pub use local::LocalSpec;
pub use network_policy::NetworkPolicySpec;
pub use observability::{
    DashboardsSpec, DatasourceSpec, LogFormat, LogLevel, ObservabilitySpec, PrometheusObjectSpec,
    SelfTracingSpec, ServiceMonitorsSpec,
};
pub use query::QuerySpec;
pub use replication::{ReplicationSpec, WalDurability, WalSpec};
pub use storage::{
    AzureCredentialsSpec, AzureEnv, AzureSecretRef, AzureSpec, AzureWorkloadIdentity, Backend,
    GcsCredentialsSpec, GcsEnv, GcsSecretRef, GcsSpec, GcsWorkloadIdentity, LocalStorageSpec,
    S3CredentialsSpec, S3Env, S3SecretRef, S3Spec, S3WorkloadIdentity, StorageSpec, TraceStorageSpec,
};
pub use tenancy::{TenancySpec, TenantSpec};
pub use tls::{CaBundleRef, ClientTlsSpec, KeyRef, ServerTlsSpec, TlsVersion};

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::LocalObjectReference;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::status::TempoStatus;

/// How the components are spread over processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// One process runs every component.
    SingleBinary,
    /// Each component is a process of its own, with its own replicas.
    Distributed,
}

/// What becomes of traces and volumes when the Tempo is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeletionPolicy {
    /// Blocks, volumes and write-ahead logs stay where they are.
    #[default]
    Retain,
    /// Volumes and write-ahead logs go with the Tempo, and with the local backend its blocks. A bucket, or a folder outside the local state directory, is never deleted.
    Delete,
}

/// When the image is pulled; the values are Kubernetes' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// Only when the node does not have it.
    #[default]
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

/// The service account under which the pods run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServiceAccountSpec {
    /// Its name. Default: `tempo-<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is created with the Tempo; false needs a `name`. Default: true, or false when `name` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
    /// Annotations of the created account, besides those that workload identity needs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A Tempo: a tracing backend, its storage, its components and its limits.
#[expect(clippy::duplicated_attributes, reason = "two columns may be of one type")]
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tempoform.io",
    version = "v1alpha1",
    kind = "Tempo",
    plural = "tempos",
    singular = "tempo",
    shortname = "tf",
    category = "all",
    category = "observability",
    namespaced,
    status = "TempoStatus",
    derive = "PartialEq",
    doc = "A Grafana-Tempo-compatible tracing backend: its storage, its components and its limits.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Backend", type_ = "string", json_path = ".spec.storage.trace.backend"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether the Tempo serves: spans are taken in and read back."
    ),
    printcolumn(
        name = "Replicas",
        type_ = "string",
        json_path = ".status.replicasSummary",
        description = "Ready instances of all components, of those desired."
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::crd::rules::spec()))]
pub struct TempoSpec {
    /// How the components are spread over processes.
    pub mode: Mode,
    /// Where traces are kept.
    pub storage: StorageSpec,

    /// The image of every component that does not name its own. An upstream `grafana/tempo` 2.x image is
    /// recognised and gets a configuration that is valid for it. Default: the image of this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When images are pulled. Default: `IfNotPresent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with the credentials of the image registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The service account under which the pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountSpec>,

    /// The whole Tempo in one process. Only with `mode: singleBinary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tempo: Option<SingleBinarySpec>,
    /// Receives spans. Only with `mode: distributed`, like all component blocks below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distributor: Option<DistributorSpec>,
    /// Holds recent traces and builds blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingester: Option<IngesterSpec>,
    /// Evaluates queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub querier: Option<ScalableSpec>,
    /// Answers the query API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_frontend: Option<ScalableSpec>,
    /// Reads object storage for queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retriever: Option<ComponentSpec>,
    /// Keeps the list of blocks in the bucket up to date, and applies retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compactor: Option<ComponentSpec>,

    /// By which protocols spans come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingestion: Option<IngestionSpec>,
    /// How much may come in and be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsSpec>,
    /// How long traces are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,
    /// Whether there are tenants, and which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenancy: Option<TenancySpec>,
    /// In how many ingesters a recent trace is held, and over which zones they are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<ReplicationSpec>,
    /// What an acknowledged write means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<WalSpec>,
    /// What the retriever keeps at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// Bounds of the query API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<QuerySpec>,
    /// When blocks are cut, and which attributes get columns of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlocksSpec>,
    /// Monitoring of the Tempo itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<ObservabilitySpec>,

    /// Which traffic to and from the pods is allowed (Kubernetes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,
    /// Ways in from outside of the cluster, by an Ingress controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
    /// Ways in from outside of the cluster, by a gateway of the Gateway API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_api: Option<GatewayApiSpec>,

    /// Runtime configuration that is merged, deeply, over the rendered one: maps are joined, everything else is replaced. Checked against the runtime's own schema. Keys that other fields of the document decide about, and secrets in clear, are refused.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "crate::crd::fragments::free_form_object")]
    pub config: Map<String, Value>,
    /// What becomes of the data when the Tempo is removed. Default: `retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Settings for running on this machine, without a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalSpec>,
}
