//! The configuration file's sections as the components' options.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tempoform_block::{BlockVersion, DedicatedColumn, DiskCacheOptions, StoreOptions};
use tempoform_config::{CompactionLimits, Config, DiskCache, Durability, RateStrategy, Target};
use tempoform_core::{MemoryBudget, TenantId};
use tempoform_querier::{ApiOptions, BuildInfo, FrontendOptions, QuerierOptions, QueryLimits, QueryTimeouts};
use tempoform_retriever::RetrieverOptions;

use crate::overrides::TenantLimits;
use crate::peers::Peers;

/// A tenant index older than this is not trusted; the bucket is listed instead.
const MAX_INDEX_AGE: Duration = Duration::from_secs(600);

/// `distributors` tells how many share a limit that holds for all together.
pub(crate) fn distributor(
    config: &Config,
    limits: &Arc<TenantLimits>,
    distributors: Arc<dyn Fn() -> u64 + Send + Sync>,
) -> tempoform_distributor::Options {
    let limits = Arc::clone(limits);
    let max_attribute_bytes = config.distributor.max_attribute_bytes;
    let http = config.distributor.receivers.otlp.as_ref().and_then(|otlp| otlp.protocols.http.as_ref());
    tempoform_distributor::Options {
        multi_tenant: config.multitenancy_enabled,
        tenants: tenants(config),
        limits: Arc::new(move |tenant| {
            limits.of(tenant, |limits| {
                let own = limits.ingestion.max_attribute_bytes;
                let shared_by = match limits.ingestion.rate_strategy {
                    RateStrategy::Local => 1,
                    RateStrategy::Global => distributors(),
                };
                tempoform_distributor::TenantLimits {
                    rate_limit_bytes: limits.ingestion.rate_limit_bytes.0 / shared_by,
                    burst_size_bytes: limits.ingestion.burst_size_bytes.0,
                    max_attribute_bytes: (if own > 0 { own } else { max_attribute_bytes }) as usize,
                    retry_info: limits.ingestion.retry_info_enabled,
                    max_trace_bytes: limits.global.max_bytes_per_trace.0,
                    max_live_traces: limits.ingestion.max_traces_per_user,
                }
            })
        }),
        push_timeout: config.ingester_client.remote_timeout.0,
        retry_after: config.distributor.retry_after_on_resource_exhausted.0,
        max_request_bytes: http
            .map_or(16 << 20, |http| usize::try_from(http.max_request_body_size.0).unwrap_or(usize::MAX)),
        max_inflight_bytes: config.distributor.max_inflight_bytes.0,
    }
}

pub(crate) fn ingester(
    config: &Config,
    limits: &Arc<TenantLimits>,
    peers: &Peers,
) -> tempoform_ingester::Options {
    let (settings, trace) = (&config.ingester, &config.storage.trace);
    let replication_factor = settings.lifecycler.ring.replication_factor;
    let (of_columns, of_traces, of_bytes) = (Arc::clone(limits), Arc::clone(limits), Arc::clone(limits));
    let columns = dedicated_columns(&trace.block.parquet_dedicated_columns);
    tempoform_ingester::Options {
        wal_path: trace.wal.path.clone().into(),
        durability: match settings.durability {
            Durability::Sync => tempoform_ingester::Durability::Sync,
            Durability::Async => {
                tempoform_ingester::Durability::Async { sync_period: settings.async_sync_period.0 }
            }
        },
        trace_idle_period: settings.trace_idle_period.0,
        max_block_bytes: settings.max_block_bytes.0,
        max_block_duration: settings.max_block_duration.0,
        flush_check_period: settings.flush_check_period.0,
        concurrent_flushes: settings.concurrent_flushes as usize,
        flush_timeout: settings.flush_op_timeout.0,
        // Readers may trust a tenant index of `MAX_INDEX_AGE`, as they found it two polls ago.
        fresh_for: settings.complete_block_timeout.0.max(MAX_INDEX_AGE + trace.blocklist_poll.0 * 2),
        meta_replication_factor: if replication_factor == 1 { 1 } else { 0 },
        dedicated_columns: Arc::new(move |tenant: &TenantId| {
            of_columns.of(tenant, |limits| match &limits.storage.parquet_dedicated_columns[..] {
                [] => columns.clone(),
                own => dedicated_columns(own),
            })
        }),
        bloom_false_positive: trace.block.bloom_filter_false_positive,
        bloom_shard_size_bytes: u32::try_from(trace.block.bloom_filter_shard_size_bytes.0)
            .unwrap_or(u32::MAX),
        row_group_bytes: trace.block.parquet_row_group_size_bytes.0,
        max_trace_bytes: Arc::new(move |tenant: &TenantId| {
            of_bytes.of(tenant, |limits| limits.global.max_bytes_per_trace.0)
        }),
        uploaded: Some(peers.announcer()),
        others: peers.other_ingesters(),
        take_over_after: settings.take_over_after.0,
        max_live_traces: Arc::new(move |tenant: &TenantId| {
            of_traces.of(tenant, |limits| limits.ingestion.max_traces_per_user)
        }),
    }
}

