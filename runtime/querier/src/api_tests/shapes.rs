//! The form of answers: what Tempo's clients, Grafana first, rely on.

use flate2::read::GzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use serde_json::json;
use tempoform_wire::internal::{ReadAccount, RequestsByKind};
use tempoform_wire::tempopb::{
    SearchTagsV2Response, SearchTagsV2Scope, SpanSet, TagValue, TraceByIdResponse, TraceSearchMetadata,
};

use super::*;

#[tokio::test]
async fn echo_and_buildinfo() {
    let answer = get(&empty(), "/api/echo").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "echo\n"));
    let info = get(&empty(), "/api/status/buildinfo").await.json();
    for key in ["version", "revision", "branch", "buildDate", "buildUser", "goVersion"] {
        assert!(info[key].is_string(), "{info}");
    }
}

#[tokio::test]
async fn a_trace_in_all_forms() {
    let router = querier(&Arc::new(Fake::with_trace(&[1])), &Arc::default(), QuerierOptions::default());
    let resource_spans = json!([{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]},
        "scopeSpans": [{"scope": {}, "spans": [{
            "traceId": "AAAAAAAAAAAAAAAAAAAAAQ==",
            "spanId": "AAAAAAAAAAE=",
            "name": "span 1",
            "startTimeUnixNano": "1700000000000000001",
            "status": {},
        }]}],
    }]);
    for id in ["1", "01", "00000000000000000000000000000001"] {
        let v1 = get(&router, &format!("/api/traces/{id}")).await.json();
        assert_eq!(v1, json!({"batches": resource_spans}));
        let v2 = get(&router, &format!("/api/v2/traces/{id}")).await.json();
        assert_eq!(v2, json!({"trace": {"resourceSpans": resource_spans}, "metrics": {}}));
    }
    let v1: TracesData = get_protobuf(&router, "/api/traces/1").await;
    let v2: TraceByIdResponse = get_protobuf(&router, "/api/v2/traces/1").await;
    assert_eq!(v2.trace, Some(v1.clone()));
    let scope_spans = &v1.resource_spans[0].scope_spans[0];
    assert!(
        scope_spans.scope.is_some() && scope_spans.spans[0].status.is_some(),
        "Grafana reads them unasked"
    );
}

#[tokio::test]
async fn an_empty_trace_is_present_on_the_wire() {
    let v2: TraceByIdResponse = get_protobuf(&empty(), "/api/v2/traces/1").await;
    assert_eq!(v2.trace, Some(TracesData::default()));
    let json = get(&empty(), "/api/v2/traces/1").await.json();
    assert_eq!(json, json!({"trace": {}, "metrics": {}}));
}

#[tokio::test]
async fn prefix_mirror_and_any_method() {
    let api = crate::ApiOptions { prefix: "/tempo".into(), ..Default::default() };
    let options = QuerierOptions { api, ..QuerierOptions::default() };
    let router = querier(&Arc::new(Fake::with_trace(&[1])), &Arc::default(), options);
    assert_eq!(get(&router, "/tempo/api/traces/1").await.status, 200);
    assert_eq!(get(&router, "/querier/tempo/api/traces/1").await.status, 200);
    assert_eq!(get(&router, "/tempo/api/echo").await.status, 200);
    assert_eq!(get(&router, "/api/traces/1").await.status, 404);
    let post = Request::post("/tempo/api/search?q=%7B%7D").body(Body::from("limit=0")).unwrap();
    assert_eq!(send(&router, post).await.status, 200);
}

