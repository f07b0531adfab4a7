//! What a querier and a query-frontend can be told; every default is Tempo's unless said otherwise.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tempoform_core::{MemoryBudget, TenantId, TraceSource};

/// A source of traces with the name that answers and logs call it by (a pod, an address).
#[derive(Clone)]
pub struct NamedSource {
    /// Unique among its kind. A retriever's name also decides which blocks it reads.
    pub name: String,
    /// Whether it can be asked.
    pub availability: Availability,
}

/// Whether a source can be asked.
#[derive(Clone)]
pub enum Availability {
    /// It answers.
    Serving(Arc<dyn TraceSource>),
    /// It is known to exist, but cannot answer: it is down, or still starting. An ingester that is missing counts
    /// as one that failed, since it may hold spans that nobody else has.
    Missing {
        /// What is wrong with it, as answers tell it.
        why: String,
    },
}

impl NamedSource {
    /// `source` under `name`.
    pub fn new(name: impl Into<String>, source: Arc<dyn TraceSource>) -> Self {
        Self { name: name.into(), availability: Availability::Serving(source) }
    }

    /// A source that is known, but cannot answer now.
    pub fn missing(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), availability: Availability::Missing { why: why.into() } }
    }
}

impl fmt::Debug for NamedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedSource").field(&self.name).field(&self.availability).finish()
    }
}

impl fmt::Debug for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving(_) => f.write_str("Serving"),
            Self::Missing { why } => f.debug_tuple("Missing").field(why).finish(),
        }
    }
}

/// The sources known at the moment of the call: membership changes, so each query asks anew.
pub type Sources = Arc<dyn Fn() -> Vec<NamedSource> + Send + Sync>;

/// The query limits of a tenant.
pub type LimitsOf = Arc<dyn Fn(&TenantId) -> QueryLimits + Send + Sync>;

/// What the public query API allows; the same for querier and frontend, so that a wrong request
/// gets the same answer from both.
#[derive(Clone)]
pub struct ApiOptions {
    /// Put in front of `/api/...`; empty or like `/tempo`.
    pub prefix: String,
    /// Whether the tenant comes from `X-Scope-OrgID`; otherwise everything is `single-tenant`.
    pub multitenancy: bool,
    /// Tenants that are served, if not all.
    pub tenants: Option<Arc<BTreeSet<TenantId>>>,
    /// Whether `X-Scope-OrgID: a|b` asks several tenants at once.
    pub multi_tenant_queries: bool,
    /// Most tenants that one query may ask; 0 = no limit. (Tempo has no such limit.)
    pub max_tenants: usize,
    /// Longest query text, bytes; 0 = no limit.
    pub max_query_bytes: usize,
    /// Search results without `limit`.
    pub default_limit: u32,
    /// Highest `limit`; 0 = no limit.
    pub max_limit: u32,
    /// Spans of a span set without `spss`.
    pub default_spans_per_span_set: u32,
    /// Highest `spss`; 0 = no cap.
    pub max_spans_per_span_set: u32,
    /// Longest time range of a search; 0 = no limit.
    pub max_search_duration: Duration,
    /// How far back blocks are searched when a request has no time range. (Tempo asks only for recent data then,
    /// so that a trace vanishes from such a search once it is flushed.)
    pub default_range: Duration,
    /// The most recent time that searches leave out.
    pub end_cutoff: Duration,
    /// Limits by tenant.
    pub limits: LimitsOf,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            multitenancy: false,
            tenants: None,
            multi_tenant_queries: true,
            max_tenants: 100,
            max_query_bytes: 128 << 10,
            default_limit: 20,
            max_limit: 256 << 10,
            default_spans_per_span_set: 3,
            max_spans_per_span_set: 100,
            max_search_duration: Duration::from_secs(168 * 3600),
            default_range: Duration::from_secs(3600),
            end_cutoff: Duration::ZERO,
            limits: Arc::new(|_| QueryLimits::default()),
        }
    }
}

impl fmt::Debug for ApiOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiOptions")
            .field("prefix", &self.prefix)
            .field("multitenancy", &self.multitenancy)
            .finish_non_exhaustive()
    }
}

