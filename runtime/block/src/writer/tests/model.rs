//! Random traces against a naive model: decoded messages become a tree like a row's, which is shredded by
//! the book, leaf by leaf.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempoform_wire::otlp::{any_value::Value, span, *};

use super::columns::{Cell, Entry, read_columns};
use super::*;
use crate::dedicated::{DedicatedScope, PROMOTED_RESOURCE};
use crate::extra::Extra;
use crate::schema::v4::LEAVES;
use crate::writer::nested_set::{NestedSet, Node};

enum Tree {
    Group(BTreeMap<&'static str, Tree>),
    List(Vec<Tree>),
    Leaf(Cell),
    Optional(Option<Cell>),
}

impl Tree {
    /// The entries of the leaf at `path`, which starts with the name of a child.
    fn shred(&self, path: &[&str], entry: Entry, depth: i16, out: &mut Vec<Entry>) {
        match self {
            Self::Leaf(cell) => out.push(Entry { value: Some(cell.clone()), ..entry }),
            Self::Optional(None) => out.push(entry),
            Self::Optional(Some(cell)) => {
                out.push(Entry { def: entry.def + 1, value: Some(cell.clone()), ..entry })
            }
            Self::Group(children) => children[path[0]].shred(&path[1..], entry, depth, out),
            Self::List(items) if items.is_empty() => out.push(entry),
            Self::List(items) => {
                let below = if path[0] == "list" { &path[2..] } else { &path[1..] };
                for (i, item) in items.iter().enumerate() {
                    let rep = if i == 0 { entry.rep } else { depth + 1 };
                    item.shred(below, Entry { def: entry.def + 1, rep, value: None }, depth + 1, out);
                }
            }
        }
    }
}

fn group(children: impl IntoIterator<Item = (&'static str, Tree)>) -> Tree {
    Tree::Group(children.into_iter().collect())
}

fn bytes(value: impl AsRef<[u8]>) -> Tree {
    Tree::Leaf(Cell::Bytes(value.as_ref().to_vec()))
}

fn int(value: impl Into<i64>) -> Tree {
    Tree::Leaf(Cell::Int(value.into()))
}

fn optional(value: Option<&String>) -> Tree {
    Tree::Optional(value.map(|value| Cell::Bytes(value.clone().into_bytes())))
}

fn attribute(attribute: &KeyValue) -> Tree {
    let (mut texts, mut ints, mut doubles, mut bools, mut unsupported) =
        (vec![], vec![], vec![], vec![], None);
    let value = attribute.value.as_ref().map(|value| value.value.clone());
    let mut elements = match &value {
        Some(Some(Value::ArrayValue(array))) => array.values.iter().map(|v| v.value.clone()).collect(),
        Some(value) => vec![value.clone()],
        None => vec![],
    };
    let is_scalar = |v: &Option<Value>| {
        matches!(
            v,
            Some(Value::StringValue(_) | Value::IntValue(_) | Value::DoubleValue(_) | Value::BoolValue(_))
        )
    };
    let kind = |v: &Option<Value>| v.as_ref().map(std::mem::discriminant);
    let fits = elements.iter().all(|v| is_scalar(v) && kind(v) == kind(&elements[0]));
    if !fits {
        elements.clear();
        unsupported = attribute.value.as_ref().map(|value| serde_json::to_string(value).unwrap());
    }
    for element in elements.into_iter().flatten() {
        match element {
            Value::StringValue(text) => texts.push(bytes(text)),
            Value::IntValue(value) => ints.push(int(value)),
            Value::DoubleValue(value) => doubles.push(Tree::Leaf(Cell::Double(value.to_bits()))),
            Value::BoolValue(value) => bools.push(Tree::Leaf(Cell::Bool(value))),
            _ => unreachable!(),
        }
    }
    let is_array = fits && matches!(value, Some(Some(Value::ArrayValue(_))));
    group([
        ("Key", bytes(&attribute.key)),
        ("IsArray", Tree::Leaf(Cell::Bool(is_array))),
        ("Value", Tree::List(texts)),
        ("ValueInt", Tree::List(ints)),
        ("ValueDouble", Tree::List(doubles)),
        ("ValueBool", Tree::List(bools)),
        ("ValueUnsupported", optional(unsupported.as_ref())),
    ])
}

fn attributes(list: &[KeyValue]) -> Tree {
    Tree::List(list.iter().map(attribute).collect())
}

/// Takes the first text attribute with this key out of `list`.
fn take_text(list: &mut Vec<KeyValue>, key: &str) -> Option<String> {
    let text = |kv: &KeyValue| match kv.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) if kv.key == key && !(key == "service.name" && text.is_empty()) => {
            Some(text.clone())
        }
        _ => None,
    };
    let at = list.iter().position(|kv| text(kv).is_some())?;
    text(&list.remove(at))
}