#[tokio::test]
async fn answers_are_compressed_for_who_can_read_them() {
    let router = querier(&Arc::new(Fake::with_trace(&[1, 2, 3])), &Arc::default(), QuerierOptions::default());
    let request = Request::get("/api/traces/1").header(ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
    let answer = send(&router, request).await;
    assert_eq!(answer.headers[CONTENT_ENCODING], "gzip");
    let json: serde_json::Value = serde_json::from_reader(GzDecoder::new(answer.body.as_slice())).unwrap();
    assert_eq!(json, get(&router, "/api/traces/1").await.json());
}

#[tokio::test]
async fn search_results_have_only_known_fields_and_both_span_sets() {
    let span = tempoform_wire::tempopb::Span {
        span_id: "00000000000000ab".into(),
        start_time_unix_nano: 5,
        duration_nanos: 7,
        ..Default::default()
    };
    let found = TraceSearchMetadata {
        trace_id: "1f2e3d".into(),
        root_service_name: "web".into(),
        root_trace_name: "GET /".into(),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        duration_ms: 812,
        span_sets: vec![SpanSet { spans: vec![span], matched: 4, ..Default::default() }],
        ..Default::default()
    };
    let account = ReadAccount {
        requests: 3,
        bytes: 100,
        wait_nanos: 1_500_000,
        cache_hits: 2,
        cache_bytes: 11,
        disk_hits: 1,
        retried: 1,
        dependent_reads: 2,
        by_kind: Some(RequestsByKind { bloom: 2, range: 1, ..RequestsByKind::default() }),
        ..ReadAccount::default()
    };
    let answer = SearchResponse {
        traces: vec![found],
        inspected_traces: 120,
        inspected_spans: 5000,
        blocks: 3,
        block_bytes: 123_456,
        account: Some(account),
        ..Default::default()
    };
    let retriever = Arc::new(Fake { search: Ok(answer), ..Fake::default() });
    let answer =
        get(&querier(&Arc::default(), &retriever, QuerierOptions::default()), "/api/search?q=%7B%7D").await;
    let set = json!({
        "spans": [{"spanID": "00000000000000ab", "startTimeUnixNano": "5", "durationNanos": "7"}],
        "matched": 4,
    });
    assert_eq!(
        answer.json(),
        json!({
            "traces": [{
                "traceID": "1f2e3d", "rootServiceName": "web", "rootTraceName": "GET /",
                "startTimeUnixNano": "1700000000000000000", "durationMs": 812,
                "spanSet": set, "spanSets": [set],
            }],
            "metrics": {
                "inspectedTraces": 120, "inspectedBytes": "111", "totalBlocks": 3, "completedJobs": 2, "totalJobs": 2,
                "totalBlockBytes": "123456", "inspectedSpans": "5000",
            },
        })
    );
    assert_eq!(
        answer.headers["x-tempoform-object-store"],
        "requests=3, bytes=100, wait_ms=1.5, cache_hits=2, cache_bytes=11, disk_hits=1, joined=0, hedged=0, retried=1, \
         dependent_reads=2, bloom=2, range=1"
    );
}

#[tokio::test]
async fn what_a_search_asks_the_sources() {
    let (ingester, retriever): (Arc<Fake>, Arc<Fake>) = Default::default();
    let router = querier(&ingester, &retriever, QuerierOptions::default());
    get(&router, "/api/search?q=%7B%7D&limit=7&spss=0&start=100&end=200").await;
    get(&router, "/api/search?tags=service.name%3Dweb&minDuration=1.5s&maxDuration=0s").await;
    get(&router, "/api/search?foo=bar").await;
    let asked = |fake: &Fake| {
        fake.searches_asked.lock().unwrap().iter().map(|(_, one)| one.clone()).collect::<Vec<_>>()
    };

    let first = &asked(&retriever)[0];
    assert_eq!((first.start, first.end, first.limit, first.spans_per_span_set), (100, 200, 7, 3));
    assert!(!first.omit_span_sets);

    let (recent, blocks) = (&asked(&ingester)[1], &asked(&retriever)[1]);
    assert!(
        recent.omit_span_sets && recent.query.contains("service") && recent.query.contains("1.5s"),
        "{recent:?}"
    );
    assert_eq!((recent.start, recent.end), (0, 0), "without a range everything recent is asked");
    let hour_ago = crate::request::now() - 3600;
    assert!((hour_ago - 5..=hour_ago + 5).contains(&blocks.start), "{blocks:?}");

    let legacy = &asked(&ingester)[2].query;
    assert!(legacy.contains("foo") && legacy.contains("\"bar\""), "{legacy}");
}

fn names(scopes: &[(&str, &[&str])]) -> Arc<Fake> {
    let scopes = scopes.iter().map(|(name, tags)| SearchTagsV2Scope {
        name: (*name).into(),
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
    });
    Arc::new(Fake {
        names: Ok(TagNamesResponse { scopes: scopes.collect(), ..Default::default() }),
        ..Fake::default()
    })
}

#[tokio::test]
async fn tag_names() {
    let (ingester, retriever) =
        (names(&[("span", &["b", "a"])]), names(&[("span", &["a", "c"]), ("resource", &["a"])]));
    let router = querier(&ingester, &retriever, QuerierOptions::default());
    let v1 = get(&router, "/api/search/tags").await.json();
    assert_eq!(v1["tagNames"], json!(["a", "b", "c"]));

    let v2: SearchTagsV2Response = get_protobuf(&router, "/api/v2/search/tags?limit=2").await;
    let scope = |name: &str| v2.scopes.iter().find(|scope| scope.name == name).unwrap().tags.clone();
    assert_eq!(scope("span"), ["a", "b"]);
    assert_eq!(scope("resource"), ["a"]);
    assert_eq!(scope("intrinsic").len(), 2);

    let intrinsics = get(&router, "/api/search/tags?scope=intrinsic").await.json();
    let intrinsics = intrinsics["tagNames"].as_array().unwrap();
    assert!(intrinsics.len() == 25 && intrinsics.contains(&json!("span:statusMessage")), "{intrinsics:?}");
    assert_eq!(
        get(&router, "/api/v2/search/tags?scope=none").await.json()["scopes"].as_array().unwrap().len(),
        3
    );
}

fn values(values: &[(&str, &str)]) -> Arc<Fake> {
    let values =
        values.iter().map(|(r#type, value)| TagValue { r#type: (*r#type).into(), value: (*value).into() });
    Arc::new(Fake {
        values: Ok(TagValuesResponse { values: values.collect(), ..Default::default() }),
        ..Fake::default()
    })
}

#[tokio::test]
async fn tag_values() {
    let (ingester, retriever) =
        (values(&[("string", "b"), ("int", "5")]), values(&[("string", "a"), ("string", "b")]));
    let router = querier(&ingester, &retriever, QuerierOptions::default());
    let v1 = get(&router, "/api/search/tag/http.url/values").await.json();
    assert_eq!(v1["tagValues"], json!(["a", "b"]));
    let v2 = get(&router, "/api/v2/search/tag/span.a%2Fb/values?q=%7B%20.x%20%3D%20").await.json();
    assert_eq!(
        v2["tagValues"],
        json!([{"type": "int", "value": "5"}, {"type": "string", "value": "a"}, {"type": "string", "value": "b"}])
    );
    let asked = ingester.values_asked.lock().unwrap();
    assert_eq!((asked[0].tag.as_str(), asked[1].tag.as_str()), (".http.url", "span.a/b"));
    assert_eq!(asked[1].query, "{ .x = ", "half-typed filters are passed on");
}

#[tokio::test]
async fn tags_with_slashes_and_words_of_the_language() {
    let ingester = values(&[("string", "x")]);
    let router = querier(&ingester, &Arc::default(), QuerierOptions::default());
    assert_eq!(get(&router, "/api/search/tag/a/values/b/values").await.status, 200);
    assert_eq!(ingester.values_asked.lock().unwrap()[0].tag, ".a/values/b");

    let kinds = get(&router, "/api/v2/search/tag/kind/values").await.json();
    assert_eq!(kinds["tagValues"].as_array().unwrap().len(), 6);
    assert_eq!(kinds["tagValues"][0]["type"], "keyword");
    let status = get(&router, "/api/search/tag/status.code/values").await.json();
    assert_eq!(status["tagValues"], json!(["error", "ok", "unset"]));
    assert_eq!(get(&router, "/api/search/tag/error/values").await.json()["tagValues"], json!(["true"]));
    let durations = get(&router, "/api/v2/search/tag/duration/values").await.json();
    assert!(durations.get("tagValues").is_none(), "{durations}");
    assert_eq!(ingester.values_asked.lock().unwrap().len(), 1, "these need no data");
}

#[tokio::test]
async fn names_and_values_stop_at_the_size_limit() {
    let limits = crate::QueryLimits { max_bytes_per_tag_values_query: 10, ..Default::default() };
    let api = crate::ApiOptions { limits: Arc::new(move |_| limits.clone()), ..Default::default() };
    let options = QuerierOptions { api, ..QuerierOptions::default() };
    let router = querier(&names(&[("span", &["aaaa", "bbbb", "cccc"])]), &Arc::default(), options.clone());
    assert_eq!(get(&router, "/api/search/tags").await.json()["tagNames"], json!(["aaaa", "bbbb"]));
    let router = querier(&values(&[("string", "a"), ("string", "b")]), &Arc::default(), options);
    assert_eq!(get(&router, "/api/search/tag/x/values").await.json()["tagValues"], json!(["a"]));
}
