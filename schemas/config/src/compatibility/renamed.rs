/// Old or other names, and what they are called here.
pub(super) const RENAMED: &[(&str, &str)] = &[("auth_enabled", "multitenancy_enabled")];

/// Where Tempo 3 keeps what `compactor.compaction` holds.
pub(super) const RENAMED_COMPACTION: &[(&str, &str)] = &[
    ("backend_worker.compaction", "compactor.compaction"),
    ("backend_scheduler.provider.compaction.compaction", "compactor.compaction"),
];

/// The keys of `compactor.compaction`.
pub(super) const COMPACTION_KEYS: &[&str] = &[
    "block_retention",
    "compacted_block_retention",
    "compaction_window",
    "max_block_bytes",
    "max_compaction_objects",
    "compaction_cycle",
    "max_time_per_tenant",
    "retention_concurrency",
    "concurrent_merges",
    "unfinished_upload_age",
];

/// Limits in Tempo 2's flat form, and their place in a limits section.
pub(super) const RENAMED_LIMITS: &[(&str, &str)] = &[
    ("ingestion_rate_strategy", "ingestion.rate_strategy"),
    ("ingestion_rate_limit_bytes", "ingestion.rate_limit_bytes"),
    ("ingestion_burst_size_bytes", "ingestion.burst_size_bytes"),
    ("ingestion_max_attribute_bytes", "ingestion.max_attribute_bytes"),
    ("ingestion_retry_info_enabled", "ingestion.retry_info_enabled"),
    ("max_traces_per_user", "ingestion.max_traces_per_user"),
    ("max_bytes_per_trace", "global.max_bytes_per_trace"),
    ("max_bytes_per_tag_values_query", "read.max_bytes_per_tag_values_query"),
    ("max_blocks_per_tag_values_query", "read.max_blocks_per_tag_values_query"),
    ("max_search_duration", "read.max_search_duration"),
    ("block_retention", "compaction.block_retention"),
    ("compaction_window", "compaction.compaction_window"),
    ("compaction_disabled", "compaction.compaction_disabled"),
    ("parquet_dedicated_columns", "storage.parquet_dedicated_columns"),
];