/// Query limits of one tenant (`overrides.read`, `overrides.global`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Largest trace, bytes of its protobuf form; 0 = no limit.
    pub max_bytes_per_trace: usize,
    /// Longest time range of a search; `None` or 0 = [`ApiOptions::max_search_duration`].
    pub max_search_duration: Option<Duration>,
    /// Bytes of names or values in one answer of a tag query; more are left out. 0 = no limit.
    pub max_bytes_per_tag_values_query: usize,
    /// Most blocks looked into by one query for tag values; 0 = no limit.
    pub max_blocks_per_tag_values_query: u32,
    /// Whether search shows trace ids with leading zeros, 32 digits.
    pub left_pad_trace_ids: bool,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            max_bytes_per_trace: 5_000_000,
            max_search_duration: None,
            max_bytes_per_tag_values_query: 1_000_000,
            max_blocks_per_tag_values_query: 0,
            left_pad_trace_ids: false,
        }
    }
}

/// How long queries may take, waiting for their turn included; then they end with 504.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryTimeouts {
    /// A trace by its id.
    pub trace_by_id: Duration,
    /// Everything else.
    pub search: Duration,
}

impl Default for QueryTimeouts {
    fn default() -> Self {
        Self { trace_by_id: Duration::from_secs(10), search: Duration::from_secs(30) }
    }
}

/// What `/api/status/buildinfo` tells.
#[derive(Clone, Debug)]
pub struct BuildInfo {
    /// Version. (Old Grafana switches features on by it; 2.7.0 and later have all.)
    pub version: String,
    /// Commit.
    pub revision: String,
}

impl Default for BuildInfo {
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), revision: String::new() }
    }
}

/// How a [`Querier`](crate::Querier) works.
#[derive(Clone, Debug)]
pub struct QuerierOptions {
    /// The API's rules.
    pub api: ApiOptions,
    /// Queries worked on at once.
    pub max_concurrent: usize,
    /// Queries that wait for their turn, which tenants take one after the other; one more is refused with 429.
    pub max_queued: usize,
    /// Deadlines.
    pub timeouts: QueryTimeouts,
    /// Ingesters that may fail or be [missing](Availability::Missing) without an answer being called partial: write
    /// quorum minus one, since then every acknowledged span is on one that answered.
    pub tolerated_recent_failures: usize,
    /// Fewest ingesters that must answer for an answer to be called complete: 1, or 0 for a querier
    /// that reads only blocks.
    pub min_recent_sources: usize,
    /// What sources answered, what is made of it and the body that is sent are reserved from this; a query
    /// that does not fit is refused with 429. By default everything fits.
    pub memory: MemoryBudget,
    /// What `/api/status/buildinfo` tells.
    pub build: BuildInfo,
}

impl Default for QuerierOptions {
    fn default() -> Self {
        Self {
            api: ApiOptions::default(),
            max_concurrent: 20,
            max_queued: 2000,
            timeouts: QueryTimeouts::default(),
            tolerated_recent_failures: 0,
            min_recent_sources: 1,
            memory: MemoryBudget::new(u64::MAX),
            build: BuildInfo::default(),
        }
    }
}

/// The base URLs (`http://host:port`, without a path) of the queriers known at the moment of the call.
pub type QuerierUrls = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// How a [`Frontend`](crate::Frontend) works.
#[derive(Clone, Debug)]
pub struct FrontendOptions {
    /// The API's rules.
    pub api: ApiOptions,
    /// Queries of one tenant at once; one more is refused with 429.
    pub max_outstanding_per_tenant: usize,
    /// How often a query is tried again, at another querier if there is one, after a 5xx or when the querier
    /// cannot be reached. Another is also asked, beside the first, when a try takes longer than the query's time
    /// divided by the tries.
    pub max_retries: usize,
    /// Deadlines, all tries included.
    pub timeouts: QueryTimeouts,
    /// How long a querier that could not be reached, or kept a query waiting, is passed over.
    pub unhealthy_for: Duration,
    /// What `/api/status/buildinfo` tells.
    pub build: BuildInfo,
}

impl Default for FrontendOptions {
    fn default() -> Self {
        Self {
            api: ApiOptions::default(),
            max_outstanding_per_tenant: 2000,
            max_retries: 2,
            timeouts: QueryTimeouts::default(),
            unhealthy_for: Duration::from_secs(5),
            build: BuildInfo::default(),
        }
    }
}
