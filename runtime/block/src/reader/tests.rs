use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use tempoform_core::{Account, TraceId};
use tempoform_traceql::{Field, Query, parse_attribute};
use tempoform_wire::otlp::TracesData;

use super::*;
use crate::test_blocks::{TestBlock, test_blocks};

async fn open(block: &TestBlock) -> BlockReader {
    BlockReader::open(&block.store(), block.path(), &block.meta, &Account::default()).await.unwrap()
}

/// What Tempo answers, by trace id.
fn golden(block: &TestBlock) -> BTreeMap<TraceId, Json> {
    let lines = block.companion("golden.");
    let parsed = lines.lines().map(|line| {
        let line: Json = serde_json::from_str(line).unwrap();
        // Through our own types: Go writes 0 where serde writes 0.0.
        let trace: TracesData = serde_json::from_value(line["trace"].clone()).unwrap();
        (line["traceID"].as_str().unwrap().parse().unwrap(), json(&trace))
    });
    parsed.collect()
}

/// A trace as JSON with attributes ordered by key: their order is not defined.
fn normal(mut json: Json) -> Json {
    fn sort(json: &mut Json) {
        match json {
            Json::Array(items) => items.iter_mut().for_each(sort),
            Json::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    sort(value);
                    if let (true, Json::Array(attributes)) = (name == "attributes", value) {
                        attributes.sort_by_key(|attribute| attribute["key"].to_string());
                    }
                }
            }
            _ => {}
        }
    }
    sort(&mut json);
    json
}

fn json(trace: &TracesData) -> Json {
    normal(serde_json::to_value(trace).unwrap())
}

#[tokio::test]
async fn every_trace_of_every_block_is_found_as_tempo_finds_it() {
    for block in test_blocks() {
        let (reader, account) = (open(&block).await, Account::default());
        let golden = golden(&block);
        assert_eq!(golden.len(), 308);
        for (id, expected) in golden {
            assert!(may_contain(&block.store(), &block.path(), &block.meta, id, &account).await.unwrap());
            let found = reader.find_trace(id, &account).await.unwrap();
            let found = found.unwrap_or_else(|| panic!("{}: {id} is not found", block.name));
            pretty_assert(&block.name, id, &json(&found), &expected);
        }
    }
}

/// `assert_eq`, but says only where they differ.
fn pretty_assert(name: &str, id: TraceId, found: &Json, expected: &Json) {
    fn difference(path: &str, a: &Json, b: &Json) -> Option<String> {
        match (a, b) {
            (Json::Object(a), Json::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
                let missing = Json::Null;
                let (a, b) = (a.get(key).unwrap_or(&missing), b.get(key).unwrap_or(&missing));
                if a.is_null() || b.is_null() {
                    return Some(format!(
                        "{path}.{key} is only in {}",
                        if a.is_null() { "what was expected" } else { "what was found" }
                    ));
                }
                difference(&format!("{path}.{key}"), a, b)
            }),
            (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
                (0..a.len()).find_map(|i| difference(&format!("{path}[{i}]"), &a[i], &b[i]))
            }
            _ => (a != b).then(|| format!("{path}: {a} instead of {b}")),
        }
    }
    if let Some(difference) = difference("", found, expected) {
        panic!("{name}, trace {id}: {difference}\nfound {found}");
    }
}

#[tokio::test]
async fn row_groups_read_as_a_whole_give_the_same_traces_in_order() {
    for block in test_blocks() {
        let (reader, account) = (open(&block).await, Account::default());
        let golden = golden(&block);
        let mut last = None;
        let mut count = 0;
        for row_group in 0..reader.row_groups() {
            let traces = reader.traces(row_group, &account).await.unwrap();
            assert_eq!(traces.len() as u64, reader.traces_in(row_group));
            for (id, trace) in traces {
                assert!(last < Some(id), "{}: ids ascend", block.name);
                pretty_assert(&block.name, id, &json(&trace), &golden[&id]);
                last = Some(id);
                count += 1;
            }
        }
        assert_eq!(count, block.meta.total_objects, "{}", block.name);
    }
}

#[tokio::test]
async fn trace_that_is_not_there_is_not_found() {
    for block in test_blocks() {
        let reader = open(&block).await;
        for id in [TraceId::new([0; 16]), TraceId::new([0x7f; 16]), "1020304050607".parse().unwrap()] {
            assert!(reader.find_trace(id, &Account::default()).await.unwrap().is_none(), "{}", block.name);
        }
    }
}

