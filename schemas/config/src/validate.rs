//! What the form of a file cannot show.

mod blocks;
mod listeners;
mod storage;

use std::fmt;

use tempoform_document::{ByteSize, GoDuration, Problem, Problems};

use crate::{Config, DiskCache, Limits, Retriever, Target};

/// Checks everything that the components of `config.target` use.
pub(crate) fn validate(config: &Config, problems: &mut Problems) {
    problems.extend(durations(config));
    problems.extend(counts(config));
    problems.extend(listeners::validate(config));
    problems.extend(storage::validate(config));
    problems.extend(blocks::validate(&config.storage.trace.block));
    problems.extend(ingester(config));
    problems.extend(search(config));
    problems.extend(memory(config));
    problems.extend(retriever(config));
    problems.extend(limits(&config.overrides.defaults, "overrides.defaults"));
    problems.extend(tenant_file(config));
}

/// Settings that are allowed but probably not meant.
pub(crate) fn warn(config: &Config, warnings: &mut Problems) {
    warnings.extend(blocks::warn(&config.storage.trace.block));
    if config.target != Target::All && config.memberlist.join_members.is_empty() {
        let message = "no other process is named; this one is found only by those that name it";
        warnings.push(Problem::new("memberlist.join_members", message));
    }
    let copies = config.ingester.lifecycler.ring.replication_factor;
    if copies > 1 && copies.is_multiple_of(2) {
        let message = format!("{copies} copies survive no more failures than {} do", copies - 1);
        warnings.push(Problem::new("ingester.lifecycler.ring.replication_factor", message));
    }
}

/// `path`: must be such, found `value`.
fn wrong(path: &str, must: &str, value: impl fmt::Display) -> Problem {
    Problem::new(path, format!("must be {must}, found {value}"))
}

fn missing(path: &str, why: &str, help: &str) -> Problem {
    Problem::new(path, format!("is required {why}")).help(help)
}

fn durations(config: &Config) -> Vec<Problem> {
    let trace = &config.storage.trace;
    let compaction = &config.compactor.compaction;
    let positive: [(&str, GoDuration); 18] = [
        ("ingester.trace_idle_period", config.ingester.trace_idle_period),
        ("ingester.max_block_duration", config.ingester.max_block_duration),
        ("ingester.flush_check_period", config.ingester.flush_check_period),
        ("ingester.flush_op_timeout", config.ingester.flush_op_timeout),
        ("ingester.async_sync_period", config.ingester.async_sync_period),
        ("ingester.take_over_after", config.ingester.take_over_after),
        ("ingester.lifecycler.ring.heartbeat_timeout", config.ingester.lifecycler.ring.heartbeat_timeout),
        ("ingester_client.remote_timeout", config.ingester_client.remote_timeout),
        ("querier.search.query_timeout", config.querier.search.query_timeout),
        ("querier.trace_by_id.query_timeout", config.querier.trace_by_id.query_timeout),
        ("query_frontend.search.query_backend_after", config.query_frontend.search.query_backend_after),
        ("compactor.compaction.compaction_window", compaction.compaction_window),
        ("compactor.compaction.compaction_cycle", compaction.compaction_cycle),
        ("compactor.compaction.max_time_per_tenant", compaction.max_time_per_tenant),
        ("storage.trace.blocklist_poll", trace.blocklist_poll),
        ("overrides.per_tenant_override_period", config.overrides.per_tenant_override_period),
        ("memberlist.gossip_interval", config.memberlist.gossip_interval),
        ("memberlist.left_ingesters_timeout", config.memberlist.left_ingesters_timeout),
    ];
    let zero = positive.into_iter().filter(|(_, duration)| duration.is_zero());
    zero.map(|(path, duration)| wrong(path, "more than 0s", duration)).collect()
}

fn counts(config: &Config) -> Vec<Problem> {
    let (frontend, retriever) = (&config.query_frontend, &config.retriever);
    let compaction = &config.compactor.compaction;
    let positive: [(&str, u64); 14] = [
        ("server.grpc_server_max_recv_msg_size", config.server.grpc_server_max_recv_msg_size.0),
        (
            "server.grpc_server_max_concurrent_streams",
            config.server.grpc_server_max_concurrent_streams.into(),
        ),
        (
            "ingester_client.grpc_client_config.max_recv_msg_size",
            config.ingester_client.grpc_client_config.max_recv_msg_size.0,
        ),
        ("distributor.max_attribute_bytes", config.distributor.max_attribute_bytes.into()),
        ("distributor.max_inflight_bytes", config.distributor.max_inflight_bytes.0),
        ("ingester.concurrent_flushes", config.ingester.concurrent_flushes.into()),
        ("querier.max_concurrent_queries", config.querier.max_concurrent_queries.into()),
        ("query_frontend.max_query_expression_size_bytes", frontend.max_query_expression_size_bytes.0),
        ("query_frontend.max_outstanding_per_tenant", frontend.max_outstanding_per_tenant.into()),
        ("query_frontend.search.default_result_limit", frontend.search.default_result_limit.into()),
        ("retriever.concurrent_blocks", retriever.concurrent_blocks.into()),
        ("retriever.concurrent_requests", retriever.concurrent_requests.into()),
        ("compactor.compaction.retention_concurrency", compaction.retention_concurrency.into()),
        ("storage.trace.blocklist_poll_concurrency", config.storage.trace.blocklist_poll_concurrency.into()),
    ];
    positive
        .into_iter()
        .filter(|(_, count)| *count == 0)
        .map(|(path, _)| wrong(path, "1 or more", 0))
        .collect()
}

