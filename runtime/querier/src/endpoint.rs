//! The query endpoints: one list for the querier's routes, their mirror and the frontend's routes.

use std::time::Duration;

use axum::Router;
use axum::routing::MethodRouter;

use crate::QueryTimeouts;

/// A query endpoint of Tempo's HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Trace,
    TraceV2,
    Search,
    TagNames,
    TagNamesV2,
    TagValues,
    TagValuesV2,
    MetricsRange,
    MetricsInstant,
}

impl Endpoint {
    const ALL: [Self; 9] = [
        Self::Trace,
        Self::TraceV2,
        Self::Search,
        Self::TagNames,
        Self::TagNamesV2,
        Self::TagValues,
        Self::TagValuesV2,
        Self::MetricsRange,
        Self::MetricsInstant,
    ];

    /// Path with the router's parameter. (A tag may contain slashes, so `/values` is cut off by
    /// [`argument`](Self::argument).)
    fn path(self) -> &'static str {
        match self {
            Self::Trace => "/api/traces/{id}",
            Self::TraceV2 => "/api/v2/traces/{id}",
            Self::Search => "/api/search",
            Self::TagNames => "/api/search/tags",
            Self::TagNamesV2 => "/api/v2/search/tags",
            Self::TagValues => "/api/search/tag/{*tag}",
            Self::TagValuesV2 => "/api/v2/search/tag/{*tag}",
            Self::MetricsRange => "/api/metrics/query_range",
            Self::MetricsInstant => "/api/metrics/query",
        }
    }

    /// Label `route` of the request metrics: Tempo's names, which dashboards select.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::Trace => "api_traces_traceid",
            Self::TraceV2 => "api_v2_traces_traceid",
            Self::Search => "api_search",
            Self::TagNames => "api_search_tags",
            Self::TagNamesV2 => "api_v2_search_tags",
            Self::TagValues => "api_search_tag_tagname_values",
            Self::TagValuesV2 => "api_v2_search_tag_tagname_values",
            Self::MetricsRange => "api_metrics_query_range",
            Self::MetricsInstant => "api_metrics_query",
        }
    }

    /// How long an answer may take.
    pub(crate) fn timeout(self, timeouts: &QueryTimeouts) -> Duration {
        match self {
            Self::Trace | Self::TraceV2 => timeouts.trace_by_id,
            _ => timeouts.search,
        }
    }

    /// Label `op` of the query counter.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Trace | Self::TraceV2 => "traces",
            Self::Search => "search",
            Self::TagNames | Self::TagNamesV2 | Self::TagValues | Self::TagValuesV2 => "metadata",
            Self::MetricsRange | Self::MetricsInstant => "metrics",
        }
    }

    /// The path's parameter as the query takes it, from what the router matched; `None` = no such page.
    pub(crate) fn argument(self, matched: Option<&str>) -> Option<&str> {
        match self {
            Self::TagValues | Self::TagValuesV2 => {
                matched?.strip_suffix("/values").filter(|tag| !tag.is_empty())
            }
            Self::Trace | Self::TraceV2 => matched,
            _ => Some(""),
        }
    }

    /// A router with a route for each endpoint.
    pub(crate) fn routes<S>(route: impl Fn(Self) -> MethodRouter<S>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        Self::ALL
            .into_iter()
            .fold(Router::new(), |router, endpoint| router.route(endpoint.path(), route(endpoint)))
    }
}
