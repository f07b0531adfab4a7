//! The HTTP API over sources that answer what a test tells them: the seam is [`TraceSource`].

mod blocks;
mod errors;
mod frontend;
mod partial;
mod shapes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use prost::Message as _;
use tempoform_core::{Error, ErrorKind, Result, TenantId, TraceSource};
use tempoform_wire::internal::{
    FindTraceRequest, FindTraceResponse, SearchRequest, SearchResponse, TagNamesRequest, TagNamesResponse,
    TagValuesRequest, TagValuesResponse,
};
use tempoform_wire::otlp::{
    AnyValue, KeyValue, Resource, ResourceSpans, ScopeSpans, Span, TracesData, any_value::Value,
};
use tower::ServiceExt as _;

use crate::{NamedSource, Querier, QuerierOptions, Sources};

/// A source with fixed answers that remembers what it was asked.
#[derive(Debug)]
struct Fake {
    trace: Result<FindTraceResponse>,
    search: Result<SearchResponse>,
    names: Result<TagNamesResponse>,
    values: Result<TagValuesResponse>,
    delay: Duration,
    traces_asked: Mutex<Vec<(String, FindTraceRequest)>>,
    searches_asked: Mutex<Vec<(String, SearchRequest)>>,
    values_asked: Mutex<Vec<TagValuesRequest>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            trace: Ok(FindTraceResponse::default()),
            search: Ok(SearchResponse::default()),
            names: Ok(TagNamesResponse::default()),
            values: Ok(TagValuesResponse::default()),
            delay: Duration::ZERO,
            traces_asked: Mutex::default(),
            searches_asked: Mutex::default(),
            values_asked: Mutex::default(),
        }
    }
}

impl Fake {
    fn failing(kind: ErrorKind) -> Self {
        let error = || Error::new(kind, "is on fire");
        Self {
            trace: Err(error()),
            search: Err(error()),
            names: Err(error()),
            values: Err(error()),
            ..Self::default()
        }
    }

    fn with_trace(spans: &[u8]) -> Self {
        let answer =
            FindTraceResponse { pieces: vec![trace(spans).encode_to_vec().into()], ..Default::default() };
        Self { trace: Ok(answer), ..Self::default() }
    }
}

#[async_trait::async_trait]
impl TraceSource for Fake {
    async fn find_trace(&self, tenant: &TenantId, request: FindTraceRequest) -> Result<FindTraceResponse> {
        self.traces_asked.lock().unwrap().push((tenant.to_string(), request));
        tokio::time::sleep(self.delay).await;
        self.trace.clone()
    }

    async fn search(&self, tenant: &TenantId, request: SearchRequest) -> Result<SearchResponse> {
        self.searches_asked.lock().unwrap().push((tenant.to_string(), request));
        tokio::time::sleep(self.delay).await;
        self.search.clone()
    }

    async fn tag_names(&self, _: &TenantId, _: TagNamesRequest) -> Result<TagNamesResponse> {
        self.names.clone()
    }

    async fn tag_values(&self, _: &TenantId, request: TagValuesRequest) -> Result<TagValuesResponse> {
        self.values_asked.lock().unwrap().push(request);
        self.values.clone()
    }
}

/// A trace with id 1 that has these spans, in one resource `service.name=web`, without scope and status.
fn trace(spans: &[u8]) -> TracesData {
    let span = |number: &u8| Span {
        trace_id: trace_id(1),
        span_id: vec![0, 0, 0, 0, 0, 0, 0, *number],
        name: format!("span {number}"),
        start_time_unix_nano: 1_700_000_000_000_000_000 + u64::from(*number),
        ..Span::default()
    };
    let service = KeyValue {
        key: "service.name".into(),
        value: Some(AnyValue { value: Some(Value::StringValue("web".into())) }),
    };
    TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: vec![service], ..Resource::default() }),
            scope_spans: vec![ScopeSpans {
                spans: spans.iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn trace_id(last: u8) -> Vec<u8> {
    let mut id = vec![0; 16];
    id[15] = last;
    id
}

fn sources(fakes: &[(&str, &Arc<Fake>)]) -> Sources {
    let named: Vec<_> = fakes
        .iter()
        .map(|(name, fake)| NamedSource::new(*name, Arc::clone(fake) as Arc<dyn TraceSource>))
        .collect();
    Arc::new(move || named.clone())
}

/// A querier over one ingester and one retriever.
fn querier(ingester: &Arc<Fake>, retriever: &Arc<Fake>, options: QuerierOptions) -> Router {
    Querier::new(sources(&[("ingester-0", ingester)]), sources(&[("retriever-0", retriever)]), options)
        .router()
}

/// A querier whose sources know nothing.
fn empty() -> Router {
    querier(&Arc::default(), &Arc::default(), QuerierOptions::default())
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.headers[CONTENT_TYPE], "application/json", "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get(router: &Router, uri: &str) -> Answer {
    send(router, Request::get(uri).body(Body::empty()).unwrap()).await
}

async fn get_protobuf<M: prost::Message + Default>(router: &Router, uri: &str) -> M {
    let request = Request::get(uri).header(ACCEPT, "application/protobuf").body(Body::empty()).unwrap();
    let answer = send(router, request).await;
    assert_eq!(answer.headers[CONTENT_TYPE], "application/protobuf");
    M::decode(answer.body.as_slice()).unwrap()
}