fn take_int(list: &mut Vec<KeyValue>, key: &str) -> Option<i64> {
    let int = |kv: &KeyValue| match kv.value.as_ref()?.value.as_ref()? {
        Value::IntValue(value) if kv.key == key => Some(*value),
        _ => None,
    };
    let at = list.iter().position(|kv| int(kv).is_some())?;
    int(&list.remove(at))
}

fn dedicated(list: &mut Vec<KeyValue>, names: &[&str]) -> Tree {
    const SLOTS: [&str; 10] = [
        "String01", "String02", "String03", "String04", "String05", "String06", "String07", "String08",
        "String09", "String10",
    ];
    group(SLOTS.iter().enumerate().map(|(i, slot)| {
        let value = names.get(i).and_then(|name| take_text(list, name));
        (*slot, optional(value.as_ref()))
    }))
}

const RESOURCE_DEDICATED: [&str; 2] = ["host.name", "ip"];
const SPAN_DEDICATED: [&str; 3] = ["url.path", "http.route", "server.address"];

fn resource(body: &Resource) -> (String, Tree) {
    let mut list = body.attributes.clone();
    list.sort_by(|a, b| a.key.cmp(&b.key));
    let service = take_text(&mut list, "service.name").unwrap_or_default();
    let mut children = BTreeMap::from([
        ("ServiceName", bytes(&service)),
        ("DroppedAttributesCount", int(body.dropped_attributes_count as i32)),
    ]);
    for (key, column) in PROMOTED_RESOURCE {
        let value = take_text(&mut list, key);
        children.insert(column, optional(value.as_ref()));
    }
    children.insert("DedicatedAttributes", dedicated(&mut list, &RESOURCE_DEDICATED));
    children.insert("Attrs", attributes(&list));
    (service, Tree::Group(children))
}

fn scope(body: &InstrumentationScope) -> Tree {
    group([
        ("Name", bytes(&body.name)),
        ("Version", bytes(&body.version)),
        ("Attrs", attributes(&body.attributes)),
        ("DroppedAttributesCount", int(body.dropped_attributes_count as i32)),
    ])
}

fn event(event: &span::Event, start: u64) -> Tree {
    group([
        ("TimeSinceStartNano", int(event.time_unix_nano.wrapping_sub(start) as i64)),
        ("Name", bytes(&event.name)),
        ("Attrs", attributes(&event.attributes)),
        ("DroppedAttributesCount", int(event.dropped_attributes_count as i32)),
    ])
}

fn link(link: &span::Link) -> Tree {
    group([
        ("TraceID", bytes(&link.trace_id)),
        ("SpanID", bytes(&link.span_id)),
        ("TraceState", bytes(&link.trace_state)),
        ("Attrs", attributes(&link.attributes)),
        ("DroppedAttributesCount", int(link.dropped_attributes_count as i32)),
    ])
}

