//! What cannot be read is told, and nothing is called missing that may be there.

use bytes::Bytes;
use tempoform_wire::internal::Failure;
use tempoform_wire::tempopb::{SearchTagsV2Scope, TagValue, TraceSearchMetadata};

use super::*;
use crate::{ApiOptions, QueryLimits, QueryTimeouts};

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

/// Sources of which some cannot be asked.
fn with_missing(fakes: &[(&str, Option<&Arc<Fake>>)]) -> Sources {
    let named: Vec<_> = fakes
        .iter()
        .map(|(name, fake)| match fake {
            Some(fake) => NamedSource::new(*name, Arc::clone(fake) as Arc<dyn TraceSource>),
            None => NamedSource::missing(*name, "is replaying its log"),
        })
        .collect();
    Arc::new(move || named.clone())
}

#[tokio::test]
async fn an_ingester_that_is_missing_counts_as_failed_and_is_named() {
    let up: Arc<Fake> = Arc::default();
    let one_away = with_missing(&[("a", Some(&up)), ("b", None), ("c", Some(&up))]);
    let router = Querier::new(one_away.clone(), sources(&[("r", &up)]), QuerierOptions::default()).router();
    let answer = get(&router, "/api/traces/1").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("b: is replaying its log"), "{}", answer.text());
    let json = get(&router, "/api/v2/traces/1").await.json();
    assert_eq!(json["message"], "some spans may be missing: b: is replaying its log");

    let tolerant = QuerierOptions { tolerated_recent_failures: 1, ..QuerierOptions::default() };
    let router = Querier::new(one_away, sources(&[("r", &up)]), tolerant.clone()).router();
    assert_eq!(get(&router, "/api/traces/1").await.status, 404);

    let all_away = with_missing(&[("a", None)]);
    let router = Querier::new(all_away, sources(&[("r", &up)]), tolerant).router();
    let answer = get(&router, "/api/traces/1").await;
    assert_eq!(answer.status, 503, "one may fail, but one has to answer");
}

#[tokio::test]
async fn retrievers_stand_in_for_one_that_is_missing() {
    let found = Arc::new(Fake::with_trace(&[1]));
    let ingesters = sources(&[("i", &Arc::default())]);
    let blocks = with_missing(&[("r0", None), ("r1", Some(&found))]);
    let router = Querier::new(ingesters.clone(), blocks, QuerierOptions::default()).router();
    let answer = get(&router, "/api/traces/1").await;
    assert!(answer.status == 200 && !answer.headers.contains_key("x-tempoform-partial"));
    assert!(found.traces_asked.lock().unwrap()[0].1.retrievers.is_empty(), "one alone reads all blocks");

    let router = Querier::new(ingesters, with_missing(&[("r0", None)]), QuerierOptions::default()).router();
    let answer = get(&router, "/api/traces/1").await;
    assert!(answer.status == 503 && answer.text().contains("r0: is replaying"), "{}", answer.text());
}

