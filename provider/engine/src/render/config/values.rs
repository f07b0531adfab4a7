//! The values of `config/tempo.yaml`: what the template places, computed.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use tempoform_api::spec::{LogFormat, LogLevel, WalDurability};
use tempoform_api::{
    ByteSize, Component, DEFAULT_QUERY, DedicatedColumn, GoDuration, Ingestion, Query, Receiver,
    ValidatedTempo,
};

use super::files::{self, Mount, ReceiverTls};
use super::limits::{self, LimitsValues};
use super::storage::{self, Access};
use super::{Place, Process};
use crate::render::flavour::Flavour;

/// Largest message between processes of Grafana Tempo. Its default of 16 MiB is less than its HTTP receiver takes.
const MAX_MESSAGE_BYTES: u64 = 32 << 20;
/// Memory that is left to what no account covers: code, stacks, allocator.
const MEMORY_SHARE: (u64, u64) = (8, 10);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigValues<'a> {
    native: bool,
    upstream: bool,
    multitenancy: bool,
    /// Ids of the tenants that are served; empty: any.
    allowed_tenants: BTreeSet<&'a str>,
    memory_limit_bytes: Option<u64>,
    server: Server<'a>,
    memberlist: Memberlist<'a>,
    receivers: Option<Receivers>,
    ring: Option<Ring>,
    ingester: Option<IngesterValues<'a>>,
    querier: Option<QuerierValues<'a>>,
    query_frontend: Option<QueryFrontendValues>,
    retriever: Option<RetrieverValues>,
    compactor: Option<CompactorValues>,
    storage: Option<StorageValues<'a>>,
    overrides: Overrides<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server<'a> {
    address: Option<&'a str>,
    http_port: &'a Value,
    grpc_port: &'a Value,
    log_level: LogLevel,
    log_format: LogFormat,
    /// How long ours may flush before it ends what is left of its connections.
    stop_timeout: Option<GoDuration>,
    max_message_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Memberlist<'a> {
    cluster_label: &'a str,
    node_name: &'a str,
    address: Option<&'a str>,
    advertise_address: Option<&'a str>,
    port: &'a Value,
    join_members: &'a [String],
    gossip_interval: Option<&'a str>,
}

#[derive(Serialize)]
struct Receivers {
    grpc: Option<ReceiverValues>,
    http: Option<ReceiverValues>,
}