fn span_tree(span: &Span, numbers: (i32, i32, i32)) -> Tree {
    let mut list = span.attributes.clone();
    let status = span.status.clone().unwrap_or_default();
    let method = take_text(&mut list, "http.method");
    let url = take_text(&mut list, "http.url");
    let code = take_int(&mut list, "http.status_code");
    let dedicated = dedicated(&mut list, &SPAN_DEDICATED);
    group([
        ("SpanID", bytes(&span.span_id)),
        ("ParentSpanID", bytes(&span.parent_span_id)),
        ("NestedSetLeft", int(numbers.0)),
        ("NestedSetRight", int(numbers.1)),
        ("ParentID", int(numbers.2)),
        ("Name", bytes(&span.name)),
        ("Kind", int(span.kind)),
        ("TraceState", bytes(&span.trace_state)),
        ("StartTimeUnixNano", int(span.start_time_unix_nano as i64)),
        ("DurationNano", int(span.end_time_unix_nano.wrapping_sub(span.start_time_unix_nano) as i64)),
        ("StatusCode", int(status.code)),
        ("StatusMessage", bytes(&status.message)),
        ("Attrs", attributes(&list)),
        ("DroppedAttributesCount", int(span.dropped_attributes_count as i32)),
        ("Events", Tree::List(span.events.iter().map(|e| event(e, span.start_time_unix_nano)).collect())),
        ("DroppedEventsCount", int(span.dropped_events_count as i32)),
        ("Links", Tree::List(span.links.iter().map(link).collect())),
        ("DroppedLinksCount", int(span.dropped_links_count as i32)),
        ("HttpMethod", optional(method.as_ref())),
        ("HttpUrl", optional(url.as_ref())),
        ("HttpStatusCode", Tree::Optional(code.map(Cell::Int))),
        ("DedicatedAttributes", dedicated),
    ])
}

/// Merges what has the same bytes, drops duplicates of spans, and what is then empty.
pub(super) fn merged(trace: &TracesData) -> TracesData {
    let mut merged: Vec<ResourceSpans> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for rs in &trace.resource_spans {
        let key = (rs.resource.clone().unwrap_or_default(), &rs.schema_url);
        for ss in &rs.scope_spans {
            let fresh: Vec<Span> =
                ss.spans.iter().filter(|s| seen.insert((s.span_id.clone(), s.kind))).cloned().collect();
            if ss.spans.is_empty() {
                continue;
            }
            let known =
                merged.iter().position(|r| (r.resource.clone().unwrap_or_default(), &r.schema_url) == key);
            let known = known.unwrap_or_else(|| {
                let resource = Some(key.0.clone());
                merged.push(ResourceSpans { resource, scope_spans: vec![], schema_url: key.1.clone() });
                merged.len() - 1
            });
            let scopes = &mut merged[known].scope_spans;
            let scope = ss.scope.clone().unwrap_or_default();
            let same =
                |s: &&mut ScopeSpans| (s.scope.as_ref(), &s.schema_url) == (Some(&scope), &ss.schema_url);
            match scopes.iter_mut().find(same) {
                Some(known) => known.spans.extend(fresh),
                None => scopes.push(ScopeSpans {
                    scope: Some(scope),
                    spans: fresh,
                    schema_url: ss.schema_url.clone(),
                }),
            }
        }
    }
    merged.iter_mut().for_each(|r| r.scope_spans.retain(|s| !s.spans.is_empty()));
    merged.retain(|r| !r.scope_spans.is_empty());
    TracesData { resource_spans: merged }
}

fn all_spans(trace: &TracesData) -> impl Iterator<Item = (&ResourceSpans, &Span)> {
    trace
        .resource_spans
        .iter()
        .flat_map(|rs| rs.scope_spans.iter().flat_map(move |ss| ss.spans.iter().map(move |span| (rs, span))))
}

fn is_root(span: &Span, id: &TraceId) -> bool {
    let child_of = |kv: &KeyValue| {
        kv.key == "opentracing.ref_type"
            && kv.value.as_ref().and_then(|v| v.value.clone())
                == Some(Value::StringValue("child_of".to_owned()))
    };
    let not_root = |l: &span::Link| l.trace_id == id.as_bytes() && l.attributes.iter().any(child_of);
    span.parent_span_id.is_empty() && !span.links.iter().any(not_root)
}

