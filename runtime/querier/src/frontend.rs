use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use tempoform_core::{Error, ErrorKind, Result, TENANT_HEADER, TenantId};

use crate::admission::{TenantPlace, TenantQueues};
use crate::encode::PARTIAL_HEADER;
use crate::endpoint::Endpoint;
use crate::metrics::{self, RequestTimer};
use crate::querier::MIRROR;
use crate::request::ApiRequest;
use crate::staggered::{Try, staggered};
use crate::{ApiError, FrontendOptions, QuerierUrls, status, tenants};

/// Request headers that a querier acts on, or that traces the request through us.
const FORWARDED: [HeaderName; 6] = [
    ACCEPT,
    ACCEPT_ENCODING,
    AUTHORIZATION,
    HeaderName::from_static(TENANT_HEADER),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Queriers are near: one that takes no connection for so long is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes queries, refuses wrong ones at once, and forwards the others to a healthy querier.
///
/// A querier that fails or cannot be reached is passed over and the query tried at another. One that takes more
/// than its part of the query's time keeps the query, but another is asked as well, and the first answer counts.
/// What the querier answers is streamed through as it is, its error codes and headers included.
pub struct Frontend {
    queriers: QuerierUrls,
    client: reqwest::Client,
    queues: TenantQueues,
    health: Health,
    options: FrontendOptions,
}

impl Frontend {
    /// A frontend of `queriers`, called with `tls` where their URLs are `https`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(
        queriers: QuerierUrls,
        tls: Option<rustls::ClientConfig>,
        options: FrontendOptions,
    ) -> Result<Arc<Self>> {
        let client = match tls {
            Some(tls) => reqwest::Client::builder().tls_backend_preconfigured(tls),
            None => reqwest::Client::builder(),
        };
        let client = client.connect_timeout(CONNECT_TIMEOUT).build().map_err(|error| {
            Error::new(ErrorKind::Internal, format!("could not make an HTTP client: {error}"))
        })?;
        Ok(Arc::new(Self {
            queriers,
            client,
            queues: TenantQueues::new(options.max_outstanding_per_tenant),
            health: Health::new(options.unhealthy_for),
            options,
        }))
    }

    /// The public HTTP API, with [`prefix`](crate::ApiOptions::prefix) in front of `/api`.
    pub fn router(self: Arc<Self>) -> Router {
        let routes = Endpoint::routes(|endpoint| {
            any(move |State(frontend): State<Arc<Self>>, path: RawPathParams, request: Request| async move {
                frontend.serve(endpoint, path, request).await
            })
        })
        .merge(status::routes(&self.options.build));
        let prefix = &self.options.api.prefix;
        let router = if prefix.is_empty() { routes } else { Router::new().nest(prefix, routes) };
        router.with_state(self)
    }

    async fn serve(&self, endpoint: Endpoint, path: RawPathParams, request: Request) -> Response {
        let mut timer = RequestTimer::start(request.method().clone(), endpoint.route().to_owned());
        let argument = path.iter().next().map(|(_, value)| value);
        let response = match self.check(endpoint, argument, &request) {
            Ok(tenants) => {
                timer.count_query(&tenants, endpoint.operation());
                let timeout = endpoint.timeout(&self.options.timeouts);
                self.run(&tenants, request.uri(), request.headers(), timeout).await
            }
            Err(error) => Err(error),
        };
        let response = response.unwrap_or_else(IntoResponse::into_response);
        timer.finish(response.status());
        response
    }

    fn check(
        &self,
        endpoint: Endpoint,
        argument: Option<&str>,
        request: &Request,
    ) -> Result<Vec<TenantId>, ApiError> {
        let argument = endpoint.argument(argument).ok_or(ApiError::NoSuchPage)?;
        let tenants = tenants::resolve(request.headers(), &self.options.api)?;
        ApiRequest::parse(endpoint, argument, request.uri(), &tenants, &self.options.api)?;
        Ok(tenants)
    }

    async fn run(
        &self,
        tenants: &[TenantId],
        uri: &Uri,
        headers: &HeaderMap,
        timeout: Duration,
    ) -> Result<Response, ApiError> {
        let _places = self.enter(tenants)?;
        let answer = self.forward(uri, headers, timeout);
        tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| Err(ApiError::deadline(timeout)))
    }

    /// A place in the queue of each tenant.
    fn enter(&self, tenants: &[TenantId]) -> Result<Vec<TenantPlace>, ApiError> {
        let count = || metrics::DISCARDED.with_label_values(&[metrics::tenant_label(tenants)]).inc();
        let enter = |tenant| self.queues.enter(tenant).inspect_err(|_| count());
        Ok(tenants.iter().map(enter).collect::<Result<_, _>>()?)
    }

    /// Asks a querier, and another when it fails or takes its time.
    async fn forward(&self, uri: &Uri, headers: &HeaderMap, timeout: Duration) -> Result<Response, ApiError> {
        let path = uri.path_and_query().map_or(uri.path(), |path| path.as_str());
        let headers = forwarded(headers);
        let queriers = self.health.order((self.queriers)());
        let tries = self.options.max_retries.saturating_add(1);
        let patience = timeout / u32::try_from(tries).unwrap_or(u32::MAX);
        let tries = if queriers.is_empty() { 0 } else { tries };
        let asked = (0..tries).map(|attempt| {
            if attempt > 0 {
                metrics::RETRIES.inc();
            }
            self.ask(&queriers[attempt % queriers.len()], path, headers.clone(), patience)
        });
        let answer = staggered(asked, patience, queriers.len()).await.unwrap_or_else(|failed| {
            // What a querier said tells more than that another one could not be reached.
            let telling = failed.into_iter().reduce(|kept, next| if next.is_ok() { next } else { kept });
            telling.unwrap_or_else(|| {
                Err(Error::new(ErrorKind::Unavailable, "no querier is known; is one running?"))
            })
        });
        Ok(passed_on(answer?))
    }

    async fn ask(
        &self,
        querier: &str,
        path: &str,
        headers: HeaderMap,
        patience: Duration,
    ) -> Try<Result<reqwest::Response>> {
        let url = format!("{querier}{MIRROR}{}{path}", self.options.api.prefix);
        let mut answer = pin!(self.client.get(url).headers(headers).send());
        let answer = match tokio::time::timeout(patience, &mut answer).await {
            Ok(answer) => answer,
            Err(_) => {
                // It may be at work on a long query, or hang: other queries better go elsewhere first.
                tracing::warn!(querier, path, "a querier has not answered for {patience:?}");
                self.health.failed(querier);
                answer.await
            }
        };
        match answer {
            Ok(response) if worth_a_retry(&response) => {
                tracing::warn!(querier, status = %response.status(), path, "a querier failed");
                Try::Failed(Ok(response))
            }
            Ok(response) => Try::Final(Ok(response)),
            Err(error) => {
                tracing::warn!(querier, %error, path, "a querier could not be reached");
                self.health.failed(querier);
                let message = format!("querier {querier} could not be reached: {error}");
                Try::Failed(Err(Error::new(ErrorKind::Unavailable, message)))
            }
        }
    }
}

