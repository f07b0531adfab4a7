//! The frontend before real queriers on real sockets.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::IntoResponse as _;
use axum::routing::any;
use tempoform_core::TENANT_HEADER;
use tokio::net::TcpListener;

use super::*;
use crate::{ApiOptions, Frontend, FrontendOptions, QueryTimeouts};

/// Serves `router` and gives its base URL.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A base URL at which nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn frontend(queriers: &[&String], options: FrontendOptions) -> Router {
    let queriers: Vec<String> = queriers.iter().map(|url| (*url).clone()).collect();
    Frontend::new(Arc::new(move || queriers.clone()), None, options).expect("a client").router()
}

/// A querier that counts its requests and answers `status`.
async fn answering(status: StatusCode) -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let router = Router::new().fallback(any(move || async move {
        counted.fetch_add(1, Ordering::Relaxed);
        (status, "as told").into_response()
    }));
    (serve(router).await, count)
}

#[tokio::test]
async fn answers_pass_through_as_they_are() {
    let account = tempoform_wire::internal::ReadAccount { requests: 9, ..Default::default() };
    let mut fake = Fake::with_trace(&[1]);
    fake.trace.as_mut().unwrap().account = Some(account);
    let router = querier(&Arc::new(fake), &Arc::default(), QuerierOptions::default());
    let url = serve(router.clone()).await;
    let frontend = frontend(&[&url], FrontendOptions::default());

    let answer = get(&frontend, "/api/v2/traces/1").await;
    assert_eq!(answer.json(), get(&router, "/api/v2/traces/1").await.json());
    assert!(answer.headers["x-tempoform-object-store"].to_str().unwrap().starts_with("requests=9"));
    let protobuf: TracesData = get_protobuf(&frontend, "/api/traces/1").await;
    assert_eq!(protobuf.resource_spans[0].scope_spans[0].spans.len(), 1);
    assert_eq!(get(&frontend, "/api/echo").await.text(), "echo\n");
    assert_eq!(get(&frontend, "/api/v2/search/tag/span.a%2Fb/values").await.status, 200);
}

#[tokio::test]
async fn wrong_requests_reach_no_querier() {
    let (url, count) = answering(StatusCode::OK).await;
    let api = ApiOptions { multitenancy: true, ..ApiOptions::default() };
    let frontend = frontend(&[&url], FrontendOptions { api, ..FrontendOptions::default() });
    assert_eq!(get(&frontend, "/api/traces/1").await.status, 401);
    let request = |uri| Request::get(uri).header(TENANT_HEADER, "a").body(Body::empty()).unwrap();
    assert_eq!(send(&frontend, request("/api/traces/x")).await.status, 400);
    assert_eq!(send(&frontend, request("/api/search?q=%7B")).await.status, 400);
    assert_eq!(count.load(Ordering::Relaxed), 0);
    assert_eq!(send(&frontend, request("/api/traces/1")).await.status, 200);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_tenant_travels_along() {
    let (ingester, retriever): (Arc<Fake>, Arc<Fake>) = Default::default();
    let api = ApiOptions { multitenancy: true, ..ApiOptions::default() };
    let options = QuerierOptions { api: api.clone(), ..QuerierOptions::default() };
    let url = serve(querier(&ingester, &retriever, options)).await;
    let frontend = frontend(&[&url], FrontendOptions { api, ..FrontendOptions::default() });
    let request = Request::get("/api/traces/1").header(TENANT_HEADER, "team").body(Body::empty()).unwrap();
    assert_eq!(send(&frontend, request).await.status, 404);
    assert_eq!(ingester.traces_asked.lock().unwrap()[0].0, "team");
}

#[tokio::test]
async fn a_failure_is_tried_again_elsewhere() {
    let (good, _) = answering(StatusCode::OK).await;
    let (bad, tries) = answering(StatusCode::SERVICE_UNAVAILABLE).await;
    let dead = nobody().await;
    let router = frontend(&[&dead, &bad, &good], FrontendOptions::default());
    for _ in 0..6 {
        assert_eq!(get(&router, "/api/traces/1").await.status, 200);
    }
    assert!(tries.load(Ordering::Relaxed) > 0);

    let (bad, tries) = answering(StatusCode::SERVICE_UNAVAILABLE).await;
    let answer = get(&frontend(&[&bad], FrontendOptions::default()), "/api/traces/1").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "as told"));
    assert_eq!(tries.load(Ordering::Relaxed), 3, "once and two retries");
}

