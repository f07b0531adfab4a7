//! Jaeger's model as OTLP.

use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::span::{Event, Link};
use tempoform_wire::otlp::{self, KeyValue, Resource, SpanKind, Status, StatusCode};

use super::{Batch, Log, Process, Reference, ReferenceKind, Span};
use crate::attributes::{
    ERROR, NO_SERVICE_NAME, SERVICE_NAME, SPAN_KIND, STATUS_CODE, STATUS_DESCRIPTION, TRACE_STATE,
    status_code, take_scope, take_text, text, text_of, unique, value,
};
use crate::groups::Groups;

/// What some HTTP instrumentation says of a failure.
const HTTP_STATUS_MESSAGE: &str = "http.status_message";
/// The lowest bit of flags is W3C's "sampled" in both formats; the others differ.
const SAMPLED: u32 = 1;

pub(crate) fn groups(batch: Batch) -> Groups {
    let mut groups = Groups::default();
    let Batch { process, spans } = batch;
    let mut of_batch = None;
    let mut process = process.map(resource);
    for mut span in spans {
        let place = match span.process.take() {
            Some(own) => groups.resource(resource(own)),
            None => *of_batch.get_or_insert_with(|| groups.resource(process.take().unwrap_or_default())),
        };
        let (scope, span) = translate(span);
        groups.push(place, scope, span);
    }
    groups
}

fn resource(process: Process) -> Resource {
    let Process { service_name, mut tags } = process;
    if !service_name.is_empty() && service_name != NO_SERVICE_NAME {
        tags.insert(0, text(SERVICE_NAME, service_name));
    }
    let mut attributes = unique(tags);
    if value(&attributes, "host.name").is_none() {
        rename(&mut attributes, "hostname", "host.name");
    }
    if value(&attributes, "opencensus.exporterversion").is_none()
        && let Some(version) = take_text(&mut attributes, "jaeger.version")
    {
        attributes.push(text("opencensus.exporterversion", format!("Jaeger-{version}")));
    }
    Resource { attributes, ..Resource::default() }
}

fn rename(attributes: &mut [KeyValue], from: &str, to: &str) {
    if let Some(attribute) = attributes.iter_mut().find(|attribute| attribute.key == from) {
        to.clone_into(&mut attribute.key);
    }
}

fn translate(span: Span) -> (Option<otlp::InstrumentationScope>, otlp::Span) {
    let parent = parent(&span);
    let Span { trace_id, span_id, operation_name, references, flags, start, end, tags, logs, .. } = span;
    let mut attributes = unique(tags);
    let scope = take_scope(&mut attributes);
    let kind = take_text(&mut attributes, SPAN_KIND).map_or(SpanKind::Unspecified, |kind| span_kind(&kind));
    let status = status(&mut attributes, kind);
    let trace_state = take_text(&mut attributes, TRACE_STATE).unwrap_or_default();
    let is_parent = |reference: &Reference| {
        reference.kind == ReferenceKind::ChildOf
            && reference.trace_id == trace_id
            && parent.is_some_and(|parent| parent == reference.span_id)
    };
    let span = otlp::Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        trace_state,
        parent_span_id: parent.map(|id| id.to_vec()).unwrap_or_default(),
        name: operation_name,
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes,
        events: logs.into_iter().map(event).collect(),
        links: references.into_iter().filter(|reference| !is_parent(reference)).map(link).collect(),
        status,
        flags: flags & SAMPLED,
        ..otlp::Span::default()
    };
    (scope, span)
}

/// The parent that is named; else one that a reference inside the trace names, `CHILD_OF` before `FOLLOWS_FROM`.
fn parent(span: &Span) -> Option<[u8; 8]> {
    if span.parent_span_id != [0; 8] {
        return Some(span.parent_span_id);
    }
    let inside = || span.references.iter().filter(|reference| reference.trace_id == span.trace_id);
    let found =
        inside().find(|reference| reference.kind == ReferenceKind::ChildOf).or_else(|| inside().next());
    found.map(|reference| reference.span_id).filter(|id| *id != [0; 8])
}

fn link(reference: Reference) -> Link {
    let kind = match reference.kind {
        ReferenceKind::ChildOf => "child_of",
        ReferenceKind::FollowsFrom => "follows_from",
    };
    Link {
        trace_id: reference.trace_id.to_vec(),
        span_id: reference.span_id.to_vec(),
        attributes: vec![text("opentracing.ref_type", kind)],
        ..Link::default()
    }
}

/// OpenTracing's field `event` names it; older exporters of OpenTelemetry wrote the name as `message`.
fn event(log: Log) -> Event {
    let mut attributes = unique(log.fields);
    let name = take_text(&mut attributes, "event").or_else(|| take_text(&mut attributes, "message"));
    Event { time_unix_nano: log.time, name: name.unwrap_or_default(), attributes, ..Event::default() }
}

fn span_kind(kind: &str) -> SpanKind {
    match kind {
        "client" => SpanKind::Client,
        "server" => SpanKind::Server,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        "internal" => SpanKind::Internal,
        _ => SpanKind::Unspecified,
    }
}

/// The tag `error` decides; without it `otel.status_code`, and last what an HTTP status means.
fn status(attributes: &mut Vec<KeyValue>, kind: SpanKind) -> Option<Status> {
    let named = take_text(attributes, STATUS_CODE);
    if value(attributes, ERROR) == Some(&Value::BoolValue(true)) {
        attributes.retain(|attribute| attribute.key != ERROR);
        let message = take_text(attributes, STATUS_DESCRIPTION)
            .or_else(|| text_of(attributes, HTTP_STATUS_MESSAGE).map(str::to_owned));
        return Some(Status { code: StatusCode::Error.into(), message: message.unwrap_or_default() });
    }
    if let Some(named) = named {
        let message = take_text(attributes, STATUS_DESCRIPTION).unwrap_or_default();
        return Some(Status { code: status_code(&named).into(), message });
    }
    let code = http_status(value(attributes, "http.status_code")?)?;
    if !is_http_error(code, kind) {
        return None;
    }
    let message = text_of(attributes, HTTP_STATUS_MESSAGE).unwrap_or_default().to_owned();
    Some(Status { code: StatusCode::Error.into(), message })
}

fn http_status(value: &Value) -> Option<i64> {
    match value {
        Value::IntValue(code) => Some(*code),
        Value::StringValue(code) => code.parse().ok(),
        _ => None,
    }
}

/// A server is not to blame for what its client asked (semantic conventions for HTTP).
const fn is_http_error(code: i64, kind: SpanKind) -> bool {
    match code {
        100..400 => false,
        400..500 => !matches!(kind, SpanKind::Server),
        _ => true,
    }
}
