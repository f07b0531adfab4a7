//! A request of the query API, checked: what is not a right request never reaches a source.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;
use tempoform_core::{TenantId, TraceId};
use tempoform_traceql::{Query, tag_search_to_query};

use crate::endpoint::Endpoint;
use crate::params::{Params, TimeRange};
use crate::{ApiError, ApiOptions, logfmt};

/// What is asked.
#[derive(Debug)]
pub(crate) enum ApiRequest {
    Trace { version: Version, request: TraceRequest },
    Search(SearchRequest),
    TagNames { version: Version, request: TagNamesRequest },
    TagValues { version: Version, request: TagValuesRequest },
}

/// Of the endpoint: the first knows neither partial answers nor scopes nor types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// Which sources a trace by id asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    All,
    Ingesters,
    Blocks,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TraceRequest {
    pub(crate) id: TraceId,
    /// Unix seconds; 0 = no bound.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) mode: Mode,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SearchRequest {
    pub(crate) query: String,
    pub(crate) range: Option<TimeRange>,
    pub(crate) limit: u32,
    pub(crate) spans_per_span_set: u32,
    pub(crate) omit_span_sets: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TagNamesRequest {
    /// Empty = all.
    pub(crate) scope: String,
    pub(crate) query: String,
    pub(crate) range: Option<TimeRange>,
    /// Names a scope; 0 = no limit.
    pub(crate) limit: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TagValuesRequest {
    /// As it stands in the URL.
    pub(crate) tag: String,
    pub(crate) query: String,
    pub(crate) range: Option<TimeRange>,
    /// 0 = no limit.
    pub(crate) limit: u32,
}

/// Parameters that are not tags of the oldest kind of search.
const SEARCH_PARAMETERS: [&str; 11] = [
    "q",
    "tags",
    "minDuration",
    "maxDuration",
    "limit",
    "spss",
    "start",
    "end",
    "since",
    "skip_ast_transformations",
    "mode",
];

const SCOPES: [&str; 8] =
    ["none", "span", "resource", "event", "link", "instrumentation", "intrinsic", "trace"];

impl ApiRequest {
    /// Reads a request to `endpoint`; `argument` is the path's parameter.
    pub(crate) fn parse(
        endpoint: Endpoint,
        argument: &str,
        uri: &Uri,
        tenants: &[TenantId],
        options: &ApiOptions,
    ) -> Result<Self, ApiError> {
        let parser = Parser { params: Params::of(uri)?, tenants, options };
        Ok(match endpoint {
            Endpoint::Trace => Self::Trace { version: Version::V1, request: parser.trace(argument)? },
            Endpoint::TraceV2 => Self::Trace { version: Version::V2, request: parser.trace(argument)? },
            Endpoint::Search => Self::Search(parser.search()?),
            Endpoint::TagNames => Self::TagNames { version: Version::V1, request: parser.tag_names()? },
            Endpoint::TagNamesV2 => Self::TagNames { version: Version::V2, request: parser.tag_names()? },
            Endpoint::TagValues => {
                Self::TagValues { version: Version::V1, request: parser.tag_values(argument)? }
            }
            Endpoint::TagValuesV2 => {
                Self::TagValues { version: Version::V2, request: parser.tag_values(argument)? }
            }
            Endpoint::MetricsRange | Endpoint::MetricsInstant => return Err(ApiError::MetricsNotImplemented),
        })
    }
}

struct Parser<'a> {
    params: Params,
    tenants: &'a [TenantId],
    options: &'a ApiOptions,
}

impl Parser<'_> {
    fn trace(&self, id: &str) -> Result<TraceRequest, ApiError> {
        let (start, end) = self.params.bounds()?;
        let mode = match self.params.get("mode").unwrap_or("all") {
            "all" => Mode::All,
            "ingesters" => Mode::Ingesters,
            "blocks" => Mode::Blocks,
            other => {
                return Err(ApiError::invalid(format!(
                    "invalid mode {other:?}; right is all, ingesters or blocks"
                )));
            }
        };
        Ok(TraceRequest { id: id.parse()?, start, end, mode })
    }

    fn search(&self) -> Result<SearchRequest, ApiError> {
        let (query, omit_span_sets) = match (self.params.get("q"), self.tags()?) {
            (Some(_), Some(_)) => return Err(ApiError::invalid("q and tags exclude each other")),
            (Some(query), None) => (query.to_owned(), false),
            (None, tags) => (self.tag_query(&tags.unwrap_or_default())?, true),
        };
        self.check(&query)?;
        Ok(SearchRequest {
            query,
            range: self.range()?,
            limit: self.limit()?,
            spans_per_span_set: self.spans_per_span_set()?,
            omit_span_sets,
        })
    }

    /// Search from before TraceQL, as TraceQL.
    fn tag_query(&self, tags: &[(String, String)]) -> Result<String, ApiError> {
        let milliseconds =
            |bound: Duration| Duration::from_millis(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
        let bound = |name| Ok::<_, ApiError>(self.params.duration(name)?.map(milliseconds));
        // A Jaeger bridge sends both always; zero is its "none".
        let (shortest, longest) =
            (bound("minDuration")?, bound("maxDuration")?.filter(|longest| !longest.is_zero()));
        if let (Some(shortest), Some(longest)) = (shortest, longest)
            && longest < shortest
        {
            return Err(ApiError::invalid("invalid maxDuration: must be greater than minDuration"));
        }
        Ok(tag_search_to_query(tags, shortest.filter(|shortest| !shortest.is_zero()), longest).to_string())
    }

    /// The tags, and for the oldest kind of search all parameters that have no other meaning.
    fn tags(&self) -> Result<Option<Vec<(String, String)>>, ApiError> {
        if let Some(tags) = self.params.get("tags") {
            return Ok(Some(logfmt::parse(tags)?));
        }
        if ["q", "start", "end"].iter().any(|name| self.params.get(name).is_some()) {
            return Ok(None);
        }
        let tags: Vec<_> = self
            .params
            .pairs()
            .filter(|(name, _)| !SEARCH_PARAMETERS.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok((!tags.is_empty()).then_some(tags))
    }

    fn tag_names(&self) -> Result<TagNamesRequest, ApiError> {
        let scope = self.params.get("scope").unwrap_or_default();
        if !scope.is_empty() && !SCOPES.contains(&scope) {
            return Err(ApiError::invalid(format!(
                "unknown scope {scope:?}; known are {}",
                SCOPES.join(", ")
            )));
        }
        let scope = if scope == "none" { "" } else { scope };
        Ok(TagNamesRequest {
            scope: scope.to_owned(),
            query: self.filter()?,
            range: self.range()?,
            limit: self.tag_limit()?,
        })
    }

    fn tag_values(&self, tag: &str) -> Result<TagValuesRequest, ApiError> {
        Ok(TagValuesRequest {
            tag: tag.to_owned(),
            query: self.filter()?,
            range: self.range()?,
            limit: self.tag_limit()?,
        })
    }

    /// The filter of a tag query. It is half typed as a rule, so it is not refused for not being TraceQL.
    fn filter(&self) -> Result<String, ApiError> {
        let query = self.params.get("q").unwrap_or_default();
        self.check_size(query)?;
        Ok(query.to_owned())
    }

    fn tag_limit(&self) -> Result<u32, ApiError> {
        // Accepted for compatibility: reading stops by limit and size alone.
        self.params.number::<u32>("maxStaleValues")?;
        Ok(self.params.number("limit")?.unwrap_or(0))
    }

    fn check(&self, query: &str) -> Result<(), ApiError> {
        self.check_size(query)?;
        match Query::parse(query) {
            Ok(_) => Ok(()),
            Err(error) => Err(ApiError::invalid(format!("invalid TraceQL query: {error}"))),
        }
    }

    fn check_size(&self, query: &str) -> Result<(), ApiError> {
        let max = self.options.max_query_bytes;
        if max > 0 && query.len() > max {
            let size = query.len();
            return Err(ApiError::invalid(format!(
                "invalid TraceQL query: {size} bytes, the longest allowed has {max}"
            )));
        }
        Ok(())
    }

    fn range(&self) -> Result<Option<TimeRange>, ApiError> {
        let of_tenant = |tenant| (self.options.limits)(tenant).max_search_duration;
        let is_limit = |longest: &Duration| !longest.is_zero();
        let longest = self.tenants.iter().filter_map(of_tenant).filter(is_limit).min();
        let longest = longest.or(Some(self.options.max_search_duration)).filter(is_limit);
        let range = self.params.range(now(), longest.unwrap_or(Duration::MAX))?;
        Ok(self.before_cutoff(range, now()))
    }

    /// The range without the most recent time, if that is to be left out.
    fn before_cutoff(&self, range: Option<TimeRange>, now: u32) -> Option<TimeRange> {
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        let cutoff = seconds(self.options.end_cutoff);
        if cutoff == 0 {
            return range;
        }
        let last = now.saturating_sub(cutoff).max(1);
        let back = TimeRange { start: now.saturating_sub(seconds(self.options.default_range)), end: last };
        match range {
            Some(TimeRange { start, end }) if start < last => Some(TimeRange { start, end: end.min(last) }),
            _ => Some(back),
        }
    }

    fn limit(&self) -> Result<u32, ApiError> {
        let max = self.options.max_limit;
        match self.params.number("limit")? {
            None => Ok(self.options.default_limit),
            Some(0) => Err(ApiError::invalid("invalid limit: must be a positive number")),
            Some(limit) if max > 0 && limit > max => {
                Err(ApiError::invalid(format!("limit {limit} exceeds max limit {max}")))
            }
            Some(limit) => Ok(limit),
        }
    }

    fn spans_per_span_set(&self) -> Result<u32, ApiError> {
        let max = self.options.max_spans_per_span_set;
        match self.params.number("spss")? {
            None | Some(0) => Ok(self.options.default_spans_per_span_set),
            Some(spans) if max > 0 && spans > max => Err(ApiError::invalid(format!(
                "spans per span set exceeded: spss {spans}, the most allowed is {max}"
            ))),
            Some(spans) => Ok(spans),
        }
    }
}

/// Unix seconds.
pub(crate) fn now() -> u32 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX)
}
