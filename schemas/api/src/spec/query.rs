//! `spec.query`: bounds of the query API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tempoform_document::{ByteSize, GoDuration};

/// Bounds of the query API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct QuerySpec {
    /// The longest time range of a search; 0: no limit. Default: `168h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<GoDuration>,
    /// Results of a search that does not say how many. Default: 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub default_result_limit: Option<u32>,
    /// Results a search may ask for; 0: no limit. Default: 262,144.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_result_limit: Option<u32>,
    /// How long a search may take. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_timeout: Option<GoDuration>,
    /// How long finding a trace by its id may take. Default: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_by_id_timeout: Option<GoDuration>,
    /// Queries that one querier works on at a time. Default: 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_concurrent_queries: Option<u32>,
    /// Jobs of one search that run at a time. Default: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrent_jobs: Option<u32>,
    /// How much data one job of a search looks at. Default: 100 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_bytes_per_job: Option<ByteSize>,
    /// Requests of one tenant that may wait. Default: 2000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_outstanding_per_tenant: Option<u32>,
    /// Spans shown of each result of a search that does not say how many. Default: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_spans_per_span_set: Option<u32>,
    /// Spans of each result a search may ask for; 0: no limit. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_spans_per_span_set: Option<u32>,
    /// Length of a query's text. Default: 128 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_expression_bytes: Option<ByteSize>,
}
