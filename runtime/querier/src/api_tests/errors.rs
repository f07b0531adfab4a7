//! The codes and texts of everything that is refused.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use tempoform_core::{MemoryBudget, TENANT_HEADER};

use super::*;
use crate::{ApiOptions, QueryLimits, QueryTimeouts};

async fn assert_refused(router: &Router, uri: &str, status: u16, text: &str) {
    let answer = get(router, uri).await;
    assert_eq!(answer.status, status, "{uri}: {}", answer.text());
    assert!(answer.text().contains(text), "{uri}: {}", answer.text());
    assert!(answer.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"), "{uri}");
}

#[tokio::test]
async fn wrong_parameters_are_400_and_reach_no_source() {
    let (ingester, retriever) = (Arc::default(), Arc::default());
    let api = ApiOptions { max_query_bytes: 100, ..ApiOptions::default() };
    let router = querier(&ingester, &retriever, QuerierOptions { api, ..QuerierOptions::default() });
    let long = format!("/api/search?q={}", "a".repeat(101));
    for (uri, text) in [
        ("/api/traces/xyz", "trace IDs can only contain hex characters"),
        ("/api/v2/traces/123456789012345678901234567890123", "larger than 128 bits"),
        ("/api/traces/1?start=5&end=5", "start must be before end"),
        ("/api/traces/1?mode=sideways", "invalid mode"),
        ("/api/search?q=%7B%20.a%20%3D%3D%201%20%7D", "invalid TraceQL query"),
        (&long, "invalid TraceQL query: 101 bytes"),
        ("/api/search?q=%7B%7D&tags=a%3Db", "exclude each other"),
        ("/api/search?tags=a%3Db%20a%3Dc", "stands twice"),
        ("/api/search?q=%7B%7D&limit=0", "invalid limit"),
        ("/api/search?q=%7B%7D&limit=many", "invalid limit"),
        ("/api/search?q=%7B%7D&limit=262145", "exceeds max limit 262144"),
        ("/api/search?q=%7B%7D&spss=101", "spans per span set"),
        ("/api/search?q=%7B%7D&start=1700000000", "both start and end"),
        ("/api/search?q=%7B%7D&start=9&end=8", "start must be before end"),
        ("/api/search?q=%7B%7D&start=1&end=604802", "range specified by start and end exceeds"),
        ("/api/search?minDuration=2s&maxDuration=1s", "invalid maxDuration"),
        ("/api/search?tags=a%3Db&minDuration=2days", "invalid minDuration"),
        ("/api/search/tags?scope=galaxy", "unknown scope"),
        ("/api/v2/search/tags?start=2&end=1", "start must be before end"),
        ("/api/v2/search/tag/foo%20bar/values", "invalid tag"),
    ] {
        assert_refused(&router, uri, 400, text).await;
    }
    assert!(ingester.traces_asked.lock().unwrap().is_empty());
    assert!(
        ingester.searches_asked.lock().unwrap().is_empty()
            && retriever.searches_asked.lock().unwrap().is_empty()
    );
}

#[tokio::test]
async fn zero_is_no_limit() {
    let limits = QueryLimits { max_search_duration: Some(Duration::ZERO), ..QueryLimits::default() };
    let api = ApiOptions {
        max_query_bytes: 0,
        max_limit: 0,
        max_search_duration: Duration::ZERO,
        limits: Arc::new(move |_| limits.clone()),
        ..ApiOptions::default()
    };
    let options = QuerierOptions { api, ..QuerierOptions::default() };
    let router = querier(&Arc::default(), &Arc::default(), options);
    let answer = get(&router, "/api/search?q=%7B%7D&limit=1000000&start=1&end=1700000000").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_query_that_does_not_fit_into_memory_is_429_and_gives_everything_back() {
    let spans: Vec<u8> = (1..=100).collect();
    let ingester = Arc::new(Fake::with_trace(&spans));
    let bytes = trace(&spans).encoded_len() as u64;
    // Less than the pieces; less than the decoded trace; enough.
    for (room, status) in [(bytes / 2, 429), (bytes * 3, 429), (bytes * 20, 200)] {
        let memory = MemoryBudget::new(room);
        let options = QuerierOptions { memory: memory.clone(), ..QuerierOptions::default() };
        let answer = get(&querier(&ingester, &Arc::default(), options), "/api/v2/traces/1").await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.text().contains("memory ceiling reached"), status == 429, "{}", answer.text());
        assert_eq!(memory.used(), 0);
    }
}

#[tokio::test]
async fn what_is_not_there() {
    assert_refused(&empty(), "/api/search/tag/foo", 404, "no such page").await;
    assert_eq!(get(&empty(), "/api/nothing").await.status, 404);
    assert_refused(&empty(), "/api/metrics/query_range?q=x", 501, "not implemented").await;
}

#[tokio::test]
async fn tenants() {
    let (ingester, retriever): (Arc<Fake>, Arc<Fake>) = Default::default();
    let api = ApiOptions { multitenancy: true, ..ApiOptions::default() };
    let router = querier(&ingester, &retriever, QuerierOptions { api, ..QuerierOptions::default() });
    let as_tenant = |tenant: &'static str| {
        Request::get("/api/search?q=%7B%7D").header(TENANT_HEADER, tenant).body(Body::empty()).unwrap()
    };

    let answer = get(&router, "/api/search?q=%7B%7D").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (401, "no org id"));
    assert_eq!(send(&router, as_tenant("a/b")).await.status, 400);
    assert_eq!(get(&router, "/api/echo").await.status, 200);

    assert_eq!(send(&router, as_tenant("b|a|b")).await.status, 200);
    let mut asked: Vec<_> =
        ingester.searches_asked.lock().unwrap().iter().map(|(tenant, _)| tenant.clone()).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["a", "b"]);

    let api = ApiOptions { multitenancy: true, multi_tenant_queries: false, ..ApiOptions::default() };
    let router = querier(&ingester, &retriever, QuerierOptions { api, ..QuerierOptions::default() });
    assert_eq!(send(&router, as_tenant("a|b")).await.status, 400);
}

