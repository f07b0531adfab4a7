//! What cannot be read is told, and nothing is called missing that may be there.

use bytes::Bytes;
use tempoform_wire::internal::Failure;
use tempoform_wire::tempopb::TraceSearchMetadata;

use super::*;

fn failing() -> Arc<Fake> {
    Arc::new(Fake::failing(ErrorKind::Unavailable))
}

#[tokio::test]
async fn not_found_is_said_only_when_everything_was_read() {
    let router = empty();
    let answer = get(&router, "/api/traces/1").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (404, ""));

    for router in [
        querier(&failing(), &Arc::default(), QuerierOptions::default()),
        querier(&Arc::default(), &failing(), QuerierOptions::default()),
    ] {
        let answer = get(&router, "/api/traces/1").await;
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains("-0: is on fire"), "{}", answer.text());

        let json = get(&router, "/api/v2/traces/1").await.json();
        assert_eq!(json["status"], "PARTIAL");
        assert!(json["message"].as_str().unwrap().contains("-0: is on fire"), "{json}");
    }
}

#[tokio::test]
async fn no_known_source_is_not_an_empty_answer() {
    let none: Sources = Arc::new(Vec::new);
    let fake = Arc::default();
    let router = Querier::new(none.clone(), sources(&[("r", &fake)]), QuerierOptions::default()).router();
    let answer = get(&router, "/api/traces/1").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("ingesters: 0 are known"), "{}", answer.text());

    let only_blocks = QuerierOptions { min_recent_sources: 0, ..QuerierOptions::default() };
    let router = Querier::new(none.clone(), sources(&[("r", &fake)]), only_blocks.clone()).router();
    assert_eq!(get(&router, "/api/traces/1").await.status, 404);

    let router = Querier::new(sources(&[("i", &fake)]), none, QuerierOptions::default()).router();
    let answer = get(&router, "/api/traces/1").await;
    assert!(answer.status == 503 && answer.text().contains("retrievers: none is known"), "{}", answer.text());
}

#[tokio::test]
async fn a_found_trace_is_given_with_a_word_about_the_gap() {
    let found = Arc::new(Fake::with_trace(&[1]));
    let router = querier(&found, &failing(), QuerierOptions::default());
    let answer = get(&router, "/api/traces/1").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-tempoform-partial"], "retriever-0: is on fire");
    assert_eq!(answer.json()["batches"][0]["scopeSpans"][0]["spans"][0]["name"], "span 1");
}

#[tokio::test]
async fn a_block_that_failed_inside_an_answer_is_named() {
    let failure = Failure { source: "block 7".into(), message: "is damaged".into() };
    let answer = FindTraceResponse { failures: vec![failure], ..Default::default() };
    let retriever = Arc::new(Fake { trace: Ok(answer), ..Fake::default() });
    let json = get(&querier(&Arc::default(), &retriever, QuerierOptions::default()), "/api/v2/traces/1")
        .await
        .json();
    assert_eq!(json["status"], "PARTIAL");
    assert_eq!(json["message"], "some spans may be missing: block 7: is damaged");
}

#[tokio::test]
async fn an_ingester_less_is_no_gap_when_the_others_have_every_acknowledged_span() {
    let (up, down) = (Arc::default(), failing());
    let options = QuerierOptions { tolerated_recent_failures: 1, ..QuerierOptions::default() };
    let blocks = sources(&[("r", &up)]);
    let one_down = sources(&[("a", &up), ("b", &down), ("c", &up)]);
    let two_down = sources(&[("a", &up), ("b", &down), ("c", &down)]);
    let router = Querier::new(one_down, blocks.clone(), options.clone()).router();
    assert_eq!(get(&router, "/api/traces/1").await.status, 404);
    let router = Querier::new(two_down, blocks, options).router();
    assert_eq!(get(&router, "/api/traces/1").await.status, 503);
}

#[tokio::test]
async fn search_gives_what_it_has_unless_it_has_nothing() {
    let found = TraceSearchMetadata { trace_id: "1".into(), ..Default::default() };
    let answer = SearchResponse { traces: vec![found], ..Default::default() };
    let ingester = Arc::new(Fake { search: Ok(answer), ..Fake::default() });
    let answer =
        get(&querier(&ingester, &failing(), QuerierOptions::default()), "/api/search?q=%7B%7D").await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.contains_key("x-tempoform-partial"));
    assert_eq!(answer.json()["traces"][0]["traceID"], "1");
    assert_eq!(answer.json()["metrics"]["completedJobs"], 1);
    assert_eq!(answer.json()["metrics"]["totalJobs"], 2);

    let answer =
        get(&querier(&failing(), &failing(), QuerierOptions::default()), "/api/search?q=%7B%7D").await;
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn retrievers_hear_of_blocks_that_ingesters_uploaded_lately() {
    let with_fresh = |blocks: &[&'static str]| {
        let fresh_blocks = blocks.iter().map(|block| Bytes::from_static(block.as_bytes())).collect();
        Arc::new(Fake {
            trace: Ok(FindTraceResponse { fresh_blocks, ..Default::default() }),
            ..Fake::default()
        })
    };
    let (a, b, retriever) = (with_fresh(&["x", "y"]), with_fresh(&["y"]), Arc::<Fake>::default());
    let querier = Querier::new(
        sources(&[("a", &a), ("b", &b)]),
        sources(&[("r", &retriever)]),
        QuerierOptions::default(),
    );
    get(&querier.router(), "/api/traces/1").await;
    let mut fresh = retriever.traces_asked.lock().unwrap()[0].1.fresh_blocks.clone();
    fresh.sort_unstable();
    assert_eq!(fresh, ["x", "y"]);
}

#[tokio::test]
async fn another_retriever_is_asked_when_the_first_is_away() {
    let (down, up) = (failing(), Arc::new(Fake::with_trace(&[1])));
    for id in 1..=8 {
        // Which one is first depends on the id; both orders have to work.
        let querier = Querier::new(
            sources(&[("i", &Arc::default())]),
            sources(&[("r0", &down), ("r1", &up)]),
            QuerierOptions::default(),
        );
        let answer = get(&querier.router(), &format!("/api/traces/{id}")).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key("x-tempoform-partial"));
    }
    let asked_first = down.traces_asked.lock().unwrap().len();
    assert!((1..8).contains(&asked_first), "{asked_first} of 8 belong to r0");
}
