use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::{ByteSize, GoDuration};

/// Answers queries from ingesters and retrievers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Querier {
    /// Searches.
    pub search: QuerierSearch,
    /// Traces by id.
    pub trace_by_id: QuerierTraceById,
    /// Queries worked on at once; the rest waits in the frontend. Default 20.
    pub max_concurrent_queries: u32,
}

impl Default for Querier {
    fn default() -> Self {
        Self {
            search: QuerierSearch::default(),
            trace_by_id: QuerierTraceById::default(),
            max_concurrent_queries: 20,
        }
    }
}

/// Searches, as a querier runs them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuerierSearch {
    /// How long a search may take. Default 30s.
    pub query_timeout: GoDuration,
}

impl Default for QuerierSearch {
    fn default() -> Self {
        Self { query_timeout: GoDuration::from_secs(30) }
    }
}

/// Traces by id, as a querier finds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuerierTraceById {
    /// How long a trace may take to be found. Default 10s.
    pub query_timeout: GoDuration,
}

impl Default for QuerierTraceById {
    fn default() -> Self {
        Self { query_timeout: GoDuration::from_secs(10) }
    }
}

/// The query API's front: checks, queues, splits and merges queries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryFrontend {
    /// Searches.
    pub search: QueryFrontendSearch,
    /// Longest TraceQL text, bytes. Default 131072.
    pub max_query_expression_size_bytes: ByteSize,
    /// Queries of one tenant that wait at once; more are refused with 429. Default 2000.
    pub max_outstanding_per_tenant: u32,
    /// How often a failed part of a query is tried again. Default 2.
    pub max_retries: u32,
    /// Whether a query may name several tenants (`a|b`). Default true.
    pub multi_tenant_queries_enabled: bool,
    /// Most tenants that one query may name; 0 allows any. Default 100. (Tempo has no such limit.)
    pub multi_tenant_queries_max_tenants: u32,
    /// Longest any query may take, whatever its kind; 0 sets no limit of its own. Default 0s.
    pub api_timeout: GoDuration,
    /// Most recent time span that searches leave out. Default 0s (Tempo 3: 30s).
    pub query_end_cutoff: GoDuration,
}

impl Default for QueryFrontend {
    fn default() -> Self {
        Self {
            search: QueryFrontendSearch::default(),
            max_query_expression_size_bytes: ByteSize(131_072),
            max_outstanding_per_tenant: 2000,
            max_retries: 2,
            multi_tenant_queries_enabled: true,
            multi_tenant_queries_max_tenants: 100,
            api_timeout: GoDuration::ZERO,
            query_end_cutoff: GoDuration::ZERO,
        }
    }
}

/// Searches, as the frontend lets them in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryFrontendSearch {
    /// Traces returned when the query names no `limit`. Default 20.
    pub default_result_limit: u32,
    /// Largest `limit` a query may name; 0 allows any. Default 262144.
    pub max_result_limit: u32,
    /// Longest time range of a search; 0 allows any. Default 168h.
    pub max_duration: GoDuration,
    /// Matching spans returned a trace when the query names no `spss`. Default 3.
    pub default_spans_per_span_set: u32,
    /// Largest `spss` a query may name; 0 allows any. Default 100.
    pub max_spans_per_span_set: u32,
    /// How far back blocks are searched for a query that names neither `start` nor `end`; recent spans
    /// always are. Default 1h (Tempo: 15m, and recent spans only).
    pub query_backend_after: GoDuration,
}

impl Default for QueryFrontendSearch {
    fn default() -> Self {
        Self {
            default_result_limit: 20,
            max_result_limit: 262_144,
            max_duration: GoDuration::from_hours(168),
            default_spans_per_span_set: 3,
            max_spans_per_span_set: 100,
            query_backend_after: GoDuration::from_hours(1),
        }
    }
}