#[tokio::test]
async fn lookup_takes_few_reads_that_depend_on_each_other() {
    let block = test_blocks().into_iter().find(|block| block.name == "v2.10.8-vp4-default").unwrap();
    let account = Account::default();
    let store = block.store();
    let reader = BlockReader::open(&store, block.path(), &block.meta, &account).await.unwrap();
    assert_eq!(account.snapshot().requests, 1, "footer and page index in one");
    let id = *golden(&block).keys().nth(150).unwrap();
    reader.find_trace(id, &account).await.unwrap().unwrap();
    let cold = account.snapshot();
    assert!(cold.requests <= 4, "{cold:?}");
    BlockReader::open(&store, block.path(), &block.meta, &account).await.unwrap();
    reader.find_trace(id, &account).await.unwrap().unwrap();
    assert_eq!(account.snapshot().requests, cold.requests, "all from the cache");
}

/// A line of `tags.*.txt`: a name, and the list in brackets.
fn parse_list(line: &str) -> (&str, Vec<String>) {
    let (head, list) = line.split_once('[').unwrap();
    let mut list: Vec<_> = split_values(list.trim_end().trim_end_matches(']'));
    list.sort();
    (head.trim(), list)
}

/// Values separated by blanks; strings stand in backquotes and may hold blanks.
fn split_values(list: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('`') {
            Some(quoted) => quoted.find('`').unwrap() + 2,
            None => rest.find(' ').unwrap_or(rest.len()),
        };
        values.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    values
}

#[tokio::test]
async fn tag_names_and_values_are_tempos() {
    for block in test_blocks() {
        let (reader, account) = (open(&block).await, Account::default());
        let text = block.companion("tags.");
        let mut lines = text.lines();
        let (_, expected) = parse_list(lines.next().unwrap());
        let mut names = TagNames::new();
        for row_group in 0..reader.row_groups() {
            let found = reader.tag_names(row_group, &TagScope::ALL, &names, &account).await.unwrap();
            found.into_iter().for_each(|(scope, more)| names.entry(scope).or_default().extend(more));
        }
        let found = names
            .iter()
            .flat_map(|(scope, names)| names.iter().map(move |name| format!("{}.{name}", scope.as_str())));
        let found: BTreeSet<_> = found.collect();
        // Tempo does not list events' dedicated columns.
        let dedicated = block.meta.dedicated_columns.iter();
        let dedicated = dedicated.filter(|column| column.scope == crate::DedicatedScope::Event);
        let of_events: BTreeSet<_> = dedicated.map(|column| format!("event.{}", column.name)).collect();
        assert!(of_events.is_subset(&found), "{}: {found:?}", block.name);
        let expected: BTreeSet<_> = expected.into_iter().chain(of_events).collect();
        assert_eq!(found, expected, "{}: names", block.name);

        for line in lines {
            let (head, expected) = parse_list(line);
            let tag = head.rsplit_once(' ').unwrap().0.trim();
            let mut values = BTreeSet::new();
            for row_group in 0..reader.row_groups() {
                values.extend(reader.tag_values(row_group, &field(tag), 1 << 20, &account).await.unwrap());
            }
            let found = values.iter().map(|(kind, value)| match *kind {
                "string" => format!("`{value}`"),
                "keyword" => keyword_number(value).to_owned(),
                _ => value.clone(),
            });
            let mut found: Vec<_> = found.collect();
            found.sort();
            assert_eq!(found, expected, "{}: {tag}", block.name);
        }
    }
}

/// The file shows status and kind as numbers of Tempo's own.
fn keyword_number(keyword: &str) -> &str {
    match keyword {
        "error" | "unspecified" => "0",
        "ok" | "internal" => "1",
        "unset" | "server" => "2",
        "client" => "3",
        "producer" => "4",
        "consumer" => "5",
        other => other,
    }
}

fn field(tag: &str) -> Field {
    let identifier = parse_attribute(tag).unwrap();
    identifier.fields().first().unwrap().clone()
}

