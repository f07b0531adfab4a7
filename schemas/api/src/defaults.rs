//! Every default of a Tempo, in one place.
//!
//! Where the runtime has the same setting, the value is the runtime's, which is mostly Tempo's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::spec::{Backend, ColumnScope, ColumnType, Mode, RateStrategy};
use crate::validated::{
    DedicatedColumn, Entrance, IngestionLimits, PinnedPorts, Query, QueryLimits, TenantLimits,
};
use crate::{Component, Persistence};
use tempoform_document::{ByteSize, GoDuration};

/// Port of the HTTP API, the metrics and the readiness probe.
pub const HTTP_PORT: u16 = 3200;
/// Port of gRPC between the components.
pub const GRPC_PORT: u16 = 9095;
/// Port of OTLP over gRPC.
pub const OTLP_GRPC_PORT: u16 = 4317;
/// Port of OTLP over HTTP.
pub const OTLP_HTTP_PORT: u16 = 4318;

/// Where our images are; the tag is this release's version.
pub const IMAGE_REPOSITORY: &str = "ghcr.io/tempoform/tempo";

pub(crate) const S3_REGION: &str = "us-east-1";
pub(crate) const S3_ACCESS_KEY_ID_KEY: &str = "access_key_id";
pub(crate) const S3_SECRET_ACCESS_KEY_KEY: &str = "access_key_secret";
pub(crate) const S3_AUDIENCE: &str = "sts.amazonaws.com";
pub(crate) const S3_ACCESS_KEY_ID_ENV: &str = "AWS_ACCESS_KEY_ID";
pub(crate) const S3_SECRET_ACCESS_KEY_ENV: &str = "AWS_SECRET_ACCESS_KEY";
pub(crate) const GCS_KEY: &str = "key.json";
pub(crate) const GCS_CREDENTIALS_FILE_ENV: &str = "GOOGLE_APPLICATION_CREDENTIALS";
pub(crate) const AZURE_ENDPOINT_SUFFIX: &str = "blob.core.windows.net";
pub(crate) const AZURE_ACCOUNT_KEY_KEY: &str = "account_key";
pub(crate) const AZURE_ACCOUNT_KEY_ENV: &str = "AZURE_STORAGE_ACCOUNT_KEY";
pub(crate) const CA_KEY: &str = "ca.crt";
pub(crate) const TOPOLOGY_KEY: &str = "topology.kubernetes.io/zone";
pub(crate) const RETENTION: GoDuration = GoDuration::from_hours(336);
pub(crate) const SAMPLING_FRACTION: f64 = 0.1;
pub(crate) const MIN_REPLICAS: u32 = 1;
pub(crate) const TARGET_CPU_UTILIZATION_PERCENTAGE: u32 = 75;
pub(crate) const LISTEN_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The folder of blocks with the local backend: below `/var/tempo` in a pod, below the state directory elsewhere.
pub const BLOCKS_FOLDER: &str = "blocks";

const VOLUME_SIZE: &str = "10Gi";
const CACHE_MEMORY: ByteSize = ByteSize::from_mib(64);

pub(crate) fn image() -> String {
    format!("{IMAGE_REPOSITORY}:{}", env!("CARGO_PKG_VERSION"))
}

pub(crate) fn service_account_name(tempo: &str) -> String {
    format!("tempo-{tempo}")
}

/// What clients ask for, so that all three may be at one host.
pub(crate) const fn ingress_path(entrance: Entrance) -> &'static str {
    match entrance {
        Entrance::Query => "/",
        Entrance::OtlpHttp => "/v1/traces",
        Entrance::OtlpGrpc => "/opentelemetry.proto.collector.trace.v1.TraceService",
    }
}

/// The components that run in a mode.
pub(crate) const fn components(mode: Mode) -> &'static [Component] {
    match mode {
        Mode::SingleBinary => &[Component::Tempo],
        Mode::Distributed => &Component::DISTRIBUTED,
    }
}

pub(crate) const fn replicas(component: Component) -> u32 {
    match component {
        Component::Ingester => 3,
        _ => 1,
    }
}

/// Three copies where three ingesters are there to hold them, else one.
pub(crate) const fn replication_factor(mode: Mode, ingesters: u32) -> u32 {
    match mode {
        Mode::Distributed if ingesters >= 3 => 3,
        _ => 1,
    }
}

