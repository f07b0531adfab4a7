use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::HeaderMap;
use prost::Message as _;
use serde::Serialize;
use tempoform_core::{MemoryBudget, TenantId};
use tempoform_wire::otlp::ResourceSpans;
use tempoform_wire::tempopb::{
    PartialStatus, SearchTagValuesResponse, SearchTagValuesV2Response, SearchTagsResponse,
    SearchTagsV2Response, TraceByIdMetrics, TraceByIdResponse,
};
use tokio::time::Instant;
use tower_http::compression::CompressionLayer;

use crate::admission::Admission;
use crate::encode::{self, Encoder, Format};
use crate::endpoint::Endpoint;
use crate::fanout::Fanout;
use crate::gathered::Gathered;
use crate::json::NonFinite;
use crate::metrics::{self, RequestTimer};
use crate::request::{ApiRequest, Version};
use crate::search::Answer;
use crate::trace::Trace;
use crate::{ApiError, QuerierOptions, Sources, search, status, tags, tenants, trace};

/// Path under which frontends reach queriers.
pub(crate) const MIRROR: &str = "/querier";

/// Answers Tempo's query API from ingesters and retrievers.
pub struct Querier {
    fanout: Fanout,
    admission: Admission,
    options: QuerierOptions,
}

/// An endpoint's handler: which one, and whether for frontends.
#[derive(Clone, Copy)]
struct Handler {
    endpoint: Endpoint,
    mirror: bool,
}

impl Querier {
    /// A querier over `recent` (ingesters) and `blocks` (retrievers).
    pub fn new(recent: Sources, blocks: Sources, options: QuerierOptions) -> Arc<Self> {
        Arc::new(Self {
            fanout: Fanout::new(recent, blocks, &options),
            admission: Admission::new(options.max_concurrent, options.max_queued),
            options,
        })
    }

    /// The HTTP API: `/api/...`, and the same under `/querier/api/...` for frontends, each with
    /// [`prefix`](crate::ApiOptions::prefix) in front of `/api`.
    pub fn router(self: Arc<Self>) -> Router {
        let routes = |mirror| {
            Endpoint::routes(move |endpoint| {
                let handler = Handler { endpoint, mirror };
                any(
                    move |State(querier): State<Arc<Self>>, path: RawPathParams, request: Request| async move {
                        querier.serve(handler, path, request).await
                    },
                )
            })
        };
        let prefix = self.options.api.prefix.clone();
        let public = routes(false).merge(status::routes(&self.options.build));
        let router = nest(&prefix, public).merge(nest(&format!("{MIRROR}{prefix}"), routes(true)));
        router.layer(CompressionLayer::new()).with_state(self)
    }

    async fn serve(&self, handler: Handler, path: RawPathParams, request: Request) -> Response {
        let Handler { endpoint, mirror } = handler;
        let route =
            if mirror { format!("querier_{}", endpoint.route()) } else { endpoint.route().to_owned() };
        let mut timer = RequestTimer::start(request.method().clone(), route);
        let argument = path.iter().next().map(|(_, value)| value);
        let response = match self.prepare(endpoint, argument, &request) {
            Ok((tenants, api_request)) => {
                if !mirror {
                    timer.count_query(&tenants, endpoint.operation());
                }
                self.run(&tenants, endpoint, api_request, request.headers()).await
            }
            Err(error) => Err(error),
        };
        let response = response.unwrap_or_else(IntoResponse::into_response);
        timer.finish(response.status());
        response
    }

    fn prepare(
        &self,
        endpoint: Endpoint,
        argument: Option<&str>,
        request: &Request,
    ) -> Result<(Vec<TenantId>, ApiRequest), ApiError> {
        let argument = endpoint.argument(argument).ok_or(ApiError::NoSuchPage)?;
        let tenants = tenants::resolve(request.headers(), &self.options.api)?;
        let request = ApiRequest::parse(endpoint, argument, request.uri(), &tenants, &self.options.api)?;
        Ok((tenants, request))
    }