fn dedicated_columns(configured: &[tempoform_config::DedicatedColumn]) -> Vec<DedicatedColumn> {
    let columns: Vec<DedicatedColumn> = configured.iter().map(DedicatedColumn::from).collect();
    tempoform_block::dedicated::filter_for_version(&BlockVersion::VParquet4, &columns)
}

pub(crate) fn compactor(
    config: &Config,
    limits: &Arc<TenantLimits>,
    memory: &MemoryBudget,
    owns: Arc<dyn Fn(&str) -> bool + Send + Sync>,
) -> tempoform_compactor::Options {
    let (settings, block) = (&config.compactor.compaction, &config.storage.trace.block);
    let (limits, of_windows) = (Arc::clone(limits), Arc::clone(limits));
    let (retention, window) = (settings.block_retention.0, settings.compaction_window.0);
    tempoform_compactor::Options {
        cycle: settings.compaction_cycle.0,
        retention: Arc::new(move |tenant| {
            let own = limits.of(tenant, |limits| limits.compaction.block_retention.0);
            if own.is_zero() { retention } else { own }
        }),
        compacted_retention: settings.compacted_block_retention.0,
        retention_concurrency: settings.retention_concurrency as usize,
        window: Arc::new(move |tenant| {
            of_windows.of(tenant, |limits| match limits.compaction {
                CompactionLimits { compaction_disabled: true, .. } => Duration::ZERO,
                CompactionLimits { compaction_window, .. } if compaction_window.is_zero() => window,
                CompactionLimits { compaction_window, .. } => compaction_window.0,
            })
        }),
        max_block_bytes: settings.max_block_bytes.0,
        max_traces: settings.max_compaction_objects,
        max_time_per_tenant: settings.max_time_per_tenant.0,
        concurrent_merges: match settings.concurrent_merges {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            merges => merges as usize,
        },
        unfinished_upload_age: settings.unfinished_upload_age.0,
        owns,
        memory: memory.clone(),
        row_group_bytes: block.parquet_row_group_size_bytes.0,
        bloom_false_positive: block.bloom_filter_false_positive,
        bloom_shard_size_bytes: u32::try_from(block.bloom_filter_shard_size_bytes.0).unwrap_or(u32::MAX),
        max_sidecar_bytes: tempoform_block::extra::MAX_BYTES,
        concurrency: config.storage.trace.blocklist_poll_concurrency as usize,
    }
}

/// The cache is reserved of the process's memory here. Only queries read things again.
pub(crate) fn store(config: &Config, memory: &MemoryBudget) -> StoreOptions {
    let settings = &config.retriever;
    let most = match config.target {
        Target::All => memory.limit() / 4,
        Target::Retriever => memory.limit() / 2,
        _ => 0,
    };
    let wanted = if config.target.runs(Target::Retriever) { settings.cache_bytes.0 } else { 0 };
    let reserved = memory.reserve_up_to(wanted.min(most));
    if reserved.bytes() < wanted {
        tracing::warn!(
            wanted,
            has = reserved.bytes(),
            memory = memory.limit(),
            "the cache is smaller than retriever.cache_bytes says: there is too little memory, see memory.limit_bytes"
        );
    }
    StoreOptions {
        cache_bytes: usize::try_from(reserved.bytes()).unwrap_or(usize::MAX),
        cache_memory: Some(Arc::new(reserved)),
        max_requests: settings.concurrent_requests as usize,
        hedge_share: f64::from(settings.hedged_requests_percent) / 100.0,
        ..StoreOptions::default()
    }
}

pub(crate) fn disk_cache(config: &Config) -> Option<DiskCacheOptions> {
    let DiskCache { path, bytes } = &config.retriever.disk_cache;
    (!path.is_empty()).then(|| DiskCacheOptions { path: path.into(), bytes: bytes.0 })
}

/// Reading ends a little before a querier stops waiting for a source, which is after nine tenths of its time, so that what
/// was read still gets there.
fn reading_time(patience: Duration) -> Duration {
    patience / 4 * 3
}