#[tokio::test]
async fn an_answer_that_is_no_failure_is_not_tried_again() {
    for status in [StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::TOO_MANY_REQUESTS] {
        let (url, tries) = answering(status).await;
        assert_eq!(get(&frontend(&[&url], FrontendOptions::default()), "/api/traces/1").await.status, status);
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_gap_in_what_could_be_read_is_not_tried_again() {
    let away = Arc::new(Fake::failing(ErrorKind::Unavailable));
    let url = serve(querier(&away, &Arc::default(), QuerierOptions::default())).await;
    let answer = get(&frontend(&[&url], FrontendOptions::default()), "/api/traces/1").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("not everything could be read"), "{}", answer.text());
    assert_eq!(answer.headers["x-tempoform-partial"], "ingester-0: is on fire");
    assert_eq!(away.traces_asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_querier_that_never_answers_costs_a_part_of_the_time() {
    // Its connections are taken by the kernel, and then nothing happens.
    let black_hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", black_hole.local_addr().unwrap());
    let (good, count) = answering(StatusCode::OK).await;
    let timeouts = QueryTimeouts { trace_by_id: Duration::from_secs(3), ..QueryTimeouts::default() };
    let options = FrontendOptions { timeouts, ..FrontendOptions::default() };
    let router = frontend(&[&url, &good], options);
    let started = std::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(get(&router, "/api/traces/1").await.status, 200);
    }
    assert_eq!(count.load(Ordering::Relaxed), 4);
    assert!(started.elapsed() < Duration::from_millis(2500), "one wait only, then it is passed over");
}

#[tokio::test]
async fn a_slow_querier_keeps_its_query() {
    let slow = Router::new().fallback(any(|| async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        "slow"
    }));
    let (a, b) = (serve(slow.clone()).await, serve(slow).await);
    let timeouts = QueryTimeouts { trace_by_id: Duration::from_millis(1500), ..QueryTimeouts::default() };
    let router = frontend(&[&a, &b], FrontendOptions { timeouts, ..FrontendOptions::default() });
    assert_eq!(get(&router, "/api/traces/1").await.text(), "slow");
}

#[tokio::test]
async fn without_queriers() {
    let answer = get(&frontend(&[], FrontendOptions::default()), "/api/traces/1").await;
    assert!(answer.status == 503 && answer.text().contains("no querier is known"), "{}", answer.text());
    let dead = nobody().await;
    let answer = get(&frontend(&[&dead], FrontendOptions::default()), "/api/traces/1").await;
    assert!(answer.status == 503 && answer.text().contains(&dead), "{}", answer.text());
}

#[tokio::test]
async fn queues_and_deadlines() {
    let slow = Router::new().fallback(any(|| async {
        tokio::time::sleep(Duration::from_millis(600)).await;
    }));
    let url = serve(slow).await;
    let options = FrontendOptions { max_outstanding_per_tenant: 1, ..FrontendOptions::default() };
    let router = frontend(&[&url], options);
    let (first, second) = tokio::join!(get(&router, "/api/traces/1"), get(&router, "/api/traces/1"));
    let mut codes = [first.status.as_u16(), second.status.as_u16()];
    codes.sort_unstable();
    assert_eq!(codes, [200, 429]);

    let short = QueryTimeouts { trace_by_id: Duration::from_millis(50), ..QueryTimeouts::default() };
    let options = FrontendOptions { timeouts: short, ..FrontendOptions::default() };
    assert_eq!(get(&frontend(&[&url], options), "/api/traces/1").await.status, 504);
}