fn row(id: &TraceId, input: &TracesData, trace: &TracesData) -> Tree {
    let word = |id: &[u8]| u64::from_be_bytes(id.try_into().unwrap());
    let nodes: Vec<Node> = all_spans(trace)
        .map(|(_, span)| Node {
            id: word(&span.span_id),
            parent: (!span.parent_span_id.is_empty()).then(|| word(&span.parent_span_id)),
            kind: span.kind.into(),
        })
        .collect();
    let mut nested_set = NestedSet::default();
    let mut numbers = nested_set.number(&nodes).iter().map(|n| (n.left, n.right, n.parent));
    let mut services = BTreeMap::<String, (i32, i32)>::new();
    let mut resources = Vec::new();
    for rs in &trace.resource_spans {
        let (service, resource) = resource(rs.resource.as_ref().unwrap());
        let mut scopes = Vec::new();
        for ss in &rs.scope_spans {
            let count = services.entry(service.clone()).or_default();
            count.0 += ss.spans.len() as i32;
            count.1 +=
                ss.spans.iter().filter(|s| s.status.as_ref().is_some_and(|s| s.code == 2)).count() as i32;
            let spans = ss.spans.iter().map(|span| span_tree(span, numbers.next().unwrap())).collect();
            scopes.push(group([("Scope", scope(ss.scope.as_ref().unwrap())), ("Spans", Tree::List(spans))]));
        }
        resources.push(group([("Resource", resource), ("ss", Tree::List(scopes))]));
    }
    let kept: Vec<&Span> = all_spans(trace).map(|(_, span)| span).collect();
    let root = all_spans(input).filter(|(_, s)| kept.contains(s) && is_root(s, id)).last();
    let root_service = root.map_or_else(String::new, |(rs, _)| resource_service(rs));
    let start = kept.iter().map(|s| s.start_time_unix_nano).min().unwrap();
    let end = kept.iter().map(|s| s.end_time_unix_nano).max().unwrap();
    let stats = services.iter().map(|(name, (spans, errors))| {
        group([
            ("key", bytes(name)),
            ("value", group([("SpanCount", int(*spans)), ("ErrorCount", int(*errors))])),
        ])
    });
    group([
        ("TraceID", bytes(id.as_bytes())),
        ("TraceIDText", bytes(id.to_short_hex())),
        ("StartTimeUnixNano", int(start as i64)),
        ("EndTimeUnixNano", int(end as i64)),
        ("DurationNano", int(end.wrapping_sub(start) as i64)),
        ("RootServiceName", bytes(root_service)),
        ("RootSpanName", bytes(root.map_or("", |(_, span)| &span.name))),
        ("ServiceStats", Tree::List(stats.collect())),
        ("rs", Tree::List(resources)),
    ])
}

fn resource_service(rs: &ResourceSpans) -> String {
    resource(&rs.resource.clone().unwrap_or_default()).0
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let scalar = prop_oneof![
        4 => "[a-zä]{0,3}".prop_map(Value::StringValue),
        2 => any::<i64>().prop_map(Value::IntValue),
        2 => (-3i64..3).prop_map(Value::IntValue),
        1 => any::<f64>().prop_map(Value::DoubleValue),
        1 => any::<bool>().prop_map(Value::BoolValue),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::BytesValue),
    ];
    let some = |value| AnyValue { value: Some(value) };
    let leaf = prop_oneof![9 => scalar.prop_map(some), 1 => Just(AnyValue { value: None })];
    leaf.prop_recursive(2, 12, 4, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let same = (inner.clone(), 1..4usize).prop_map(|(value, count)| vec![value; count]);
        let pairs = prop::collection::vec(("[a-c]", prop::option::of(inner)), 0..3);
        prop_oneof![
            list.prop_map(move |values| some(Value::ArrayValue(ArrayValue { values }))),
            same.prop_map(move |values| some(Value::ArrayValue(ArrayValue { values }))),
            pairs.prop_map(move |pairs| {
                let values = pairs.into_iter().map(|(key, value)| KeyValue { key, value }).collect();
                some(Value::KvlistValue(KeyValueList { values }))
            }),
        ]
    })
}

