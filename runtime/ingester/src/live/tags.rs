//! Attribute names and values of recent spans.

use std::collections::{BTreeMap, BTreeSet};

use tempoform_block::TagScope;
use tempoform_core::{Error, ErrorKind, Result};
use tempoform_traceql::{Query, Static, lenient_filter, parse_attribute, value_of};
use tempoform_wire::internal::{TagNamesRequest, TagNamesResponse, TagValuesRequest, TagValuesResponse};
use tempoform_wire::otlp::{KeyValue, ResourceSpans, ScopeSpans, Span};
use tempoform_wire::tempopb::{SearchTagsV2Scope, TagValue};

use super::Work;
use super::batch::{LiveTrace, batch};
use super::each_slice;
use crate::ingester::fresh;
use crate::tenant_log::Snapshot;

type Names = BTreeMap<TagScope, BTreeSet<String>>;

/// Names by scope, of spans that match the request's filter.
pub(crate) fn tag_names(
    snapshot: &Snapshot,
    request: &TagNamesRequest,
    work: &Work,
) -> Result<TagNamesResponse> {
    let scopes = scopes(&request.scope)?;
    let filter = lenient_filter(&request.query);
    let mut response = TagNamesResponse { fresh_blocks: fresh(snapshot), ..TagNamesResponse::default() };
    let mut names = Names::new();
    each_slice(snapshot, (request.start, request.end), work, &mut response.failures, |traces| {
        let wanted = matching(filter.as_ref(), &traces)?;
        collect_names(&traces, |span| wanted.as_ref().is_none_or(|spans| spans.contains(&span)), &mut names);
        Ok(())
    })?;
    let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
    response.scopes = names
        .into_iter()
        .filter(|(scope, _)| scopes.contains(scope))
        .map(|(scope, tags)| SearchTagsV2Scope {
            name: scope.as_str().to_owned(),
            tags: tags.into_iter().take(limit).collect(),
        })
        .collect();
    Ok(response)
}

fn scopes(name: &str) -> Result<Vec<TagScope>> {
    if name.is_empty() || name == "none" {
        return Ok(TagScope::ALL.to_vec());
    }
    let found: Vec<TagScope> = TagScope::ALL.into_iter().filter(|scope| scope.as_str() == name).collect();
    if found.is_empty() && name != "intrinsic" && name != "trace" {
        return Err(Error::new(ErrorKind::Invalid, format!("unknown scope {name:?}")));
    }
    Ok(found)
}

/// The span rows that match; `None` without a filter.
fn matching(filter: Option<&Query>, traces: &[LiveTrace]) -> Result<Option<BTreeSet<u32>>> {
    let Some(filter) = filter else { return Ok(None) };
    let columns = batch(traces, &filter.fields());
    let matches =
        filter.evaluate(&columns).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
    let spans = matches.into_iter().flat_map(|found| found.spansets).flat_map(|set| set.spans);
    Ok(Some(spans.collect()))
}

fn collect_names(traces: &[LiveTrace], is_wanted: impl Fn(u32) -> bool, names: &mut Names) {
    let mut row = 0;
    for resource in traces.iter().flat_map(|trace| &trace.data.resource_spans) {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                if is_wanted(row) {
                    names_around(resource, scope, span, names);
                }
                row += 1;
            }
        }
    }
}

fn names_around(resource: &ResourceSpans, scope: &ScopeSpans, span: &Span, names: &mut Names) {
    let mut add = |scope: TagScope, attributes: &[KeyValue]| {
        for attribute in attributes {
            let known = names.entry(scope).or_default();
            if !known.contains(&attribute.key) {
                known.insert(attribute.key.clone());
            }
        }
    };
    add(TagScope::Span, &span.attributes);
    add(TagScope::Resource, resource.resource.as_ref().map_or(&[], |resource| &resource.attributes));
    add(TagScope::Instrumentation, scope.scope.as_ref().map_or(&[], |scope| &scope.attributes));
    span.events.iter().for_each(|event| add(TagScope::Event, &event.attributes));
    span.links.iter().for_each(|link| add(TagScope::Link, &link.attributes));
}

/// Distinct values of an attribute or intrinsic, of spans that match the request's filter.
pub(crate) fn tag_values(
    snapshot: &Snapshot,
    request: &TagValuesRequest,
    work: &Work,
) -> Result<TagValuesResponse> {
    let tag = parse_attribute(&request.tag)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("tag {:?}: {error}", request.tag)))?;
    let filter = lenient_filter(&request.query);
    let fields = tag.fields();
    let mut response = TagValuesResponse { fresh_blocks: fresh(snapshot), ..TagValuesResponse::default() };
    let mut values = BTreeSet::new();
    each_slice(snapshot, (request.start, request.end), work, &mut response.failures, |traces| {
        let columns = batch(&traces, &fields);
        let wanted = matching(filter.as_ref(), &traces)?;
        let spans = (0..columns.layout.spans())
            .filter(|span| wanted.as_ref().is_none_or(|spans| spans.contains(span)));
        for span in spans {
            for field in &fields {
                value_of(&columns, field, span).into_iter().for_each(|value| add_typed(value, &mut values));
            }
        }
        Ok(())
    })?;
    let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
    response.values = values
        .into_iter()
        .take(limit)
        .map(|(kind, value)| TagValue { r#type: kind.to_owned(), value })
        .collect();
    Ok(response)
}

/// Adds a value's type and text. Durations have no values worth listing; an array counts by element.
fn add_typed(value: Static, values: &mut BTreeSet<(&'static str, String)>) {
    let mut add = |kind, value: String| {
        values.insert((kind, value));
    };
    match value {
        Static::Nil | Static::Duration(_) => {}
        Static::String(text) => add("string", text),
        Static::Int(int) => add("int", int.to_string()),
        Static::Float(float) => add("float", float.to_string()),
        Static::Bool(bool) => add("bool", bool.to_string()),
        Static::Status(status) => add("keyword", status.as_str().to_owned()),
        Static::Kind(kind) => add("keyword", kind.as_str().to_owned()),
        Static::StringArray(texts) => texts.into_iter().for_each(|text| add("string", text)),
        Static::IntArray(ints) => ints.iter().for_each(|int| add("int", int.to_string())),
        Static::FloatArray(floats) => floats.iter().for_each(|float| add("float", float.to_string())),
        Static::BoolArray(bools) => bools.iter().for_each(|bool| add("bool", bool.to_string())),
    }
}