    /// Waits for its turn, which tenants take one after the other, and answers, both within the deadline.
    async fn run(
        &self,
        tenants: &[TenantId],
        endpoint: Endpoint,
        request: ApiRequest,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let timeout = endpoint.timeout(&self.options.timeouts);
        let deadline = Instant::now() + timeout;
        let answer = async {
            let together = tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join("|");
            let _admitted = self.admission.enter(&together).await.inspect_err(|_| {
                metrics::DISCARDED.with_label_values(&[metrics::tenant_label(tenants)]).inc();
            })?;
            self.answer(tenants, endpoint, request, Format::accepted(headers), deadline).await
        };
        tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(ApiError::deadline(timeout)))
    }

    async fn answer(
        &self,
        tenants: &[TenantId],
        endpoint: Endpoint,
        request: ApiRequest,
        format: Format,
        deadline: Instant,
    ) -> Result<Response, ApiError> {
        let (asking, api) = (self.fanout.until(deadline), &self.options.api);
        let encoder = Encoder { format, memory: &self.options.memory };
        let (mut response, rest) = match request {
            ApiRequest::Trace { version, request } => {
                let (trace, rest) = trace::find(asking, tenants, request, api).await?;
                match version {
                    Version::V1 => (trace_v1(trace, &rest, encoder).await?, rest),
                    Version::V2 => (trace_v2(trace, &rest, encoder).await?, rest),
                }
            }
            ApiRequest::Search(request) => {
                let (found, rest) = search::search(asking, tenants, request, api).await?;
                (encoder.encode(found, |found| NonFinite::of_search(&found.traces)).await?, rest)
            }
            ApiRequest::TagNames { version, request } => {
                tag_names(tags::names(asking, tenants, version, request, api).await?, version, encoder)
                    .await?
            }
            ApiRequest::TagValues { version, request } => {
                tag_values(tags::values(asking, tenants, version, request, api).await?, version, encoder)
                    .await?
            }
        };
        let account = rest.account.snapshot();
        metrics::bytes_inspected(tenants, endpoint.operation(), account.bytes + account.cache_bytes);
        encode::annotate(&mut response, &account, rest.missing().as_deref());
        Ok(response)
    }
}

fn nest<S: Clone + Send + Sync + 'static>(prefix: &str, router: Router<S>) -> Router<S> {
    if prefix.is_empty() { router } else { Router::new().nest(prefix, router) }
}

/// The first version: the bare trace, which cannot be told as partial in the body.
async fn trace_v1(trace: Trace, rest: &Gathered<()>, encoder: Encoder<'_>) -> Result<Response, ApiError> {
    /// `Trace` with the name that its one field has in this answer.
    #[derive(Serialize)]
    struct Batches<'a> {
        batches: &'a [ResourceSpans],
    }
    if let Some(max) = trace.over_limit {
        return Err(ApiError::TraceTooLarge { max });
    }
    if trace.is_empty() {
        return Err(match rest.missing() {
            None => ApiError::TraceNotFound,
            Some(missing) => ApiError::TraceNotFoundSoFar { missing },
        });
    }
    let (format, bytes) = (encoder.format, trace.data.encoded_len());
    let write = move |memory: &MemoryBudget| match format {
        Format::Protobuf => encode::protobuf(&trace.data, memory),
        Format::Json => {
            let batches = &trace.data.resource_spans;
            encode::json(&Batches { batches }, NonFinite::of_trace(batches), memory)
        }
    };
    encoder.write(bytes, write).await
}

async fn trace_v2(trace: Trace, rest: &Gathered<()>, encoder: Encoder<'_>) -> Result<Response, ApiError> {
    let account = rest.account.snapshot();
    let message = trace.partial(rest);
    let status = if message.is_some() { PartialStatus::Partial } else { PartialStatus::Complete };
    let response = TraceByIdResponse {
        trace: Some(trace.data),
        metrics: Some(TraceByIdMetrics { inspected_bytes: account.bytes + account.cache_bytes }),
        status: status.into(),
        message: message.unwrap_or_default(),
    };
    let non_finite = |response: &TraceByIdResponse| {
        response.trace.as_ref().map(|trace| NonFinite::of_trace(&trace.resource_spans)).unwrap_or_default()
    };
    encoder.encode(response, non_finite).await
}

async fn tag_names(
    (scopes, rest): Answer<Vec<tempoform_wire::tempopb::SearchTagsV2Scope>>,
    version: Version,
    encoder: Encoder<'_>,
) -> Result<(Response, Gathered<()>), ApiError> {
    let metrics = Some(tags::metrics(&rest));
    let response = match version {
        Version::V1 => {
            let mut tag_names: Vec<_> = scopes.into_iter().flat_map(|scope| scope.tags).collect();
            tag_names.sort_unstable();
            tag_names.dedup();
            encoder.encode(SearchTagsResponse { tag_names, metrics }, |_| NonFinite::default()).await?
        }
        Version::V2 => {
            encoder.encode(SearchTagsV2Response { scopes, metrics }, |_| NonFinite::default()).await?
        }
    };
    Ok((response, rest))
}

async fn tag_values(
    (tag_values, rest): Answer<Vec<tempoform_wire::tempopb::TagValue>>,
    version: Version,
    encoder: Encoder<'_>,
) -> Result<(Response, Gathered<()>), ApiError> {
    let metrics = Some(tags::metrics(&rest));
    let response = match version {
        Version::V1 => {
            let tag_values = tag_values.into_iter().map(|value| value.value).collect();
            encoder.encode(SearchTagValuesResponse { tag_values, metrics }, |_| NonFinite::default()).await?
        }
        Version::V2 => {
            encoder
                .encode(SearchTagValuesV2Response { tag_values, metrics }, |_| NonFinite::default())
                .await?
        }
    };
    Ok((response, rest))
}
