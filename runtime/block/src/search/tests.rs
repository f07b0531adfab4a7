use tempoform_wire::otlp::any_value::Value;

use super::*;
use crate::results::NO_ROOT;
use crate::test_blocks::{TestBlock, test_blocks};

async fn search(block: &str, query: &str, limits: SearchLimits) -> SearchFound {
    let block = test_blocks().into_iter().find(|known| known.name == block).unwrap();
    let account = Account::default();
    let reader = BlockReader::open(&block.store(), block.path(), &block.meta, &account).await.unwrap();
    let query = Query::parse(query).unwrap();
    let mut all = SearchFound::default();
    for row_group in 0..reader.row_groups() {
        let found = reader.search(row_group, &query, &limits, 0, &account).await.unwrap();
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
        assert!((1..=624).contains(&found.inspected_spans), "{block}: {}", found.inspected_spans);
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

/// The matches of a row group without leaving anything out, as `trace row: span rows`.
async fn matches_of_everything(reader: &BlockReader, row_group: usize, query: &Query) -> Vec<String> {
    let batch = reader.batch(row_group, &query.fields(), &Account::default()).await.unwrap();
    let matches = query.evaluate(&batch).unwrap();
    matches.iter().map(|found| shown(&batch, found, found.trace)).collect()
}

/// Spans counted from the first of their trace.
fn shown(batch: &Batch, found: &Match, row: u32) -> String {
    let first = batch.layout.spans_of_trace(found.trace).start;
    let sets = found.spansets.iter().map(|set| {
        let spans: Vec<_> = set.spans.iter().map(|span| span - first).collect();
        format!("{spans:?} {:?}", set.attributes)
    });
    format!("{row}: {}", sets.collect::<Vec<_>>().join(", "))
}

async fn open(block: &TestBlock) -> BlockReader {
    BlockReader::open(&block.store(), block.path(), &block.meta, &Account::default()).await.unwrap()
}

/// Queries that the footer, dictionaries or cheap columns decide, and some that they do not.
const QUERIES: [&str; 24] = [
    "{}",
    r#"{ resource.service.name = "no such" && span.retry = true }"#,
    r#"{ resource.service.name =~ ".*a.*" && span.retry = true }"#,
    r#"{ resource.service.name = "" }"#,
    r#"{ .service.name != "x" && .retry = true }"#,
    r#"{ name = "db.query" && span.rows > 20 }"#,
    r#"{ name = "db.query" && resource.region != nil }"#,
    "{ span.rows > 20 && span.rows < 25 }",
    "{ span.rows > 1000000 }",
    "{ span.rows = 20.5 }",
    "{ span.a.int = -42 }",
    r#"{ span.a.strarr = "y" }"#,
    r#"{ span.a.str = "x" || span.a.str = "y" || span.a.int = -42 }"#,
    r#"{ .a.int = -42 && status != error }"#,
    "{ duration > 1h }",
    "{ duration > 10ms && kind = server }",
    r#"{ event:name = "e" || link:spanID != "" }"#,
    r#"{ rootServiceName = "no such" }"#,
    r#"{ traceDuration > 50ms } && { span.retry = true }"#,
    r#"{ name = "db.query" } << { resource.service.name != "" }"#,
    r#"{ span.http.status_code = 500 } | by(resource.service.name) | count() > 0"#,
    r#"{ !(span.retry = true) && name = "db.query" }"#,
    r#"{ span.no.such = nil && kind = client }"#,
    r#"{ span.no.such = "x" }"#,
];

#[tokio::test]
async fn what_is_not_read_changes_no_answer() {
    for block in test_blocks() {
        let (reader, account) = (open(&block).await, Account::default());
        let golden = block.companion("traceql.");
        let golden =
            golden.lines().filter_map(|line| line.rsplit_once("traces=")).map(|(query, _)| query.trim());
        for text in QUERIES.into_iter().chain(golden) {
            let query = Query::parse(text).unwrap();
            for row_group in 0..reader.row_groups() {
                let found = reader.evaluate(row_group, &query, &[], &account).await.unwrap();
                let rows = found.matches.iter();
                let rows = rows.map(|one| shown(&found.batch, one, found.row_of(one.trace)));
                let expected = matches_of_everything(&reader, row_group, &query).await;
                assert_eq!(rows.collect::<Vec<_>>(), expected, "{} {text}", block.name);
            }
        }
    }
}

/// Bytes that are read of a block for a query; the first read of a reader.
async fn bytes_read(block: &TestBlock, query: &str) -> (u64, usize) {
    let objects = object_store::local::LocalFileSystem::new_with_prefix(&block.bucket).unwrap();
    let options = crate::StoreOptions { coalesce_gap: 0, before_footer: 0, ..Default::default() };
    let store = crate::BlockStore::new(std::sync::Arc::new(objects), "", options, None).unwrap();
    let account = Account::default();
    let reader = BlockReader::open(&store, block.path(), &block.meta, &account).await.unwrap();
    let opened = account.snapshot().bytes;
    let query = Query::parse(query).unwrap();
    let mut found = 0;
    for row_group in 0..reader.row_groups() {
        let limits = SearchLimits::default();
        found += reader.search(row_group, &query, &limits, 0, &account).await.unwrap().traces.len();
    }
    (account.snapshot().bytes - opened, found)
}

#[tokio::test]
async fn attributes_are_not_read_where_another_condition_rules_the_row_group_out() {
    let block = test_blocks().into_iter().find(|block| block.name == "v2.10.8-vp4-default").unwrap();
    let reader = open(&block).await;
    let attributes: u64 = (0..reader.row_groups())
        .flat_map(|row_group| {
            let leaves = ["Value", "ValueInt", "ValueDouble", "ValueBool"];
            leaves.map(|leaf| reader.stored_bytes(row_group, &format!("rs.ss.Spans.Attrs.{leaf}")))
        })
        .sum();
    let (none, found) =
        bytes_read(&block, r#"{ resource.service.name = "no such" && span.retry = true }"#).await;
    assert_eq!(found, 0);
    assert!(none < attributes / 4, "{none} bytes, attributes have {attributes}");
    let (by_bounds, found) = bytes_read(&block, "{ span.rows > 1000000 }").await;
    assert_eq!((by_bounds, found), (0, 0), "the footer tells");
    let (ints, _) = bytes_read(&block, r#"{ span.rows = 1000 || span.rows = 2000 }"#).await;
    let (all, _) = bytes_read(&block, "{ span.rows = 1000 || span.rows + 1 = 2001 }").await;
    assert!(ints < all, "{ints} {all}");
}

#[tokio::test]
async fn traces_older_than_those_known_are_left_out() {
    let block = test_blocks().into_iter().find(|block| block.name == "v2.10.8-vp4-default").unwrap();
    let (reader, account, query) = (open(&block).await, Account::default(), Query::parse("{}").unwrap());
    let limits = SearchLimits::default();
    let all = reader.search(0, &query, &limits, 0, &account).await.unwrap().traces;
    let oldest = all[all.len() / 2].start_time_unix_nano;
    let newer = reader.search(0, &query, &limits, oldest, &account).await.unwrap().traces;
    let expected: Vec<_> = all.into_iter().filter(|one| one.start_time_unix_nano >= oldest).collect();
    assert_eq!(newer, expected);
    let none = reader.search(0, &query, &limits, u64::MAX, &account).await.unwrap();
    assert!(none.traces.is_empty() && none.inspected_spans == 0);
}
