//! Zipkin's model as OTLP.

use std::collections::HashMap;

use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::span::{Event, Link};
use tempoform_wire::otlp::{self, KeyValue, SpanKind, Status, StatusCode};

use super::json::hex;
use super::resource::take_resource;
use super::scalar::Scalar;
use super::{Annotation, Endpoint, Span};
use crate::attributes::{
    ERROR, SPAN_KIND, STATUS_CODE, STATUS_DESCRIPTION, TRACE_STATE, attribute, status_code, take_scope,
    take_text, text, text_of, unique,
};
use crate::groups::Groups;

const NANOS_PER_MICRO: u64 = 1000;

/// The Collector gives all spans of a service the resource of the first; here each has its own.
pub(crate) fn groups(spans: Vec<Span>) -> Groups {
    let mut groups = Groups::default();
    for span in spans {
        let Span {
            trace_id,
            id,
            parent_id,
            kind,
            name,
            timestamp,
            duration,
            local,
            remote,
            annotations,
            tags,
        } = span;
        let mut attributes = unique(tags.into_iter().map(|(key, value)| text(key, value)).collect());
        let resource = take_resource(local.service_name.clone(), &mut attributes);
        let scope = take_scope(&mut attributes);
        let kind = self::kind(kind, &mut attributes);
        let status = status(&mut attributes);
        let trace_state = take_text(&mut attributes, TRACE_STATE).unwrap_or_default();
        let links = links(&mut attributes);
        attributes.extend(addresses(local, remote));
        if timestamp == 0 {
            attributes.push(attribute("otel.zipkin.absentField.startTime", Value::BoolValue(true)));
        }
        let span = otlp::Span {
            trace_id: trace_id.to_vec(),
            span_id: id.to_vec(),
            trace_state,
            // A server's span that shares its client's id names itself.
            parent_span_id: parent_id
                .filter(|parent| *parent != id && *parent != [0; 8])
                .map(|parent| parent.to_vec())
                .unwrap_or_default(),
            name,
            kind: kind.into(),
            start_time_unix_nano: timestamp.saturating_mul(NANOS_PER_MICRO),
            end_time_unix_nano: timestamp.saturating_add(duration).saturating_mul(NANOS_PER_MICRO),
            attributes: unique(attributes),
            events: annotations.into_iter().map(event).collect(),
            links,
            status,
            ..otlp::Span::default()
        };
        let place = groups.resource(resource);
        groups.push(place, scope, span);
    }
    groups
}

/// Zipkin has no kind for work inside a process; exporters write it as a tag.
fn kind(kind: SpanKind, attributes: &mut Vec<KeyValue>) -> SpanKind {
    if kind != SpanKind::Unspecified {
        return kind;
    }
    match take_text(attributes, SPAN_KIND).as_deref() {
        Some("internal") => SpanKind::Internal,
        _ => SpanKind::Unspecified,
    }
}

/// As OpenTelemetry's exporters write it: the code by name, the description as `otel.status_description` or in the
/// tag `error`. That tag alone means a failure only if it is `true`.
fn status(attributes: &mut Vec<KeyValue>) -> Option<Status> {
    let code = take_text(attributes, STATUS_CODE).map(|name| status_code(&name));
    let failed = text_of(attributes, ERROR) == Some("true");
    if failed {
        attributes.retain(|attribute| attribute.key != ERROR);
    }
    let code = if failed { StatusCode::Error } else { code? };
    let message = take_text(attributes, STATUS_DESCRIPTION)
        .or_else(|| text_of(attributes, ERROR).filter(|_| code == StatusCode::Error).map(str::to_owned));
    Some(Status { code: code.into(), message: message.unwrap_or_default() })
}

fn addresses(local: Endpoint, remote: Endpoint) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    if !remote.service_name.is_empty() {
        attributes.push(text("peer.service", remote.service_name));
    }
    for (endpoint_address, port, side) in
        [(local.address, local.port, "net.host"), (remote.address, remote.port, "net.peer")]
    {
        attributes.extend(endpoint_address.map(|address| text(format!("{side}.ip"), address.to_string())));
        let port = (port > 0).then(|| attribute(format!("{side}.port"), Value::IntValue(port.into())));
        attributes.extend(port);
    }
    attributes
}

/// Tags `otel.link.0`, `otel.link.1` and so on: `trace id|span id|state|attributes in JSON|dropped attributes`. One
/// of another form stays a tag.
fn links(attributes: &mut Vec<KeyValue>) -> Vec<Link> {
    const PREFIX: &str = "otel.link.";
    let mut links: Vec<(u32, Link)> = Vec::new();
    attributes.retain(|attribute| {
        let Some(number) = attribute.key.strip_prefix(PREFIX).and_then(|number| number.parse().ok()) else {
            return true;
        };
        let text = text_of(std::slice::from_ref(attribute), &attribute.key);
        let Some(link) = text.and_then(link) else { return true };
        links.push((number, link));
        false
    });
    links.sort_by_key(|(number, _)| *number);
    links.into_iter().map(|(_, link)| link).collect()
}

fn link(text: &str) -> Option<Link> {
    let (trace_id, rest) = text.split_once('|')?;
    let (span_id, rest) = rest.split_once('|')?;
    let (trace_state, rest) = rest.split_once('|')?;
    let (attributes, dropped) = with_attributes(rest)?;
    Some(Link {
        trace_id: hex::<16>(trace_id)?.to_vec(),
        span_id: hex::<8>(span_id)?.to_vec(),
        trace_state: trace_state.to_owned(),
        attributes,
        dropped_attributes_count: dropped,
        ..Link::default()
    })
}

/// An annotation is a name, or `name|attributes in JSON|dropped attributes`.
fn event(annotation: Annotation) -> Event {
    let Annotation { timestamp, value } = annotation;
    let time_unix_nano = timestamp.saturating_mul(NANOS_PER_MICRO);
    if let Some((name, rest)) = value.split_once('|')
        && let Some((attributes, dropped_attributes_count)) = with_attributes(rest)
    {
        return Event { time_unix_nano, name: name.to_owned(), attributes, dropped_attributes_count };
    }
    Event { time_unix_nano, name: value, ..Event::default() }
}

/// `attributes in JSON|dropped attributes`.
fn with_attributes(text: &str) -> Option<(Vec<KeyValue>, u32)> {
    let (json, dropped) = text.rsplit_once('|')?;
    let members: HashMap<String, Scalar> = serde_json::from_str(json).ok()?;
    let mut attributes: Vec<KeyValue> =
        members.into_iter().filter_map(|(key, Scalar(value))| Some(attribute(key, value?))).collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    Some((attributes, dropped.parse().ok()?))
}