#[tokio::test]
async fn an_ingester_that_hangs_is_not_waited_for_when_it_may_fail() {
    let up: Arc<Fake> = Arc::default();
    let hung = Arc::new(Fake { delay: Duration::from_secs(60), ..Fake::default() });
    let ingesters = sources(&[("a", &up), ("b", &hung), ("c", &up)]);
    let options = QuerierOptions { tolerated_recent_failures: 1, ..QuerierOptions::default() };
    let started = std::time::Instant::now();
    let router = Querier::new(ingesters, sources(&[("r", &up)]), options).router();
    assert_eq!(get(&router, "/api/traces/1").await.status, 404);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn each_retriever_is_asked_for_its_share() {
    let (r0, r1) = (Arc::new(Fake::with_trace(&[1])), Arc::new(Fake::with_trace(&[2])));
    let querier = Querier::new(
        sources(&[("i", &Arc::default())]),
        sources(&[("r0", &r0), ("r1", &r1)]),
        QuerierOptions::default(),
    );
    let found: TracesData = get_protobuf(&querier.router(), "/api/traces/1").await;
    let scopes = found.resource_spans.iter().flat_map(|one| &one.scope_spans);
    assert_eq!(scopes.map(|scope| scope.spans.len()).sum::<usize>(), 2, "{found:?}");
    let names = ["r0".to_owned(), "r1".to_owned()];
    for (fake, name) in [(&r0, "r0"), (&r1, "r1")] {
        let asked = fake.traces_asked.lock().unwrap();
        let [(_, request)] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!((request.retrievers.as_slice(), request.share_of.as_str()), (names.as_slice(), name));
    }
}

#[tokio::test]
async fn another_retriever_reads_the_share_of_one_that_is_away_or_hangs() {
    let hung = Arc::new(Fake { delay: Duration::from_secs(60), ..Fake::default() });
    for away in [failing(), hung] {
        let up = Arc::new(Fake::with_trace(&[1]));
        let timeouts = QueryTimeouts { trace_by_id: Duration::from_secs(2), ..QueryTimeouts::default() };
        let querier = Querier::new(
            sources(&[("i", &Arc::default())]),
            sources(&[("r0", &away), ("r1", &up)]),
            QuerierOptions { timeouts, ..QuerierOptions::default() },
        );
        let answer = get(&querier.router(), "/api/traces/1").await;
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key("x-tempoform-partial"));
        let mut shares: Vec<_> = up
            .traces_asked
            .lock()
            .unwrap()
            .iter()
            .map(|(_, request)| (request.retrievers.len(), request.share_of.clone()))
            .collect();
        shares.sort_unstable();
        assert_eq!(shares, [(2, "r0".to_owned()), (2, "r1".to_owned())]);
    }
}

#[tokio::test]
async fn a_limit_on_blocks_is_for_all_retrievers_together() {
    let (r0, r1): (Arc<Fake>, Arc<Fake>) = Default::default();
    let limits = QueryLimits { max_blocks_per_tag_values_query: 5, ..QueryLimits::default() };
    let api = ApiOptions { limits: Arc::new(move |_| limits.clone()), ..ApiOptions::default() };
    let querier = Querier::new(
        sources(&[("i", &Arc::default())]),
        sources(&[("r0", &r0), ("r1", &r1)]),
        QuerierOptions { api, ..QuerierOptions::default() },
    );
    assert_eq!(get(&querier.router(), "/api/v2/search/tag/.foo/values").await.status, 200);
    assert_eq!(r0.values_asked.lock().unwrap()[0].max_blocks, 3);
    assert_eq!(r1.values_asked.lock().unwrap()[0].max_blocks, 3);
}

#[tokio::test]
async fn tags_that_are_cut_say_so() {
    let value = |value: &str| TagValue { r#type: "string".into(), value: value.into() };
    let values = TagValuesResponse { values: vec![value("aaaa"), value("bbbb")], ..Default::default() };
    let scope = SearchTagsV2Scope { name: "span".into(), tags: vec!["aaaa".into(), "bbbbbbbb".into()] };
    let names = TagNamesResponse { scopes: vec![scope], ..Default::default() };
    let ingester = Arc::new(Fake { values: Ok(values), names: Ok(names), ..Fake::default() });
    let answers = async |max_bytes_per_tag_values_query| {
        let limits = QueryLimits { max_bytes_per_tag_values_query, ..QueryLimits::default() };
        let api = ApiOptions { limits: Arc::new(move |_| limits.clone()), ..ApiOptions::default() };
        let options = QuerierOptions { api, ..QuerierOptions::default() };
        let router = querier(&ingester, &Arc::default(), options);
        let missing = |answer: &Answer| answer.headers.get("x-tempoform-partial").cloned();
        let values = get(&router, "/api/v2/search/tag/.foo/values").await;
        let names = get(&router, "/api/v2/search/tags?scope=span").await;
        assert_eq!((values.status.as_u16(), names.status.as_u16()), (200, 200));
        (values.json()["tagValues"].as_array().unwrap().len(), missing(&values), missing(&names))
    };
    let (values, of_values, of_names) = answers(10).await;
    assert_eq!(values, 1);
    assert_eq!(of_values.unwrap(), "tag values: are cut at 10 bytes, there are more");
    assert_eq!(of_names.unwrap(), "tag names: are cut at 10 bytes, there are more");
    assert_eq!(answers(100).await, (2, None, None));
}