#[tokio::test]
async fn a_trace_over_its_limit() {
    let spans: Vec<u8> = (1..=100).collect();
    let ingester = Arc::new(Fake::with_trace(&spans));
    let limits = QueryLimits { max_bytes_per_trace: 1000, ..QueryLimits::default() };
    let api = ApiOptions { limits: Arc::new(move |_| limits.clone()), ..ApiOptions::default() };
    let router = querier(&ingester, &Arc::default(), QuerierOptions { api, ..QuerierOptions::default() });

    assert_refused(&router, "/api/traces/1", 422, "trace exceeds max size (max bytes: 1000)").await;
    let answer = get(&router, "/api/v2/traces/1").await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(json["status"], "PARTIAL");
    assert!(json["message"].as_str().unwrap().contains("maximum size of 1000 bytes"), "{json}");
    let spans = json["trace"]["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len();
    assert!((1..100).contains(&spans), "{spans}");
}

#[tokio::test]
async fn a_query_that_waits_for_its_turn_too_long_is_504() {
    let slow = Arc::new(Fake { delay: Duration::from_secs(3600), ..Fake::default() });
    let timeouts =
        QueryTimeouts { trace_by_id: Duration::from_millis(50), search: Duration::from_secs(3600) };
    let options = QuerierOptions { max_concurrent: 1, timeouts, ..QuerierOptions::default() };
    let router = querier(&slow, &slow, options);
    let search = tokio::spawn({
        let router = router.clone();
        async move { get(&router, "/api/search?q=%7B%7D").await.status }
    });
    while slow.searches_asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_refused(&router, "/api/traces/1", 504, "longer than 0.05 s").await;
    search.abort();
}

#[tokio::test]
async fn a_source_that_hangs_leaves_time_for_the_others() {
    let hung = Arc::new(Fake { delay: Duration::from_secs(3600), ..Fake::default() });
    let found = Arc::new(Fake::with_trace(&[1]));
    let timeouts = QueryTimeouts { trace_by_id: Duration::from_secs(4), ..QueryTimeouts::default() };
    let options = QuerierOptions { timeouts, ..QuerierOptions::default() };
    for router in [querier(&hung, &found, options.clone()), querier(&found, &hung, options)] {
        let answer = get(&router, "/api/traces/1").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let missing = answer.headers["x-tempoform-partial"].to_str().unwrap();
        assert!(missing.contains("-0: no answer within"), "{missing}");
    }
}

#[tokio::test]
async fn a_full_queue_is_429() {
    let slow = Arc::new(Fake { delay: Duration::from_millis(100), ..Fake::default() });
    let options = QuerierOptions { max_concurrent: 1, max_queued: 1, ..QuerierOptions::default() };
    let router = querier(&slow, &slow, options);
    let uri = "/api/search?q=%7B%7D";
    let (first, second, third) = tokio::join!(get(&router, uri), get(&router, uri), get(&router, uri));
    let mut codes = [first.status.as_u16(), second.status.as_u16(), third.status.as_u16()];
    codes.sort_unstable();
    assert_eq!(codes, [200, 200, 429]);
    assert_eq!(get(&router, uri).await.status, 200);
}

#[tokio::test]
async fn a_source_that_calls_the_query_wrong_or_is_full() {
    let full = Fake::failing(ErrorKind::Exhausted);
    let error =
        Error::new(ErrorKind::Exhausted, "memory ceiling reached").retry_after(Duration::from_secs(7));
    let (full, wrong) =
        (Arc::new(Fake { search: Err(error), ..full }), Arc::new(Fake::failing(ErrorKind::Invalid)));
    let uri = "/api/search?q=%7B%7D";
    assert_refused(&querier(&full, &full, QuerierOptions::default()), uri, 429, "memory ceiling reached")
        .await;
    assert_refused(&querier(&wrong, &full, QuerierOptions::default()), uri, 400, "on fire").await;
    let answer = get(&querier(&full, &full, QuerierOptions::default()), uri).await;
    assert!(!answer.headers.contains_key(RETRY_AFTER), "a merged error has no single hint");
}