fn retriever(config: &Config) -> Vec<Problem> {
    let Retriever { disk_cache: DiskCache { path, bytes }, hedged_requests_percent, .. } = &config.retriever;
    let mut problems = Vec::new();
    if *hedged_requests_percent > 100 {
        problems.push(wrong("retriever.hedged_requests_percent", "100 or less", hedged_requests_percent));
    }
    if path.is_empty() && bytes.0 > 0 {
        problems.push(missing(
            "retriever.disk_cache.path",
            "with bytes",
            "name a folder that only this uses",
        ));
    }
    if !path.is_empty() && *bytes < DiskCache::MIN_BYTES {
        let must = format!("{} or more", DiskCache::MIN_BYTES);
        problems.push(wrong("retriever.disk_cache.bytes", &must, bytes));
    }
    problems
}

fn ingester(config: &Config) -> Vec<Problem> {
    const LEAST_BLOCK: ByteSize = ByteSize(64 << 10);
    const MOST_BLOCK: ByteSize = ByteSize(16 << 30);
    let mut problems = Vec::new();
    let ingester = &config.ingester;
    let lifecycler = &ingester.lifecycler;
    if !(LEAST_BLOCK..=MOST_BLOCK).contains(&ingester.max_block_bytes) {
        let range = format!("between {LEAST_BLOCK} and {MOST_BLOCK}");
        problems.push(wrong("ingester.max_block_bytes", &range, ingester.max_block_bytes));
    }
    let copies = lifecycler.ring.replication_factor;
    if copies == 0 {
        problems.push(wrong("ingester.lifecycler.ring.replication_factor", "1 or more", copies));
    }
    if copies > 1 && config.memberlist.join_members.is_empty() {
        let why = format!("to keep {copies} copies, as ingester.lifecycler.ring.replication_factor says");
        let help = "name the other processes, or set the replication factor to 1";
        problems.push(missing("memberlist.join_members", &why, help));
    }
    if !config.target.runs(Target::Ingester) {
        return problems;
    }
    if lifecycler.ring.zone_awareness_enabled && lifecycler.availability_zone.is_empty() {
        let why = "with ring.zone_awareness_enabled";
        problems.push(missing(
            "ingester.lifecycler.availability_zone",
            why,
            "name the zone of this ingester",
        ));
    }
    let poll = config.storage.trace.blocklist_poll;
    if ingester.complete_block_timeout.0 < poll.0.saturating_mul(2) {
        let must = format!("at least twice storage.trace.blocklist_poll ({poll})");
        let help = "a block must stay readable here until every retriever has seen it in storage";
        let problem = wrong("ingester.complete_block_timeout", &must, ingester.complete_block_timeout);
        problems.push(problem.help(help));
    }
    problems
}

fn search(config: &Config) -> Vec<Problem> {
    let frontend = &config.query_frontend;
    let search = &frontend.search;
    let mut problems = Vec::new();
    if search.max_result_limit > 0 && search.default_result_limit > search.max_result_limit {
        let must = format!("at most max_result_limit ({})", search.max_result_limit);
        problems.push(wrong(
            "query_frontend.search.default_result_limit",
            &must,
            search.default_result_limit,
        ));
    }
    let (spans, most) = (search.default_spans_per_span_set, search.max_spans_per_span_set);
    if most > 0 && spans > most {
        let must = format!("at most max_spans_per_span_set ({most})");
        problems.push(wrong("query_frontend.search.default_spans_per_span_set", &must, spans));
    }
    if frontend.query_end_cutoff > search.query_backend_after {
        let must = format!("at most search.query_backend_after ({})", search.query_backend_after);
        problems.push(wrong("query_frontend.query_end_cutoff", &must, frontend.query_end_cutoff));
    }
    let prefix = &config.http_api_prefix;
    if !prefix.is_empty() && (!prefix.starts_with('/') || prefix.ends_with('/')) {
        problems.push(wrong("http_api_prefix", "a path such as /tempo", format!("{prefix:?}")));
    }
    problems
}

fn memory(config: &Config) -> Vec<Problem> {
    let ratio = config.memory.automemlimit_ratio;
    if ratio > 0.0 && ratio <= 1.0 {
        return Vec::new();
    }
    vec![wrong("memory.automemlimit_ratio", "more than 0 and at most 1", ratio)]
}

/// Checks a tenant's limits, or the defaults, at `path`.
pub(crate) fn limits(limits: &Limits, path: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let ingestion = &limits.ingestion;
    if ingestion.burst_size_bytes.0 == 0 && ingestion.rate_limit_bytes.0 > 0 {
        let path = format!("{path}.ingestion.burst_size_bytes");
        let help =
            "no request fits into a burst of 0; use the rate or more, or a rate of 0 to refuse everything";
        problems.push(wrong(&path, "more than 0", 0).help(help));
    }
    let columns = &limits.storage.parquet_dedicated_columns;
    problems.extend(blocks::columns(columns, &format!("{path}.storage.parquet_dedicated_columns")));
    problems
}

fn tenant_file(config: &Config) -> Vec<Problem> {
    let file = &config.overrides.per_tenant_override_config;
    if !file.ends_with('/') {
        return Vec::new();
    }
    vec![wrong("overrides.per_tenant_override_config", "a file", format!("the folder {file:?}"))]
}

#[cfg(test)]
mod tests;
