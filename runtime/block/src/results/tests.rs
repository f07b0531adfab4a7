use super::*;
use crate::test_blocks::test_blocks;

async fn search(block: &str, query: &str, limits: SearchLimits) -> SearchFound {
    let block = test_blocks().into_iter().find(|known| known.name == block).unwrap();
    let account = Account::default();
    let reader = BlockReader::open(&block.store(), block.path(), &block.meta, &account).await.unwrap();
    let query = Query::parse(query).unwrap();
    let mut all = SearchFound::default();
    for row_group in 0..reader.row_groups() {
        let found = reader.search(row_group, &query, &limits, &account).await.unwrap();
        all.traces.extend(found.traces);
        all.inspected_traces += found.inspected_traces;
        all.inspected_spans += found.inspected_spans;
    }
    all
}

#[tokio::test]
async fn result_shows_what_the_query_looked_at() {
    let query =
        r#"{ span.a.int = -42 && status != error && span.a.strarr = "y" } | select(duration, kind, name)"#;
    for block in ["v2.10.8-vp3-default", "v2.10.8-vp4-default", "v3.0.3-vp5-default"] {
        // vParquet3 cannot search arrays.
        let query = if block.contains("vp3") {
            r#"{ span.a.int = -42 } | select(kind, status, name)"#
        } else {
            query
        };
        let found = search(block, query, SearchLimits::default()).await;
        assert_eq!(found.inspected_traces, 308, "{block}");
        assert_eq!(found.inspected_spans, 624, "{block}");
        let [trace] = found.traces.as_slice() else { panic!("{block}: {:?}", found.traces) };
        assert_eq!(trace.trace_id, "102030405060708");
        assert_eq!(trace.span_set.as_ref(), trace.span_sets.first());
        let set = trace.span_set.as_ref().unwrap();
        assert_eq!(set.matched, 1);
        let span = &set.spans[0];
        assert_eq!(span.span_id.len(), 16);
        assert!(!span.name.is_empty() && span.duration_nanos > 0);
        let keys: Vec<_> = span.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert!(keys.contains(&"a.int") && keys.contains(&"kind"), "{block}: {keys:?}");
        assert!(!keys.contains(&"name") && !keys.contains(&"duration"), "{block}: {keys:?}");
        let kind = span.attributes.iter().find(|attribute| attribute.key == "kind").unwrap();
        assert!(matches!(&kind.value.as_ref().unwrap().value, Some(Value::StringValue(_))));
    }
}

#[tokio::test]
async fn spans_shown_and_traces_are_limited_newest_first() {
    let limits = SearchLimits { spans_per_span_set: 1, traces: 4, ..SearchLimits::default() };
    let found = search("v2.10.8-vp5-none", "{ }", limits).await;
    assert_eq!(found.traces.len(), 4);
    assert!(found.traces.is_sorted_by_key(|trace| std::cmp::Reverse(trace.start_time_unix_nano)));
    for trace in &found.traces {
        let set = trace.span_set.as_ref().unwrap();
        assert_eq!(set.spans.len(), 1);
        let spans: u32 = trace.service_stats.values().map(|stats| stats.span_count).sum();
        assert_eq!(set.matched, spans);
        assert!(set.spans[0].name.is_empty(), "the query does not look at names");
    }
}

#[tokio::test]
async fn tag_search_shows_no_span_sets() {
    let limits = SearchLimits { omit_span_sets: true, ..SearchLimits::default() };
    let found = search("v2.10.8-vp4-default", r#"{ name = "db.query" }"#, limits).await;
    assert_eq!(found.traces.len(), 300);
    assert!(found.traces.iter().all(|trace| trace.span_sets.is_empty() && trace.span_set.is_none()));
}

#[tokio::test]
async fn traces_outside_of_the_time_range_are_left_out() {
    let all = search("v2.10.8-vp4-default", "{ }", SearchLimits::default()).await.traces;
    let middle = 1_735_689_700_000_000_000;
    let after = SearchLimits { start_unix_nano: middle, ..SearchLimits::default() };
    let before = SearchLimits { end_unix_nano: middle, ..SearchLimits::default() };
    let (after, before) = (
        search("v2.10.8-vp4-default", "{ }", after).await.traces.len(),
        search("v2.10.8-vp4-default", "{ }", before).await.traces.len(),
    );
    assert!(after < all.len() && before < all.len(), "{after} {before}");
    assert!(after + before >= all.len());
}

#[tokio::test]
async fn trace_without_root_says_so() {
    let found = search("v2.10.8-vp4-default", r#"{ trace:id = "abc" }"#, SearchLimits::default()).await;
    assert_eq!(found.traces[0].root_service_name, NO_ROOT);
    assert_eq!(found.traces[0].root_trace_name, "");
}

#[tokio::test]
async fn groups_carry_what_they_were_grouped_by() {
    let query = "{ } | by(resource.service.name) | count() > 0";
    let found = search("v3.0.3-vp5-default", query, SearchLimits::default()).await;
    let set = found.traces.iter().find_map(|trace| trace.span_sets.get(1)).unwrap();
    let keys: Vec<_> = set.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    assert_eq!(keys, ["by(resource.service.name)", "count()"]);
}

#[test]
fn values_are_shown_as_tempo_shows_them() {
    let text = |text: &str| Some(Value::StringValue(text.to_owned()));
    assert_eq!(any_value(Static::Duration(1_500_000_000)).value, text("1.5s"));
    assert_eq!(any_value(Static::Nil).value, text("nil"));
    assert_eq!(any_value(Static::Status(tempoform_traceql::Status::Error)).value, text("error"));
    let array = any_value(Static::IntArray(vec![1, 2]));
    assert!(matches!(array.value, Some(Value::ArrayValue(array)) if array.values.len() == 2));
}
