//! Bounds of queries, blocks and caches.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use crate::Component;
use crate::defaults;
use crate::spec::{BlocksSpec, CacheSpec, DedicatedColumnSpec, QuerySpec};
use crate::validated::{Blocks, Cache, ComponentSettings, DedicatedColumn, Query};
use tempoform_document::{ByteSize, GoDuration};

/// vParquet4 has ten spare columns of text for each scope.
const DEDICATED_COLUMNS_PER_SCOPE: usize = 10;
const SMALLEST_BLOCK: ByteSize = ByteSize::from_mib(1);
const SHORTEST_BLOCK: GoDuration = GoDuration::from_secs(1);

pub(super) fn query(spec: Option<&QuerySpec>, report: &mut Report) -> Query {
    let default = defaults::QUERY;
    let QuerySpec {
        max_duration,
        default_result_limit,
        max_result_limit,
        search_timeout,
        trace_by_id_timeout,
        max_concurrent_queries,
        concurrent_jobs,
        target_bytes_per_job,
        max_outstanding_per_tenant,
        default_spans_per_span_set,
        max_spans_per_span_set,
        max_expression_bytes,
    } = spec.cloned().unwrap_or_default();
    let query = Query {
        max_duration: max_duration.unwrap_or(default.max_duration),
        default_result_limit: default_result_limit.unwrap_or(default.default_result_limit),
        max_result_limit: max_result_limit.unwrap_or(default.max_result_limit),
        search_timeout: search_timeout.unwrap_or(default.search_timeout),
        trace_by_id_timeout: trace_by_id_timeout.unwrap_or(default.trace_by_id_timeout),
        max_concurrent_queries: max_concurrent_queries.unwrap_or(default.max_concurrent_queries),
        concurrent_jobs: concurrent_jobs.unwrap_or(default.concurrent_jobs),
        target_bytes_per_job: target_bytes_per_job.unwrap_or(default.target_bytes_per_job),
        max_outstanding_per_tenant: max_outstanding_per_tenant.unwrap_or(default.max_outstanding_per_tenant),
        default_spans_per_span_set: default_spans_per_span_set.unwrap_or(default.default_spans_per_span_set),
        max_spans_per_span_set: max_spans_per_span_set.unwrap_or(default.max_spans_per_span_set),
        max_expression_bytes: max_expression_bytes.unwrap_or(default.max_expression_bytes),
    };
    refuse_zeros(&query, report);
    refuse_crossed(&query, report);
    query
}

fn refuse_zeros(query: &Query, report: &mut Report) {
    let zeros = [
        ("defaultResultLimit", query.default_result_limit == 0, "20"),
        ("searchTimeout", query.search_timeout.is_zero(), "30s"),
        ("traceByIdTimeout", query.trace_by_id_timeout.is_zero(), "10s"),
        ("maxConcurrentQueries", query.max_concurrent_queries == 0, "20"),
        ("concurrentJobs", query.concurrent_jobs == 0, "1000"),
        ("targetBytesPerJob", query.target_bytes_per_job.0 == 0, "100MiB"),
        ("maxOutstandingPerTenant", query.max_outstanding_per_tenant == 0, "2000"),
        ("maxExpressionBytes", query.max_expression_bytes.0 == 0, "128KiB"),
    ];
    for (field, _, example) in zeros.into_iter().filter(|(_, zero, _)| *zero) {
        report.refuse(
            format!("spec.query.{field}"),
            "with 0 no query could be answered",
            format!("write more, for example {example}"),
        );
    }
}

/// A default must not be above its ceiling; a ceiling of 0 is none.
fn refuse_crossed(query: &Query, report: &mut Report) {
    let pairs = [
        ("defaultResultLimit", query.default_result_limit, "maxResultLimit", query.max_result_limit),
        (
            "defaultSpansPerSpanSet",
            query.default_spans_per_span_set,
            "maxSpansPerSpanSet",
            query.max_spans_per_span_set,
        ),
    ];
    for (field, value, ceiling_field, ceiling) in pairs {
        if ceiling > 0 && value > ceiling {
            report.refuse(
                format!("spec.query.{field}"),
                format!("{value} is above {ceiling_field}, which is {ceiling}"),
                format!("write at most {ceiling}, or raise {ceiling_field}"),
            );
        }
    }
}

pub(super) fn blocks(spec: Option<&BlocksSpec>, report: &mut Report) -> Blocks {
    let spec = spec.cloned().unwrap_or_default();
    let max_duration = spec.max_duration.unwrap_or(defaults::BLOCK_MAX_DURATION);
    if max_duration < SHORTEST_BLOCK {
        report.refuse(
            "spec.blocks.maxDuration",
            format!("{max_duration} is too short for a block"),
            format!("write at least {SHORTEST_BLOCK}; 5m is usual"),
        );
    }
    let max_bytes = spec.max_bytes.unwrap_or(defaults::BLOCK_MAX_BYTES);
    if max_bytes < SMALLEST_BLOCK {
        report.refuse(
            "spec.blocks.maxBytes",
            format!("{max_bytes} is too small for a block"),
            format!("write at least {SMALLEST_BLOCK}; 256MiB is usual"),
        );
    }
    let dedicated_columns = spec
        .dedicated_columns
        .map_or_else(defaults::dedicated_columns, |columns| dedicated(&columns, report));
    Blocks { max_duration, max_bytes, dedicated_columns }
}

fn dedicated(columns: &[DedicatedColumnSpec], report: &mut Report) -> Vec<DedicatedColumn> {
    let path = "spec.blocks.dedicatedColumns";
    let mut seen = BTreeSet::new();
    let mut per_scope = BTreeMap::new();
    for (index, column) in columns.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if column.name.is_empty() {
            report.refuse(
                format!("{path}.name"),
                "the name is empty",
                "name an attribute, for example http.route",
            );
        } else if !seen.insert((column.scope, column.name.as_str())) {
            report.refuse(
                path,
                format!("attribute {:?} has a column already", column.name),
                "keep one of them",
            );
        }
        let count = per_scope.entry(column.scope).or_insert(0_usize);
        *count += 1;
        if *count == DEDICATED_COLUMNS_PER_SCOPE + 1 {
            report.refuse(
                format!("spec.blocks.dedicatedColumns[{index}]"),
                format!("a block has {DEDICATED_COLUMNS_PER_SCOPE} dedicated columns for each scope, this is one more"),
                "keep those that queries ask for most",
            );
        }
    }
    let resolved = columns.iter().map(|column| DedicatedColumn {
        scope: column.scope,
        name: column.name.clone(),
        kind: column.kind.unwrap_or_default(),
    });
    resolved.collect()
}

pub(super) fn cache(
    spec: Option<&CacheSpec>,
    components: &BTreeMap<Component, ComponentSettings>,
    report: &mut Report,
) -> Cache {
    let reader = components.get(&Component::Retriever).or_else(|| components.get(&Component::Tempo));
    let limit = reader.and_then(|reader| reader.memory_limit);
    let memory = spec.and_then(|spec| spec.memory).unwrap_or_else(|| defaults::cache_memory(limit));
    if let Some(limit) = limit.filter(|limit| memory >= *limit) {
        report.refuse(
            "spec.cache.memory",
            format!("a cache of {memory} leaves nothing of the memory limit {limit}"),
            "make the cache at most half of the limit, or raise the limit in the retriever's resources",
        );
    }
    Cache { memory }
}