/// Whether another querier, or the same one a moment later, may do better. Not after a timeout:
/// its time is the query's time. Nor when sources were away: all queriers have the same.
fn worth_a_retry(response: &reqwest::Response) -> bool {
    let failed = matches!(
        response.status(),
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
    );
    failed && !response.headers().contains_key(PARTIAL_HEADER)
}

fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut forwarded = HeaderMap::new();
    for name in FORWARDED {
        for value in headers.get_all(&name) {
            forwarded.append(name.clone(), value.clone());
        }
    }
    forwarded
}

/// The querier's answer, its body not read but streamed.
fn passed_on(response: reqwest::Response) -> Response {
    let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    // These are about the connection to the querier, not about ours.
    parts.headers.remove(CONNECTION);
    parts.headers.remove(TRANSFER_ENCODING);
    parts.version = http::Version::default();
    Response::from_parts(parts, Body::new(body))
}

/// Which queriers could not be reached lately or kept queries waiting, and whose turn it is.
#[derive(Debug)]
struct Health {
    unreachable: Mutex<HashMap<String, Instant>>,
    passed_over_for: Duration,
    turn: AtomicUsize,
}

impl Health {
    fn new(passed_over_for: Duration) -> Self {
        Self { unreachable: Mutex::default(), passed_over_for, turn: AtomicUsize::new(0) }
    }

    fn failed(&self, querier: &str) {
        let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        unreachable.insert(querier.to_owned(), Instant::now());
    }

    /// The queriers in turn, those that could be reached first.
    fn order(&self, mut queriers: Vec<String>) -> Vec<String> {
        if queriers.is_empty() {
            return queriers;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % queriers.len();
        queriers.rotate_left(turn);
        let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        unreachable.retain(|_, since| since.elapsed() < self.passed_over_for);
        queriers.sort_by_key(|querier| unreachable.contains_key(querier));
        queriers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(health: &Health) -> Vec<String> {
        health.order(vec!["a".into(), "b".into(), "c".into()])
    }

    #[test]
    fn in_turn_and_the_unreachable_last() {
        let health = Health::new(Duration::from_secs(3600));
        assert_eq!(order(&health), ["a", "b", "c"]);
        assert_eq!(order(&health), ["b", "c", "a"]);
        health.failed("c");
        assert_eq!(order(&health), ["a", "b", "c"]);
        assert_eq!(order(&health), ["a", "b", "c"]);
        assert_eq!(order(&health), ["b", "a", "c"]);
        assert!(health.order(Vec::new()).is_empty());
    }

    #[test]
    fn an_unreachable_querier_gets_another_chance() {
        let health = Health::new(Duration::ZERO);
        health.failed("a");
        assert_eq!(order(&health), ["a", "b", "c"]);
        assert!(health.unreachable.lock().unwrap().is_empty());
    }
}