#[tokio::test]
async fn guards_outlive_work_that_nobody_waits_for() {
    let block = test_blocks().into_iter().find(|block| block.name == "v2.10.8-vp4-default").unwrap();
    let guard = Arc::new(());
    let reader = open(&block).await.holding(guard.clone());
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let (started, mut has_started) = tokio::sync::oneshot::channel();
    let work = async move {
        let work = reader.compute(move || {
            started.send(()).unwrap();
            wait.recv().ok();
            Ok(())
        });
        work.await
    };
    let mut work = Box::pin(work);
    tokio::select! {
        _ = &mut work => panic!("it waits"),
        _ = &mut has_started => {}
    }
    drop(work);
    assert_eq!(Arc::strong_count(&guard), 2, "the work goes on");
    drop(go_on);
    while Arc::strong_count(&guard) > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn values_stop_at_the_bytes_asked_for() {
    let block = test_blocks().into_iter().find(|block| block.name == "v2.10.8-vp4-default").unwrap();
    let (reader, account) = (open(&block).await, Account::default());
    let names = field("name");
    let all = reader.tag_values(0, &names, usize::MAX, &account).await.unwrap();
    let some = reader.tag_values(0, &names, 1, &account).await.unwrap();
    assert!(all.len() > 1 && some.len() == 1 && some.is_subset(&all), "{some:?}");
}

#[tokio::test]
async fn summaries_and_span_facts_are_those_of_the_traces() {
    for block in test_blocks() {
        let (reader, account) = (open(&block).await, Account::default());
        let traces = reader.traces(0, &account).await.unwrap();
        let rows: Vec<u32> = (0..traces.len() as u32).filter(|row| row % 3 > 0).collect();
        let shown = reader.shown(0, &rows, &[], &account).await.unwrap();
        let mut spans = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            let (summary, (id, trace)) = (shown.summary(i as u32), &traces[*row as usize]);
            assert_eq!(summary.trace_id, *id);
            let of_trace: Vec<_> = trace
                .resource_spans
                .iter()
                .flat_map(|resource| resource.scope_spans.iter().flat_map(|scope| &scope.spans))
                .collect();
            let start = of_trace.iter().map(|span| span.start_time_unix_nano).min().unwrap();
            let end = of_trace.iter().map(|span| span.end_time_unix_nano).max().unwrap();
            assert_eq!((summary.start_unix_nano, summary.duration_nanos), (start, end - start));
            let roots =
                of_trace.iter().filter(|span| span.parent_span_id.is_empty() && !is_linked_child(span));
            let mut names: Vec<_> = roots.map(|span| span.name.as_str()).collect();
            if names.is_empty() {
                names.push("");
            }
            assert!(names.contains(&summary.root_span_name.as_str()), "{}: {id}", block.name);
            if block.meta.version != crate::BlockVersion::VParquet3 {
                let counted: u32 = summary.service_stats.values().map(|stats| stats.span_count).sum();
                assert_eq!(counted as usize, of_trace.len(), "{}", block.name);
            }
            spans.extend(of_trace.into_iter().cloned());
        }
        for (row, span) in spans.iter().enumerate() {
            let facts = shown.facts(row as u32).unwrap();
            assert_eq!((&facts.span_id, &facts.name), (&span.span_id, &span.name));
            assert_eq!(facts.start_unix_nano + facts.duration_nanos, span.end_time_unix_nano);
        }
        assert!(shown.facts(spans.len() as u32).is_none());
    }
}

/// A span without parent that names one in a link, as Jaeger's clients do.
fn is_linked_child(span: &tempoform_wire::otlp::Span) -> bool {
    let is_child_of = |attribute: &tempoform_wire::otlp::KeyValue| attribute.key == "opentracing.ref_type";
    span.links.iter().any(|link| link.trace_id == span.trace_id && link.attributes.iter().any(is_child_of))
}

/// Where Tempo's storage, not the language, decides what it finds.
fn is_known_difference(block: &str, query: &str) -> bool {
    // Before vParquet5 an array is not looked for when its attribute has a dedicated column.
    let arrays = block.contains("vp4-default") && query == r#"{ span.http.request.method = "GET" }"#;
    // 2.10 finds nothing by ranges of blob columns.
    let blobs = block == "v2.10.8-vp5-blob" && query == r#"{ span.a.str > "a" }"#;
    arrays || blobs
}

#[tokio::test]
async fn queries_find_what_tempo_finds() {
    let mut differences = Vec::new();
    for block in test_blocks() {
        let (reader, account) = (open(&block).await, Account::default());
        for line in block.companion("traceql.").lines() {
            let (text, expected) = line.split_once("traces=").unwrap();
            let query = Query::parse(text.trim()).unwrap();
            let (mut traces, mut spans) = (0, 0);
            for row_group in 0..reader.row_groups() {
                let batch = reader.batch(row_group, &query.fields(), &account).await.unwrap();
                let matches = query.evaluate(&batch).unwrap();
                traces += matches.len();
                spans += matches
                    .iter()
                    .flat_map(|found| &found.spansets)
                    .map(|set| set.spans.len())
                    .sum::<usize>();
            }
            let found = format!("{traces} spans={spans}");
            if found != expected && !is_known_difference(&block.name, text.trim()) {
                differences.push(format!("{}: {} {found} instead of {expected}", block.name, text.trim()));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