fn key_values() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop_oneof![
        Just("service.name"),
        Just("cluster"),
        Just("k8s.pod.name"),
        Just("host.name"),
        Just("ip"),
        Just("http.method"),
        Just("http.url"),
        Just("http.status_code"),
        Just("url.path"),
        Just("server.address"),
        Just("opentracing.ref_type"),
        Just("a"),
        Just("b"),
        Just("c"),
        Just(""),
    ];
    let child_of = AnyValue { value: Some(Value::StringValue("child_of".to_owned())) };
    let value = prop_oneof![8 => prop::option::of(any_value()), 1 => Just(Some(child_of))];
    let pair = (key, value).prop_map(|(key, value)| KeyValue { key: key.to_owned(), value });
    prop::collection::vec(pair, 0..6)
}

const TRACE: [u8; 16] = [7; 16];

fn events() -> impl Strategy<Value = Vec<span::Event>> {
    let event = (any::<u64>(), "[a-c]{0,2}", key_values(), 0..3u32).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| span::Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    );
    prop::collection::vec(event, 0..3)
}

fn links() -> impl Strategy<Value = Vec<span::Link>> {
    let trace_id = prop_oneof![Just(TRACE.to_vec()), any::<[u8; 16]>().prop_map(|id| id.to_vec())];
    let link = (trace_id, any::<[u8; 8]>(), "[a-c]{0,2}", key_values(), 0..3u32, 0..3u32).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| span::Link {
            trace_id,
            span_id: span_id.to_vec(),
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    );
    prop::collection::vec(link, 0..3)
}

fn a_span() -> impl Strategy<Value = Span> {
    let id = || (1..9u8).prop_map(|id| vec![id; 8]);
    let parent = prop_oneof![Just(vec![]), id()];
    let time = || prop_oneof![0..1000u64, any::<u64>()];
    let status =
        prop::option::of((0..3i32, "[a-c]{0,2}").prop_map(|(code, message)| Status { message, code }));
    let counts = (0..3u32, any::<u32>(), 0..2u32, 0..4u32);
    (
        id(),
        parent,
        "[a-d]{0,2}",
        0..6i32,
        time(),
        time(),
        (status, counts, "[a-c]{0,2}"),
        key_values(),
        events(),
        links(),
    )
        .prop_map(
            |(span_id, parent_span_id, name, kind, start, end, rest, attributes, events, links)| {
                let (status, (dropped_attributes, dropped_events, dropped_links, flags), trace_state) = rest;
                Span {
                    trace_id: TRACE.to_vec(),
                    span_id,
                    parent_span_id,
                    name,
                    kind,
                    start_time_unix_nano: start,
                    end_time_unix_nano: end,
                    status,
                    trace_state,
                    attributes,
                    dropped_attributes_count: dropped_attributes,
                    events,
                    dropped_events_count: dropped_events,
                    links,
                    dropped_links_count: dropped_links,
                    flags,
                }
            },
        )
}

/// A trace with all that OTLP has.
pub(crate) fn a_trace() -> impl Strategy<Value = TracesData> {
    let url = || prop_oneof![3 => Just(""), 1 => Just("https://a"), 1 => Just("https://b")];
    let scope = ("[ab]?", "[12]?", key_values(), 0..2u32).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    let scope_spans = (prop::option::of(scope), url(), prop::collection::vec(a_span(), 0..4))
        .prop_map(|(scope, url, spans)| ScopeSpans { scope, spans, schema_url: url.to_owned() });
    let resource = (key_values(), 0..2u32)
        .prop_map(|(attributes, dropped_attributes_count)| Resource { attributes, dropped_attributes_count });
    let resource_spans = (prop::option::of(resource), url(), prop::collection::vec(scope_spans, 0..3))
        .prop_map(|(resource, url, scope_spans)| ResourceSpans {
            resource,
            scope_spans,
            schema_url: url.to_owned(),
        });
    // Some batches come twice, with all their spans again or with others.
    let again = prop::collection::vec(any::<prop::sample::Index>(), 0..2);
    (prop::collection::vec(resource_spans, 1..4), again).prop_map(|(mut resource_spans, again)| {
        for index in again {
            let mut copy = index.get(&resource_spans).clone();
            copy.scope_spans.iter_mut().flat_map(|s| &mut s.spans).for_each(|s| s.name.push('2'));
            resource_spans.push(copy);
        }
        TracesData { resource_spans }
    })
}

