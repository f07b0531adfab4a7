use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::{ByteSize, GoDuration};

use crate::{DedicatedColumn, TenantOverrides};

/// Limits for all tenants, and where those of single tenants are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// Limits of every tenant.
    pub defaults: Limits,
    /// File with limits of single tenants, read again while the process runs; empty means none.
    /// Default empty.
    pub per_tenant_override_config: String,
    /// How often that file is looked at. Default 10s.
    pub per_tenant_override_period: GoDuration,
    /// Limits of single tenants, once that file is read; no key of the file.
    #[serde(skip)]
    pub tenants: TenantOverrides,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            defaults: Limits::default(),
            per_tenant_override_config: String::new(),
            per_tenant_override_period: GoDuration::from_secs(10),
            tenants: TenantOverrides::default(),
        }
    }
}

/// The limits of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Taking spans in.
    pub ingestion: IngestionLimits,
    /// Queries.
    pub read: ReadLimits,
    /// Merging and retention.
    pub compaction: CompactionLimits,
    /// Everything.
    pub global: GlobalLimits,
    /// How the tenant's blocks are written.
    pub storage: StorageLimits,
}

/// Limits of taking spans in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngestionLimits {
    /// Whether the rate holds for each distributor or for all together. Default local.
    pub rate_strategy: RateStrategy,
    /// Bytes a second of requests. Default 30000000.
    pub rate_limit_bytes: ByteSize,
    /// Bytes that may come at once. Default 30000000.
    pub burst_size_bytes: ByteSize,
    /// Live traces in one ingester, those that got a span within `ingester.trace_idle_period`; spans of
    /// further traces are refused. 0 means any number. Default 10000.
    pub max_traces_per_user: u32,
    /// Longest attribute key or string value, bytes; 0 means `distributor.max_attribute_bytes`. Default 0.
    pub max_attribute_bytes: u32,
    /// Whether a refused client is told when to try again. Default true.
    pub retry_info_enabled: bool,
}

impl Default for IngestionLimits {
    fn default() -> Self {
        Self {
            rate_strategy: RateStrategy::Local,
            rate_limit_bytes: ByteSize(30_000_000),
            burst_size_bytes: ByteSize(30_000_000),
            max_traces_per_user: 10_000,
            max_attribute_bytes: 0,
            retry_info_enabled: true,
        }
    }
}

/// What a rate limit holds for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RateStrategy {
    /// Each distributor.
    #[default]
    Local,
    /// All distributors together; each takes an equal share.
    Global,
}

/// Limits of queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReadLimits {
    /// Size of an answer with tag names or values, bytes; 0 means any. Default 1000000.
    pub max_bytes_per_tag_values_query: ByteSize,
    /// Blocks looked at for tag values; 0 means any number. Default 0.
    pub max_blocks_per_tag_values_query: u32,
    /// Longest time range of a search; 0 means `query_frontend.search.max_duration`. Default 0s.
    pub max_search_duration: GoDuration,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            max_bytes_per_tag_values_query: ByteSize(1_000_000),
            max_blocks_per_tag_values_query: 0,
            max_search_duration: GoDuration::ZERO,
        }
    }
}

/// Limits of merging and retention.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompactionLimits {
    /// Age at which a block is dropped; 0 means `compactor.compaction.block_retention`. Default 0s.
    pub block_retention: GoDuration,
    /// Window of time whose blocks are merged; 0 means `compactor.compaction.compaction_window`.
    /// Default 0s.
    pub compaction_window: GoDuration,
    /// Whether blocks are left as they are; retention still holds. Default false.
    pub compaction_disabled: bool,
}

/// Limits that hold everywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlobalLimits {
    /// Size of one trace, bytes; 0 means any. Default 5000000.
    pub max_bytes_per_trace: ByteSize,
}

impl Default for GlobalLimits {
    fn default() -> Self {
        Self { max_bytes_per_trace: ByteSize(5_000_000) }
    }
}

/// How a tenant's blocks are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StorageLimits {
    /// Attributes with a column of their own; none means `storage.trace.block`'s. Default none.
    pub parquet_dedicated_columns: Vec<DedicatedColumn>,
}
