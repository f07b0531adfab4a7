//! Right answers: what Tempo answers over the same bucket.

use tempoform_wire::otlp::{AnyValue, KeyValue, Span, any_value::Value};

use super::*;

/// Every span with its resource and scope, in an order of its own; attributes by key, since their order is
/// not defined.
fn flat(mut trace: TracesData) -> Vec<String> {
    fn sort(attributes: &mut [KeyValue]) {
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
    }
    let mut flat = Vec::new();
    for resource_spans in &mut trace.resource_spans {
        let resource = resource_spans.resource.get_or_insert_default();
        sort(&mut resource.attributes);
        for scope_spans in &mut resource_spans.scope_spans {
            let scope = scope_spans.scope.get_or_insert_default();
            sort(&mut scope.attributes);
            for span in &mut scope_spans.spans {
                span.status.get_or_insert_default();
                sort(&mut span.attributes);
                span.events.iter_mut().for_each(|event| sort(&mut event.attributes));
                span.links.iter_mut().for_each(|link| sort(&mut link.attributes));
                flat.push(format!("{resource:?} {scope:?} {span:?}"));
            }
        }
    }
    flat.sort_unstable();
    flat
}

#[tokio::test]
async fn every_trace_by_id() {
    for bucket in Bucket::all() {
        let retriever = bucket.retriever().await;
        for (id, expected) in bucket.golden() {
            let answer = find(&retriever, id).await;
            assert!(answer.failures.is_empty(), "{} {id}: {:?}", bucket.name(), answer.failures);
            assert!(flat(combined(&answer)) == flat(expected), "{}: {id} differs", bucket.name());
        }
        let unknown = find(&retriever, TraceId::new([0xab; 16])).await;
        assert!(unknown.pieces.is_empty() && unknown.failures.is_empty());
    }
}

/// Where Tempo's storage, not the language, decides what it finds.
fn is_known_difference(bucket: &str, query: &str) -> bool {
    // Before vParquet5 an array is not looked for when its attribute has a dedicated column.
    let arrays = bucket.contains("vp4-default") && query == r#"{ span.http.request.method = "GET" }"#;
    // 2.10 finds nothing by ranges of blob columns.
    let blobs = bucket == "v2.10.8-vp5-blob" && query == r#"{ span.a.str > "a" }"#;
    arrays || blobs
}

#[tokio::test]
async fn every_query() {
    for bucket in Bucket::all() {
        let retriever = bucket.retriever().await;
        for line in bucket.companion("traceql.").lines() {
            let (query, counts) = line.rsplit_once("traces=").unwrap();
            let answer = search(&retriever, everything(query.trim())).await;
            assert!(answer.failures.is_empty(), "{}: {:?}", bucket.name(), answer.failures);
            let sets = answer.traces.iter().flat_map(|trace| &trace.span_sets);
            let spans: u32 = sets.clone().map(|set| set.matched).sum();
            if !is_known_difference(bucket.name(), query.trim()) {
                assert_eq!(
                    format!("{} spans={spans}", answer.traces.len()),
                    counts,
                    "{} {query}",
                    bucket.name()
                );
            }
            assert!(sets.into_iter().all(|set| set.spans.len() == set.matched as usize));
            assert!(answer.traces.is_sorted_by_key(|trace| std::cmp::Reverse(trace.start_time_unix_nano)));
        }
    }
}

/// `12 [a b c]` or `name 2 [5 `text`]`: the words in the brackets, text in backticks kept as one.
fn words(line: &str) -> BTreeSet<String> {
    let (_, list) = line.split_once('[').unwrap();
    let list = list.strip_suffix(']').unwrap();
    let parts = list.split('`').enumerate();
    let words = parts.flat_map(|(i, part)| {
        if i % 2 == 1 {
            vec![format!("`{part}`")]
        } else {
            part.split_whitespace().map(str::to_owned).collect()
        }
    });
    words.collect()
}

#[tokio::test]
async fn every_tag() {
    for bucket in Bucket::all() {
        let retriever = bucket.retriever().await;
        let text = bucket.companion("tags.");
        let mut lines = text.lines();
        let (found, expected) = (names(&retriever, "").await, words(lines.next().unwrap()));
        // Tempo does not list the dedicated columns of events.
        let more: Vec<_> = found.difference(&expected).collect();
        assert!(
            more.iter().all(|name| name.starts_with("event.")) && found.is_superset(&expected),
            "{more:?}"
        );
        assert!(more.is_empty() || bucket.name().contains("blob"), "{}: {more:?}", bucket.name());
        for line in lines {
            let tag = line.split(' ').next().unwrap();
            let answer = values(&retriever, tag, "").await;
            assert!(answer.failures.is_empty(), "{:?}", answer.failures);
            let expected = words(line);
            if answer.values.iter().all(|value| value.r#type == "keyword") {
                // Tempo's file has its internal numbers for these words.
                assert_eq!(answer.values.len(), expected.len(), "{} {tag}", bucket.name());
                continue;
            }
            let shown = answer.values.into_iter().map(|value| match value.r#type.as_str() {
                "string" => format!("`{}`", value.value),
                _ => value.value,
            });
            assert_eq!(shown.collect::<BTreeSet<_>>(), expected, "{} {tag}", bucket.name());
        }
    }
}

