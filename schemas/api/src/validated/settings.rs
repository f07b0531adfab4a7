//! Settings of the Tempo as a whole.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Serialize;

use super::tls::ServerTls;
use crate::spec::{ColumnScope, ColumnType, LogFormat, LogLevel, RateStrategy, WalDurability};
use tempoform_document::{ByteSize, GoDuration};

/// The service account under which the pods run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccount {
    /// Its name.
    pub name: String,
    /// Whether it is created with the Tempo.
    pub create: bool,
    /// Annotations beside those that workload identity needs.
    pub annotations: BTreeMap<String, String>,
}

/// By which protocols spans come in; `None` where one is switched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingestion {
    /// OTLP over gRPC.
    pub otlp_grpc: Option<Receiver>,
    /// OTLP over HTTP.
    pub otlp_http: Option<Receiver>,
}

/// A receiver that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receiver {
    /// Its port in the pod.
    pub port: u16,
    /// Its certificate; `None`: plain text.
    pub tls: Option<ServerTls>,
}

/// How much may come in and be asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// For every tenant without an entry.
    pub global: TenantLimits,
    /// By tenant *id*, complete: what the entry left out is filled in from `global`.
    pub per_tenant: BTreeMap<String, TenantLimits>,
}

/// All limits of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantLimits {
    /// On what comes in.
    pub ingestion: IngestionLimits,
    /// On what is asked for.
    pub query: QueryLimits,
}

/// Limits on what a tenant sends; 0 means none where the field says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestionLimits {
    /// Whether the rate is for each distributor or for all together.
    pub rate_strategy: RateStrategy,
    /// Bytes per second, in the long run.
    pub rate_limit_bytes: ByteSize,
    /// Bytes at once.
    pub burst_size_bytes: ByteSize,
    /// Size of one trace; 0: no limit.
    pub max_bytes_per_trace: ByteSize,
    /// Live traces in one ingester; 0: no limit.
    pub max_traces_per_user: u32,
    /// Size of one attribute's value; 0: no limit.
    pub max_attribute_bytes: u32,
}

/// Limits on what a tenant asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryLimits {
    /// Size of the answer to a tag-values query.
    pub max_bytes_per_tag_values: ByteSize,
    /// The longest time range of a search; 0: what `query.max_duration` says.
    pub max_search_duration: GoDuration,
}

/// How long traces are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// For every tenant without an entry.
    pub global: GoDuration,
    /// By tenant *id*.
    pub per_tenant: BTreeMap<String, GoDuration>,
}

/// Whether there are tenants, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenancy {
    /// Whether every request must name its tenant.
    pub enabled: bool,
    /// The tenants that are served; empty: any.
    pub tenants: Vec<Tenant>,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// The document's name for it.
    pub name: String,
    /// What requests carry, and the folder in the bucket.
    pub id: String,
}

/// Copies and zones of recent traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    /// Copies of a recent trace; 1 in a single binary.
    pub factor: u32,
    /// Zones over which ingesters are spread; empty: not by zone.
    pub zones: Vec<Zone>,
    /// The node label that holds the zone.
    pub topology_key: String,
}

impl Replication {
    /// How many ingesters must have a write before it is acknowledged: a majority of the copies.
    pub const fn write_quorum(&self) -> u32 {
        self.factor / 2 + 1
    }
}

/// A zone and its share of the ingesters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Its name: a value of the node label.
    pub name: String,
    /// Ingesters in it. Over all zones they add up to the ingester's replicas and differ by one at most.
    pub ingesters: u32,
}

/// What an acknowledged write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wal {
    /// What has happened to spans when their sender gets the answer.
    pub durability: WalDurability,
}

/// What each retriever keeps at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// In memory.
    pub memory: ByteSize,
}

/// Bounds of the query API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// The longest time range of a search; 0: no limit.
    pub max_duration: GoDuration,
    /// Results of a search that does not say how many.
    pub default_result_limit: u32,
    /// Results a search may ask for; 0: no limit.
    pub max_result_limit: u32,
    /// How long a search may take.
    pub search_timeout: GoDuration,
    /// How long finding a trace by its id may take.
    pub trace_by_id_timeout: GoDuration,
    /// Queries that one querier works on at a time.
    pub max_concurrent_queries: u32,
    /// Jobs of one search that run at a time.
    pub concurrent_jobs: u32,
    /// How much data one job looks at.
    pub target_bytes_per_job: ByteSize,
    /// Requests of one tenant that may wait.
    pub max_outstanding_per_tenant: u32,
    /// Spans shown of each result of a search that does not say how many.
    pub default_spans_per_span_set: u32,
    /// Spans of each result a search may ask for; 0: no limit.
    pub max_spans_per_span_set: u32,
    /// Length of a query's text.
    pub max_expression_bytes: ByteSize,
}

/// When blocks are cut, and their columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocks {
    /// The longest time for which traces are collected into one block.
    pub max_duration: GoDuration,
    /// The size at which a block is cut before that.
    pub max_bytes: ByteSize,
    /// Attributes with columns of their own, in the document's order, which is the columns' order.
    pub dedicated_columns: Vec<DedicatedColumn>,
}

/// An attribute with a column of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DedicatedColumn {
    /// Where it stands.
    pub scope: ColumnScope,
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// Monitoring of the Tempo itself; `None` where something is not wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observability {
    /// Service monitors.
    pub service_monitors: Option<Monitoring>,
    /// Labels of the Prometheus rules.
    pub rules: Option<BTreeMap<String, String>>,
    /// Labels of the dashboards.
    pub dashboards: Option<BTreeMap<String, String>>,
    /// The data source.
    pub grafana_datasource: Option<Datasource>,
    /// Traces of the Tempo's own work.
    pub self_tracing: Option<SelfTracing>,
    /// The least important log lines that are written.
    pub log_level: LogLevel,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// The data source for Grafana.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Datasource {
    /// Which Grafana instances get it.
    pub instance_selector: LabelSelector,
    /// Whether instances of other namespaces may.
    pub allow_cross_namespace_import: bool,
}

/// The network policies.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Where the pods may connect to beside what the Tempo itself needs.
    pub extra_egress: Vec<NetworkPolicyEgressRule>,
}

/// Service monitors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Labels by which Prometheus finds them.
    pub labels: BTreeMap<String, String>,
    /// Time between two scrapes; `None`: Prometheus' own.
    pub interval: Option<GoDuration>,
}

/// Traces of the Tempo's own work.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SelfTracing {
    /// OTLP/HTTP endpoint that takes them, a URL.
    pub endpoint: String,
    /// The share of traces that is kept, from 0 to 1.
    pub sampling_fraction: f64,
}

/// Settings for this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Local {
    /// Folder for everything, as written; `None`: the platform's place for state, by the Tempo's name.
    pub state_directory: Option<String>,
    /// Address on which components listen that do not name their own.
    pub listen_address: IpAddr,
}
