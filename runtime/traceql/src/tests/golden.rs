//! Queries that a real Tempo answered, on the same traces.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;

use base64::Engine;
use serde_json::Value;

use super::model::{self, Attributes, Below, Resource, Scope, Span, Trace, text};
use crate::{Intrinsic, Kind, Query, Static, Status};

fn folder() -> PathBuf {
    let folder = std::env::var_os("TEMPOFORM_TEST_BLOCKS").expect(
        "set TEMPOFORM_TEST_BLOCKS to the folder of blocks written by Tempo, as `cargo xtask test` does",
    );
    PathBuf::from(folder)
}

/// vParquet5: where Tempo stores everything it can search, so that its answers are the language's.
#[test]
fn answers_are_those_of_tempo() {
    for block in ["v3.0.3-vp5-default", "v2.10.8-vp5-none"] {
        let version = block.split('-').next().unwrap_or_default().trim_start_matches('v');
        let read = |name: String| fs::read_to_string(folder().join(block).join(name)).unwrap();
        let traces: Vec<Trace> = read(format!("golden.tempo{version}.jsonl")).lines().map(trace).collect();
        let answers = read(format!("traceql.tempo{version}.txt"));
        assert!(answers.lines().count() > 30, "the file has the answers");
        for line in answers.lines() {
            let (query, answer) = line.split_once("traces=").unwrap();
            let query = Query::parse(query).unwrap();
            let matches = query.evaluate(&model::batch(&traces, &query.fields())).unwrap();
            let spans: usize = matches.iter().flat_map(|one| &one.spansets).map(|set| set.spans.len()).sum();
            assert_eq!(format!("{} spans={spans}", matches.len()), answer, "{block}: {query}");
        }
    }
}

fn trace(line: &str) -> Trace {
    let line: Value = serde_json::from_str(line).unwrap();
    let mut resources: Vec<Resource> = list(&line["trace"], "resourceSpans").iter().map(resource).collect();
    let raw = raw_spans(&line);
    let spans = resources.iter_mut().flat_map(|one| &mut one.scopes).flat_map(|one| &mut one.spans);
    for ((span, (left, right, parent)), one) in spans.zip(tree_numbers(&raw)).zip(&raw) {
        let id = raw_id(one, "spanId");
        let count = raw.iter().filter(|other| raw_id(other, "parentSpanId") == id).count();
        // Tempo counts by parent id, but only in traces that it numbers.
        let children = if left > 0 { count as i64 } else { 0 };
        span.intrinsics.extend([
            (Intrinsic::NestedSetLeft, Static::Int(left)),
            (Intrinsic::NestedSetRight, Static::Int(right)),
            (Intrinsic::NestedSetParent, Static::Int(parent)),
            (Intrinsic::ChildCount, Static::Int(children)),
        ]);
    }
    let mut trace = Trace { intrinsics: BTreeMap::new(), resources };
    let id = line["traceID"].as_str().unwrap().trim_start_matches('0');
    trace.intrinsics.insert(Intrinsic::TraceId, text(id));
    let root = trace.resources.iter().find_map(|resource| {
        let spans = resource.scopes.iter().flat_map(|scope| &scope.spans);
        let root = spans.into_iter().find(|span| span.intrinsics[&Intrinsic::ParentId] == text(""))?;
        let service = resource.attributes.get("service.name").cloned().unwrap_or_else(|| text(""));
        Some((root.intrinsics[&Intrinsic::Name].clone(), service))
    });
    let (name, service) = root.unwrap_or_else(|| (text(""), text("")));
    trace.intrinsics.extend([(Intrinsic::RootName, name), (Intrinsic::RootService, service)]);
    trace
}

fn raw_spans(line: &Value) -> Vec<&Value> {
    let resources = list(&line["trace"], "resourceSpans").iter();
    resources
        .flat_map(|resource| list(resource, "scopeSpans"))
        .flat_map(|scope| list(scope, "spans"))
        .collect()
}

/// Left, right and parent's left of each span. Of two spans with one id the server is the client's child,
/// and what hangs on the id hangs on the server.
fn tree_numbers(spans: &[&Value]) -> Vec<(i64, i64, i64)> {
    let is_server = |row: usize| spans[row]["kind"] == "SPAN_KIND_SERVER";
    let mut by_id: HashMap<String, Vec<usize>> = HashMap::new();
    for (row, span) in spans.iter().enumerate() {
        by_id.entry(raw_id(span, "spanId")).or_default().push(row);
    }
    let mut numbers = vec![(0, 0, 0); spans.len()];
    if by_id.values().any(|rows| rows.len() > 2) {
        return numbers;
    }
    let parent_of: Vec<Option<Option<usize>>> = (0..spans.len())
        .map(|row| {
            let client = by_id[&raw_id(spans[row], "spanId")].iter().copied().find(|one| !is_server(*one));
            if let Some(client) = client.filter(|client| is_server(row) && *client != row) {
                return Some(Some(client));
            }
            let parent = raw_id(spans[row], "parentSpanId");
            if parent.is_empty() {
                return None;
            }
            let rows = by_id.get(&parent).cloned().unwrap_or_default();
            Some(rows.iter().copied().find(|one| rows.len() == 1 || is_server(*one)))
        })
        .collect();
    let mut next = 0;
    for root in (0..spans.len()).filter(|row| parent_of[*row].is_none()) {
        walk(root, -1, &parent_of, &mut next, &mut numbers);
    }
    numbers
}