pub(crate) fn retriever(config: &Config, memory: &MemoryBudget) -> RetrieverOptions {
    let timeouts = timeouts(config);
    RetrieverOptions {
        max_requests_per_query: config.retriever.max_requests_per_query,
        lookup_timeout: reading_time(timeouts.trace_by_id),
        search_timeout: reading_time(timeouts.search),
        poll_interval: config.storage.trace.blocklist_poll.0,
        poll_concurrency: config.storage.trace.blocklist_poll_concurrency as usize,
        max_concurrent_blocks: config.retriever.concurrent_blocks as usize,
        max_index_age: Some(MAX_INDEX_AGE),
        ..RetrieverOptions::new(memory.clone())
    }
}

fn api(config: &Config, limits: &Arc<TenantLimits>) -> ApiOptions {
    let limits = Arc::clone(limits);
    let search = &config.query_frontend.search;
    ApiOptions {
        prefix: config.http_api_prefix.clone(),
        multitenancy: config.multitenancy_enabled,
        tenants: tenants(config),
        multi_tenant_queries: config.query_frontend.multi_tenant_queries_enabled,
        max_tenants: config.query_frontend.multi_tenant_queries_max_tenants as usize,
        max_query_bytes: usize::try_from(config.query_frontend.max_query_expression_size_bytes.0)
            .unwrap_or(usize::MAX),
        default_limit: search.default_result_limit,
        max_limit: search.max_result_limit,
        default_spans_per_span_set: search.default_spans_per_span_set,
        max_spans_per_span_set: search.max_spans_per_span_set,
        max_search_duration: search.max_duration.0,
        default_range: search.query_backend_after.0,
        end_cutoff: config.query_frontend.query_end_cutoff.0,
        limits: Arc::new(move |tenant| {
            let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
            limits.of(tenant, |limits| QueryLimits {
                max_bytes_per_trace: bytes(limits.global.max_bytes_per_trace.0),
                max_search_duration: Some(limits.read.max_search_duration.0).filter(|range| !range.is_zero()),
                max_bytes_per_tag_values_query: bytes(limits.read.max_bytes_per_tag_values_query.0),
                max_blocks_per_tag_values_query: limits.read.max_blocks_per_tag_values_query,
                left_pad_trace_ids: false,
            })
        }),
    }
}

/// The tenants that are served, if not all. Names that are none were refused with the configuration.
fn tenants(config: &Config) -> Option<Arc<BTreeSet<TenantId>>> {
    let listed = &config.multitenancy_allowed_tenants;
    let tenants = listed.iter().filter_map(|name| name.parse().ok()).collect();
    (!listed.is_empty()).then(|| Arc::new(tenants))
}

/// `query_frontend.api_timeout` is over all, if it is set.
fn timeouts(config: &Config) -> QueryTimeouts {
    let all = config.query_frontend.api_timeout.0;
    let within = |timeout: Duration| if all.is_zero() { timeout } else { timeout.min(all) };
    QueryTimeouts {
        trace_by_id: within(config.querier.trace_by_id.query_timeout.0),
        search: within(config.querier.search.query_timeout.0),
    }
}

fn build() -> BuildInfo {
    BuildInfo { version: env!("CARGO_PKG_VERSION").to_owned(), revision: String::new() }
}

pub(crate) fn querier(config: &Config, limits: &Arc<TenantLimits>, memory: &MemoryBudget) -> QuerierOptions {
    let quorum = config.ingester.lifecycler.ring.replication_factor / 2 + 1;
    QuerierOptions {
        api: api(config, limits),
        memory: memory.clone(),
        max_concurrent: config.querier.max_concurrent_queries as usize,
        timeouts: timeouts(config),
        tolerated_recent_failures: quorum as usize - 1,
        build: build(),
        ..QuerierOptions::default()
    }
}

pub(crate) fn frontend(config: &Config, limits: &Arc<TenantLimits>) -> FrontendOptions {
    FrontendOptions {
        api: api(config, limits),
        max_outstanding_per_tenant: config.query_frontend.max_outstanding_per_tenant as usize,
        max_retries: config.query_frontend.max_retries as usize,
        timeouts: timeouts(config),
        build: build(),
        ..FrontendOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_part_of_the_memory() {
        let memory = MemoryBudget::new(100 << 20);
        let config = |target| Config { target, ..Config::default() };
        let of_all = store(&config(Target::All), &memory);
        assert_eq!((of_all.cache_bytes, memory.used()), (25 << 20, 25 << 20));
        let alone = store(&config(Target::Retriever), &memory);
        assert_eq!((alone.cache_bytes, memory.used()), (50 << 20, 75 << 20));
        assert_eq!(store(&config(Target::Compactor), &memory).cache_bytes, 0);
        drop((of_all, alone));
        assert_eq!(memory.used(), 0);
    }
}