/// Dedicated columns, and row groups so small that a few traces have several.
pub(crate) fn options() -> WriterOptions {
    let columns = |scope, names: &'static [&'static str]| {
        names.iter().map(move |name| DedicatedColumn::string(scope, name))
    };
    let dedicated_columns = columns(DedicatedScope::Resource, &RESOURCE_DEDICATED)
        .chain(columns(DedicatedScope::Span, &SPAN_DEDICATED))
        .collect();
    WriterOptions { dedicated_columns, row_group_bytes: 2000, ..WriterOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_column_is_as_the_model_shreds_it(traces in prop::collection::vec(a_trace(), 1..8)) {
        let traces: Vec<(TraceId, TracesData)> = traces
            .into_iter()
            .zip(0u8..)
            .map(|(trace, i)| (TraceId::new(if i == 3 { TRACE } else { [i; 16].map(|b| b * 2 + 1) }), trace))
            .collect();
        let block = write(options(), &traces);
        let kept: Vec<(TraceId, &TracesData, TracesData)> = traces
            .iter()
            .map(|(id, trace)| (*id, trace, merged(trace)))
            .filter(|(_, _, trace)| !trace.resource_spans.is_empty())
            .collect();
        prop_assert_eq!(block.written.total_objects, kept.len() as u64);
        prop_assert_eq!(block.written.malformed_parts, 0);
        let rows: Vec<Tree> = kept.iter().map(|(id, input, trace)| row(id, input, trace)).collect();
        for (leaf, column) in LEAVES.iter().zip(read_columns(&block.data)) {
            let path: Vec<&str> = leaf.path.split('.').collect();
            let mut expected = Vec::new();
            for row in &rows {
                row.shred(&path, Entry { def: 0, rep: 0, value: None }, 0, &mut expected);
            }
            prop_assert_eq!(column, expected, "{}", leaf.path);
        }
        let extra = block.written.sidecars.first().map(|(_, object)| Extra::decode(object).unwrap());
        for ((_, _, trace), row) in kept.iter().zip(0..) {
            let mut read = trace.clone();
            clear_extra(&mut read);
            if let Some(extra) = &extra {
                extra.apply(row, &mut read);
            }
            prop_assert_eq!(&read, trace);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        span in prop::collection::vec(any::<u8>(), 0..60),
        trace in a_trace(),
        cut in any::<prop::sample::Index>(),
        flip in any::<u8>(),
    ) {
        let mut encoded = Encoded::from(&trace);
        for resource in &mut encoded.0 {
            for (scope, _, spans) in &mut resource.scopes {
                scope.extend_from_slice(&span[..span.len() / 2]);
                spans.push(span.clone());
                for span in spans {
                    if !span.is_empty() {
                        let at = cut.index(span.len());
                        span[at] ^= flip;
                    }
                }
            }
            resource.resource.extend_from_slice(&span);
        }
        let mut data = Vec::new();
        let mut writer = BlockWriter::new(&mut data, options()).unwrap();
        let added = writer.add_trace(TraceId::new([1; 16]), &encoded.resources());
        let accepted = matches!(added, Ok(()) | Err(WriteError::Malformed { .. }));
        prop_assert!(accepted);
        // What went before does not harm what comes after.
        let good = TracesData { resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans { spans: vec![Span { span_id: vec![1; 8], ..Span::default() }], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }] };
        writer.add_trace(TraceId::new([2; 16]), &Encoded::from(&good).resources()).unwrap();
        let written = writer.finish().unwrap();
        let columns = read_columns(&data.into());
        prop_assert_eq!(columns[0].len() as u64, written.total_objects);
    }
}

fn clear_extra(trace: &mut TracesData) {
    for rs in &mut trace.resource_spans {
        rs.schema_url.clear();
        for ss in &mut rs.scope_spans {
            ss.schema_url.clear();
            for span in &mut ss.spans {
                span.flags = 0;
                span.links.iter_mut().for_each(|link| link.flags = 0);
            }
        }
    }
}