fn spans(trace: &TracesData) -> impl Iterator<Item = &Span> {
    trace.resource_spans.iter().flat_map(|one| &one.scope_spans).flat_map(|scope| &scope.spans)
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
}

/// Whether TraceQL can search the value.
fn is_searchable(pair: &KeyValue) -> bool {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::ArrayValue(array)) => {
            let kinds =
                array.values.iter().map(|AnyValue { value }| value.as_ref().map(std::mem::discriminant));
            let kinds: std::collections::HashSet<_> = kinds.collect();
            kinds.len() == 1
        }
        Some(Value::BytesValue(_) | Value::KvlistValue(_)) | None => false,
        Some(_) => true,
    }
}

#[tokio::test]
async fn tags_of_the_spans_that_a_filter_matches() {
    for bucket in Bucket::all() {
        let retriever = bucket.retriever().await;
        let golden = bucket.golden();
        let matching = |span: &&Span| attribute(span, "retry") == Some(&Value::BoolValue(true));
        let expected: BTreeSet<String> = golden
            .iter()
            .flat_map(|(_, trace)| spans(trace))
            .filter(matching)
            .flat_map(|span| &span.attributes)
            .filter(|pair| is_searchable(pair))
            .map(|pair| format!("span.{}", pair.key))
            .collect();
        let found = names(&retriever, "{ span.retry = true && ").await;
        let of_spans: BTreeSet<_> = found.iter().filter(|name| name.starts_with("span.")).cloned().collect();
        assert_eq!(of_spans, expected, "{}", bucket.name());
        assert!(found.contains("resource.service.name"));

        let answer = values(&retriever, "span.http.status_code", "{ span.http.status_code = 500 }").await;
        let shown: Vec<_> =
            answer.values.iter().map(|value| (value.r#type.as_str(), value.value.as_str())).collect();
        assert_eq!(shown, [("int", "500")], "{}", bucket.name());
        let kinds = values(&retriever, "kind", "{ kind = server || kind = client }").await;
        let kinds: BTreeSet<_> = kinds.values.into_iter().map(|value| value.value).collect();
        assert_eq!(kinds, BTreeSet::from(["client".to_owned(), "server".to_owned()]));
    }
}

#[tokio::test]
async fn only_tags_of_the_scope_asked_and_no_more_than_asked() {
    let retriever = Bucket::named("v2.10.8-vp4-default").retriever().await;
    let request = TagNamesRequest { scope: "resource".to_owned(), limit: 3, ..Default::default() };
    let answer = retriever.tag_names(&tenant(), request).await.unwrap();
    let [scope] = answer.scopes.as_slice() else { panic!("{:?}", answer.scopes) };
    assert_eq!((scope.name.as_str(), scope.tags.len()), ("resource", 3));

    let request =
        TagValuesRequest { tag: "resource.service.name".to_owned(), limit: 4, ..Default::default() };
    assert_eq!(retriever.tag_values(&tenant(), request).await.unwrap().values.len(), 4);
    let request = TagValuesRequest { tag: "not a tag".to_owned(), ..Default::default() };
    assert!(retriever.tag_values(&tenant(), request).await.is_err());
}

/// Start and end of a trace, nanoseconds.
fn times(trace: &TracesData) -> (u64, u64) {
    let start = spans(trace).map(|span| span.start_time_unix_nano).min().unwrap();
    (start, spans(trace).map(|span| span.end_time_unix_nano).max().unwrap())
}

#[tokio::test]
async fn the_newest_within_the_range() {
    let bucket = Bucket::named("v2.10.8-vp4-default");
    let retriever = bucket.retriever().await;
    let times: Vec<_> = bucket.golden().iter().map(|(_, trace)| times(trace)).collect();

    let mut starts: Vec<_> = times.iter().map(|(start, _)| *start).collect();
    starts.sort_unstable_by_key(|start| std::cmp::Reverse(*start));
    let newest = search(&retriever, SearchRequest { limit: 5, ..everything("{}") }).await;
    let found: Vec<_> = newest.traces.iter().map(|trace| trace.start_time_unix_nano).collect();
    assert_eq!(found, starts[..5]);

    let (from, to) = (1_735_689_700, 1_735_689_760);
    let inside = search(&retriever, SearchRequest { start: from, end: to, ..everything("{}") }).await;
    let (from, to) = (u64::from(from) * 1_000_000_000, u64::from(to) * 1_000_000_000);
    let expected = times.iter().filter(|(start, end)| *start <= to && *end >= from).count();
    assert_eq!(inside.traces.len(), expected);
    assert!(0 < expected && expected < times.len());

    let outside = search(&retriever, SearchRequest { start: 5, end: 6, ..everything("{}") }).await;
    assert_eq!((outside.traces.len(), outside.blocks), (0, 0));
}

#[tokio::test]
async fn copies_in_two_blocks_are_one_trace() {
    let (bucket, _) = bucket_of(&["v2.10.8-vp4-default", "v3.0.3-vp4-default"]);
    let retriever = retriever(bucket.path()).await;
    let newest = search(&retriever, SearchRequest { limit: 5, ..everything("{}") }).await;
    let ids: BTreeSet<_> = newest.traces.iter().map(|trace| trace.trace_id.as_str()).collect();
    assert_eq!((newest.traces.len(), ids.len()), (5, 5));
    assert_eq!(search(&retriever, everything("{}")).await.traces.len(), 308);
}

#[tokio::test]
async fn a_filter_that_cannot_be_run_is_ignored() {
    let retriever = Bucket::named("v2.10.8-vp4-default").retriever().await;
    let broken = "{ -span.no.such < 0 }";
    let error = retriever.search(&tenant(), everything(broken)).await.unwrap_err();
    assert_eq!(error.kind(), tempoform_core::ErrorKind::Invalid);
    assert_eq!(names(&retriever, broken).await, names(&retriever, "").await);
    let all = values(&retriever, "name", "").await.values;
    assert_eq!(values(&retriever, "name", broken).await.values, all);
}

#[tokio::test]
async fn a_few_bytes_of_values_are_enough() {
    let bucket = Bucket::named("v2.10.8-vp4-default");
    let retriever = unpolled(&bucket.folder, RetrieverOptions { max_tag_bytes: 20, ..options() });
    retriever.poll().await.unwrap();
    let answer = values(&retriever, "name", "").await;
    let bytes: usize = answer.values.iter().map(|value| value.value.len()).sum();
    assert!(!answer.values.is_empty() && bytes <= 20, "{answer:?}");
    let [cut] = answer.failures.as_slice() else { panic!("{answer:?}") };
    assert_eq!(
        (cut.source.as_str(), cut.message.as_str()),
        ("tag values", "are cut at 20 bytes, there are more")
    );

    let answer = retriever.tag_names(&tenant(), TagNamesRequest::default()).await.unwrap();
    let [cut] = answer.failures.as_slice() else { panic!("{answer:?}") };
    assert_eq!(cut.source, "tag names");
    let names: usize = answer.scopes.iter().flat_map(|scope| &scope.tags).map(String::len).sum();
    assert!(names <= 20, "{answer:?}");

    let one = TagValuesRequest { tag: "name".to_owned(), limit: 1, ..Default::default() };
    assert_eq!(retriever.tag_values(&tenant(), one).await.unwrap().failures, [], "as many as asked for");
}

#[tokio::test]
async fn blocks_that_a_limit_leaves_out_are_told() {
    let (bucket, _) = bucket_of(&["v2.10.8-vp4-default", "v3.0.3-vp5-default"]);
    let retriever = retriever(bucket.path()).await;
    let asked = |max_blocks| TagValuesRequest { tag: "name".to_owned(), max_blocks, ..Default::default() };
    let answer = retriever.tag_values(&tenant(), asked(1)).await.unwrap();
    let [cut] = answer.failures.as_slice() else { panic!("{answer:?}") };
    assert_eq!(cut.message, "are of 1 blocks, the latest of 2");
    assert_eq!(retriever.tag_values(&tenant(), asked(2)).await.unwrap().failures, []);
}

#[tokio::test]
async fn what_a_search_tells_of_itself() {
    let retriever = Bucket::named("v2.10.8-vp4-default").retriever().await;
    let answer = search(&retriever, everything("{ span.rows > 20 }")).await;
    assert_eq!((answer.inspected_traces, answer.blocks), (308, 1));
    assert!((1..=624).contains(&answer.inspected_spans), "{}", answer.inspected_spans);
    assert_eq!(answer.block_bytes, 346_099);
    let span = &answer.traces[0].span_sets[0].spans[0];
    assert!(span.name.is_empty() && span.attributes[0].key == "rows", "{span:?}");

    let tags =
        search(&retriever, SearchRequest { omit_span_sets: true, ..everything("{ name = \"db.query\" }") })
            .await;
    assert!(tags.traces.iter().all(|trace| trace.span_sets.is_empty() && trace.span_set.is_none()));
    let nothing = search(&retriever, everything("{ name = \"no such\" && span.rows > 1 }")).await;
    assert_eq!((nothing.traces.len(), nothing.inspected_traces), (0, 308));
    let wrong = retriever.search(&tenant(), everything("{ nonsense")).await.unwrap_err();
    assert_eq!(wrong.kind(), tempoform_core::ErrorKind::Invalid);
}

#[tokio::test]
async fn the_second_time_comes_from_the_cache_and_all_is_accounted() {
    let bucket = Bucket::named("v2.10.8-vp4-default");
    let retriever = bucket.retriever().await;
    let (id, _) = bucket.golden().swap_remove(100);
    let before = retriever.account().snapshot();
    let first = find(&retriever, id).await.account.unwrap();
    let second = find(&retriever, id).await.account.unwrap();
    assert!(first.requests > 0 && first.bytes > 0, "{first:?}");
    assert!(second.requests < first.requests && second.cache_hits > 0, "{first:?} {second:?}");
    let after = retriever.account().snapshot();
    assert_eq!(after.requests, before.requests + first.requests + second.requests);
}
