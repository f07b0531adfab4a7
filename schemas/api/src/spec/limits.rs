//! `spec.limits` and `spec.retention`: global values, and per tenant what differs.
//!
//! A tenant's entry *inherits* whatever it does not set, unlike the entries of Tempo's own overrides file.
//! Limits in the shape of Tempo's overrides: the names are those of its configuration, in camel case.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tempoform_document::{ByteSize, GoDuration};

/// Whether a tenant's rate is meant for each distributor, or for all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RateStrategy {
    /// Every distributor allows the whole rate.
    #[default]
    Local,
    /// The rate is shared by all distributors: two of them take half each.
    Global,
}

/// How much may come in and be asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LimitsSpec {
    /// For every tenant that has no entry of its own, and for what an entry leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global: Option<TenantLimitsSpec>,
    /// By tenant name: what differs from `global`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub per_tenant: BTreeMap<String, TenantLimitsSpec>,
}

/// The limits of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantLimitsSpec {
    /// On what comes in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingestion: Option<IngestionLimitsSpec>,
    /// On what is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryLimitsSpec>,
}

/// Limits on what a tenant sends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct IngestionLimitsSpec {
    /// Whether the rate is for each distributor or for all together. Default: `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_strategy: Option<RateStrategy>,
    /// Bytes of spans per second, in the long run. Default: 30 MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_bytes: Option<ByteSize>,
    /// Bytes of spans at once. Default: 30 MB, or the rate when that is higher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_size_bytes: Option<ByteSize>,
    /// Size of one trace; spans beyond are refused. 0: no limit. Default: 5 MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_trace: Option<ByteSize>,
    /// Live traces in one ingester. 0: no limit. Default: 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_traces_per_user: Option<u32>,
    /// Size of one attribute's value; what is longer is cut. 0: no limit. Default: 2048.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attribute_bytes: Option<u32>,
}

/// Limits on what a tenant asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct QueryLimitsSpec {
    /// Size of the answer to a tag-values query; what is more is cut and marked. Default: 1 MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes_per_tag_values: Option<ByteSize>,
    /// The longest time range of a search. Default: `spec.query.maxDuration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_search_duration: Option<GoDuration>,
}

/// How long traces are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RetentionSpec {
    /// For every tenant without an entry of its own. Default: `336h` (14 days).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global: Option<GoDuration>,
    /// By tenant name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub per_tenant: BTreeMap<String, GoDuration>,
}