fn walk(
    row: usize,
    parent: i64,
    parent_of: &[Option<Option<usize>>],
    next: &mut i64,
    numbers: &mut [(i64, i64, i64)],
) {
    *next += 1;
    let left = *next;
    for child in (0..parent_of.len()).filter(|child| parent_of[*child] == Some(Some(row))) {
        walk(child, left, parent_of, next, numbers);
    }
    *next += 1;
    numbers[row] = (left, *next, parent);
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn raw_id(value: &Value, key: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value[key].as_str().unwrap_or_default());
    bytes.unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn string(value: &Value, key: &str) -> Static {
    text(value[key].as_str().unwrap_or_default())
}

fn nanos(value: &Value, key: &str) -> i64 {
    value[key].as_str().map_or(0, |number| number.parse::<u64>().unwrap() as i64)
}

fn resource(value: &Value) -> Resource {
    let attributes = attributes(&value["resource"]);
    Resource { attributes, scopes: list(value, "scopeSpans").iter().map(scope).collect() }
}

fn scope(value: &Value) -> Scope {
    let intrinsics = BTreeMap::from([
        (Intrinsic::InstrumentationName, string(&value["scope"], "name")),
        (Intrinsic::InstrumentationVersion, string(&value["scope"], "version")),
    ]);
    let attributes = attributes(&value["scope"]);
    Scope { intrinsics, attributes, spans: list(value, "spans").iter().map(span).collect() }
}

fn span(value: &Value) -> Span {
    let start = nanos(value, "startTimeUnixNano");
    let kind = value["kind"].as_str().unwrap_or("SPAN_KIND_UNSPECIFIED").trim_start_matches("SPAN_KIND_");
    let kind = Kind::ALL.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(kind)).unwrap();
    let status = match value["status"]["code"].as_str() {
        Some("STATUS_CODE_ERROR") => Status::Error,
        Some("STATUS_CODE_OK") => Status::Ok,
        _ => Status::Unset,
    };
    let intrinsics = BTreeMap::from([
        (Intrinsic::Name, string(value, "name")),
        (Intrinsic::Duration, Static::Duration(nanos(value, "endTimeUnixNano").wrapping_sub(start))),
        (Intrinsic::Kind, Static::Kind(kind)),
        (Intrinsic::Status, Static::Status(status)),
        (Intrinsic::StatusMessage, string(&value["status"], "message")),
        (Intrinsic::SpanId, text(&raw_id(value, "spanId"))),
        (Intrinsic::ParentId, text(&raw_id(value, "parentSpanId"))),
    ]);
    let event = |value: &Value| Below {
        intrinsics: BTreeMap::from([
            (Intrinsic::EventName, string(value, "name")),
            (
                Intrinsic::EventTimeSinceStart,
                Static::Duration(nanos(value, "timeUnixNano").wrapping_sub(start)),
            ),
        ]),
        attributes: attributes(value),
    };
    let link = |value: &Value| Below {
        intrinsics: BTreeMap::from([
            (Intrinsic::LinkTraceId, text(&raw_id(value, "traceId"))),
            (Intrinsic::LinkSpanId, text(&raw_id(value, "spanId"))),
        ]),
        attributes: attributes(value),
    };
    Span {
        intrinsics,
        attributes: attributes(value),
        events: list(value, "events").iter().map(event).collect(),
        links: list(value, "links").iter().map(link).collect(),
    }
}

fn attributes(value: &Value) -> Attributes {
    let pairs = list(value, "attributes").iter();
    pairs.filter_map(|pair| Some((pair["key"].as_str()?.to_owned(), any_value(&pair["value"])?))).collect()
}

/// `None` for what cannot be searched: bytes, maps, mixed arrays.
fn any_value(value: &Value) -> Option<Static> {
    if let Some(values) = value["arrayValue"]["values"].as_array() {
        let values: Vec<Static> = values.iter().map(any_value).collect::<Option<_>>()?;
        if let [single] = &values[..] {
            return Some(single.clone());
        }
        return array(&values);
    }
    let string = value["stringValue"].as_str().map(text);
    let int = || value["intValue"].as_str().map(|number| Static::Int(number.parse().unwrap()));
    let float = || value["doubleValue"].as_f64().map(Static::Float);
    let bool = || value["boolValue"].as_bool().map(Static::Bool);
    string.or_else(int).or_else(float).or_else(bool)
}

fn array(values: &[Static]) -> Option<Static> {
    let strings =
        values.iter().map(|one| if let Static::String(one) = one { Some(one.clone()) } else { None });
    let ints = values.iter().map(|one| if let Static::Int(one) = one { Some(*one) } else { None });
    let floats = values.iter().map(|one| if let Static::Float(one) = one { Some(*one) } else { None });
    let bools = values.iter().map(|one| if let Static::Bool(one) = one { Some(*one) } else { None });
    let strings = strings.collect::<Option<_>>().map(Static::StringArray);
    let ints = ints.collect::<Option<_>>().map(Static::IntArray);
    let floats = floats.collect::<Option<_>>().map(Static::FloatArray);
    let bools = bools.collect::<Option<_>>().map(Static::BoolArray);
    strings.or(ints).or(floats).or(bools)
}