#[derive(Serialize)]
struct ReceiverValues {
    endpoint: String,
    tls: Option<ReceiverTls>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ring {
    replication_factor: u32,
    zone_aware: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IngesterValues<'a> {
    max_block_duration: GoDuration,
    max_block_bytes: ByteSize,
    flush_all_on_shutdown: bool,
    durability: WalDurability,
    zone: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QuerierValues<'a> {
    max_concurrent_queries: u32,
    search_timeout: GoDuration,
    trace_by_id_timeout: GoDuration,
    frontend_address: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QueryFrontendValues {
    max_outstanding_per_tenant: u32,
    max_expression_bytes: Option<ByteSize>,
    default_result_limit: u32,
    max_result_limit: u32,
    max_duration: GoDuration,
    concurrent_jobs: u32,
    target_bytes_per_job: ByteSize,
    default_spans_per_span_set: Option<Number>,
    max_spans_per_span_set: Option<Number>,
}

/// A number whose zero is not the same as its absence.
#[derive(Serialize)]
struct Number {
    value: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RetrieverValues {
    cache_bytes: ByteSize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactorValues {
    block_retention: GoDuration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StorageValues<'a> {
    backend: &'static str,
    section: Value,
    wal_path: String,
    /// For those who write blocks.
    block: Option<Block<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    dedicated_columns: &'a [DedicatedColumn],
}

#[derive(Serialize)]
struct Overrides<'a> {
    path: &'a str,
    defaults: LimitsValues,
}

/// The values for a process, and what it needs besides its configuration.
pub(super) fn collect<'a>(
    tempo: &'a ValidatedTempo,
    process: &'a Process<'a>,
    place: &'a Place,
) -> (ConfigValues<'a>, Access) {
    use Component::{Compactor, Distributor, Ingester, Querier, Retriever};
    let Process { component, flavour, settings } = *process;
    let one_of = |wanted: &[Component]| component == Component::Tempo || wanted.contains(&component);
    let native = flavour == Flavour::Native;
    let querying = flavour.query_sections();
    let mut access = access(tempo, process, place);
    let values = ConfigValues {
        native,
        upstream: !native,
        multitenancy: tempo.tenancy.enabled,
        allowed_tenants: allowed_tenants(tempo, component),
        memory_limit_bytes: settings
            .memory_limit
            .filter(|_| place.states_memory_limit)
            .map(|limit| limit.0 / MEMORY_SHARE.1 * MEMORY_SHARE.0),
        server: server(tempo, process, place),
        memberlist: memberlist(place),
        receivers: component.receives_spans().then(|| receivers(&tempo.ingestion, place, &mut access.mounts)),
        ring: one_of(&[Ingester, Distributor, Querier]).then(|| ring(tempo)),
        ingester: one_of(&[Ingester]).then(|| ingester(tempo, place)),
        querier: one_of(querying.queriers).then(|| querier(&tempo.query, place)),
        query_frontend: one_of(querying.frontends).then(|| query_frontend(&tempo.query, flavour)),
        retriever: (one_of(&[Retriever]) && native)
            .then_some(RetrieverValues { cache_bytes: tempo.cache.memory }),
        compactor: one_of(&[Compactor])
            .then_some(CompactorValues { block_retention: tempo.retention.global }),
        storage: flavour.uses_storage(component).then(|| StorageValues {
            backend: storage::backend(&tempo.storage),
            section: access.section.clone(),
            wal_path: format!("{}/wal", place.data),
            block: one_of(&[Ingester, Compactor])
                .then_some(Block { dedicated_columns: &tempo.blocks.dedicated_columns }),
        }),
        overrides: Overrides { path: &place.overrides_path, defaults: limits::defaults(tempo, process) },
    };
    (values, access)
}

/// For those who take requests from outside: a further tenant then restarts nobody else.
fn allowed_tenants(tempo: &ValidatedTempo, component: Component) -> BTreeSet<&str> {
    let asked = component.receives_spans() || component.answers_queries() || component == Component::Querier;
    let tenants = tempo.tenancy.tenants.iter().filter(|_| asked && tempo.tenancy.enabled);
    tenants.map(|tenant| tenant.id.as_str()).collect()
}

fn access(tempo: &ValidatedTempo, process: &Process<'_>, place: &Place) -> Access {
    if process.flavour.uses_storage(process.component) {
        storage::access(&tempo.storage, process.flavour, |path| place.blocks(path))
    } else {
        Access::default()
    }
}

fn server<'a>(tempo: &ValidatedTempo, process: &Process<'_>, place: &'a Place) -> Server<'a> {
    let grace = process.settings.pod_template.termination_grace_period_seconds;
    Server {
        address: place.address.as_deref(),
        http_port: &place.http_port,
        grpc_port: &place.grpc_port,
        log_level: tempo.observability.log_level,
        log_format: tempo.observability.log_format,
        stop_timeout: (process.flavour == Flavour::Native).then(|| stop_timeout(grace)),
        max_message_bytes: MAX_MESSAGE_BYTES,
    }
}

/// The grace period less what closing connections and taking leave of the others may take after the flush.
fn stop_timeout(grace_seconds: i64) -> GoDuration {
    const RESERVE: u64 = 10;
    let grace = u64::try_from(grace_seconds).unwrap_or(0);
    GoDuration::from_secs(grace - RESERVE.min(grace / 4))
}

fn memberlist(place: &Place) -> Memberlist<'_> {
    Memberlist {
        cluster_label: &place.cluster_label,
        node_name: &place.node_name,
        address: place.address.as_deref(),
        advertise_address: place.advertise_address.as_deref(),
        port: &place.gossip_port,
        join_members: &place.join_members,
        gossip_interval: place.gossip_interval,
    }
}

fn ring(tempo: &ValidatedTempo) -> Ring {
    Ring { replication_factor: tempo.replication.factor, zone_aware: !tempo.replication.zones.is_empty() }
}

fn querier<'a>(query: &Query, place: &'a Place) -> QuerierValues<'a> {
    QuerierValues {
        max_concurrent_queries: query.max_concurrent_queries,
        search_timeout: query.search_timeout,
        trace_by_id_timeout: query.trace_by_id_timeout,
        frontend_address: &place.frontend_address,
    }
}

fn receivers(ingestion: &Ingestion, place: &Place, mounts: &mut Vec<Mount>) -> Receivers {
    let mut values = |name: &str, endpoint: &str, receiver: &Receiver| {
        let tls = receiver.tls.as_ref().map(|tls| {
            let (tls, more) = files::receiver(name, tls);
            mounts.extend(more);
            tls
        });
        ReceiverValues { endpoint: endpoint.to_owned(), tls }
    };
    Receivers {
        grpc: ingestion.otlp_grpc.as_ref().map(|receiver| values("otlp-grpc", &place.otlp_grpc, receiver)),
        http: ingestion.otlp_http.as_ref().map(|receiver| values("otlp-http", &place.otlp_http, receiver)),
    }
}

fn ingester<'a>(tempo: &'a ValidatedTempo, place: &'a Place) -> IngesterValues<'a> {
    IngesterValues {
        max_block_duration: tempo.blocks.max_duration,
        max_block_bytes: tempo.blocks.max_bytes,
        flush_all_on_shutdown: true,
        durability: tempo.wal.durability,
        zone: place.zone.as_deref(),
    }
}

/// Keys that came late in Tempo 2 are left out where they say no more than its default.
fn query_frontend(query: &Query, flavour: Flavour) -> QueryFrontendValues {
    let needed = |differs: bool| flavour == Flavour::Native || differs;
    let number = |value: u32, default: u32| needed(value != default).then_some(Number { value });
    QueryFrontendValues {
        max_outstanding_per_tenant: query.max_outstanding_per_tenant,
        max_expression_bytes: Some(query.max_expression_bytes)
            .filter(|bytes| needed(*bytes != DEFAULT_QUERY.max_expression_bytes)),
        default_result_limit: query.default_result_limit,
        max_result_limit: query.max_result_limit,
        max_duration: query.max_duration,
        concurrent_jobs: query.concurrent_jobs,
        target_bytes_per_job: query.target_bytes_per_job,
        default_spans_per_span_set: number(
            query.default_spans_per_span_set,
            DEFAULT_QUERY.default_spans_per_span_set,
        ),
        max_spans_per_span_set: number(query.max_spans_per_span_set, DEFAULT_QUERY.max_spans_per_span_set),
    }
}