/// Enough to start with: requests for a small load, and a memory limit, because it is the ceiling that the
/// process keeps to. CPU has no limit.
pub(crate) fn resources(component: Component) -> ResourceRequirements {
    let (cpu, memory, memory_limit) = match component {
        Component::Distributor => ("200m", "256Mi", "512Mi"),
        Component::Ingester => ("500m", "1Gi", "2Gi"),
        Component::Querier => ("200m", "256Mi", "1Gi"),
        Component::QueryFrontend => ("100m", "128Mi", "512Mi"),
        Component::Retriever => ("200m", "512Mi", "2Gi"),
        Component::Compactor => ("200m", "512Mi", "2Gi"),
        Component::Tempo => ("500m", "512Mi", "2Gi"),
    };
    let quantity = |text: &str| Quantity(text.to_owned());
    ResourceRequirements {
        requests: Some(BTreeMap::from([
            ("cpu".to_owned(), quantity(cpu)),
            ("memory".to_owned(), quantity(memory)),
        ])),
        limits: Some(BTreeMap::from([("memory".to_owned(), quantity(memory_limit))])),
        claims: None,
    }
}

/// Long enough for a component with a write-ahead log to flush.
pub(crate) const fn termination_grace_period_seconds(component: Component) -> i64 {
    if component.has_wal() { 300 } else { 60 }
}

pub(crate) fn persistence() -> Persistence {
    Persistence { size: VOLUME_SIZE.to_owned(), storage_class: None }
}

/// The ports a user needs to know are fixed without a word in the document.
pub(crate) fn pinned_ports(component: Component) -> PinnedPorts {
    PinnedPorts {
        http: component.answers_queries().then_some(HTTP_PORT),
        grpc: (component == Component::Tempo).then_some(GRPC_PORT),
        otlp_grpc: None,
        otlp_http: None,
    }
}

/// A quarter of the memory that the process may use.
pub(crate) fn cache_memory(memory_limit: Option<ByteSize>) -> ByteSize {
    memory_limit.map_or(CACHE_MEMORY, |limit| ByteSize(limit.0 / 4))
}

/// Other stores than Amazon's mostly have no host name per bucket.
pub(crate) fn force_path_style(endpoint_host: Option<&str>) -> bool {
    endpoint_host.is_some_and(|host| !is_amazon(host))
}

pub(crate) fn s3_endpoint(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("s3.{region}.{suffix}")
}

fn is_amazon(host: &str) -> bool {
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

/// The section that a backend reads, for messages.
pub(crate) const fn section(backend: Backend) -> &'static str {
    match backend {
        Backend::Local => "local",
        Backend::S3 => "s3",
        Backend::Gcs => "gcs",
        Backend::Azure => "azure",
    }
}

/// The limits of a tenant. They are Grafana Tempo's own, too.
pub const LIMITS: TenantLimits = TenantLimits {
    ingestion: IngestionLimits {
        rate_strategy: RateStrategy::Local,
        rate_limit_bytes: ByteSize(30_000_000),
        burst_size_bytes: ByteSize(30_000_000),
        max_bytes_per_trace: ByteSize(5_000_000),
        max_traces_per_user: 10_000,
        max_attribute_bytes: 2048,
    },
    query: QueryLimits {
        max_bytes_per_tag_values: ByteSize(1_000_000),
        max_search_duration: GoDuration::ZERO,
    },
};

/// The bounds of the query API. They are Grafana Tempo's own, too.
pub const QUERY: Query = Query {
    max_duration: GoDuration::from_hours(168),
    default_result_limit: 20,
    max_result_limit: 262_144,
    search_timeout: GoDuration::from_secs(30),
    trace_by_id_timeout: GoDuration::from_secs(10),
    max_concurrent_queries: 20,
    concurrent_jobs: 1000,
    target_bytes_per_job: ByteSize::from_mib(100),
    max_outstanding_per_tenant: 2000,
    default_spans_per_span_set: 3,
    max_spans_per_span_set: 100,
    max_expression_bytes: ByteSize(128 << 10),
};

pub(crate) const BLOCK_MAX_DURATION: GoDuration = GoDuration::from_mins(5);
pub(crate) const BLOCK_MAX_BYTES: ByteSize = ByteSize::from_mib(256);

/// What is asked for most on HTTP spans, and has no column in vParquet4 itself.
pub(crate) fn dedicated_columns() -> Vec<DedicatedColumn> {
    ["http.request.method", "url.path", "url.route", "server.address", "http.route"]
        .map(|name| DedicatedColumn {
            scope: ColumnScope::Span,
            name: name.to_owned(),
            kind: ColumnType::String,
        })
        .into()
}

pub(crate) fn dashboard_labels() -> BTreeMap<String, String> {
    BTreeMap::from([("grafana_dashboard".to_owned(), "1".to_owned())])
}
