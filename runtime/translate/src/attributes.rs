//! Attributes, and the tags that other formats use for what OTLP has fields for.

use std::collections::HashSet;

use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{AnyValue, InstrumentationScope, KeyValue};

/// The state of W3C trace context, which has no field elsewhere.
pub(crate) const TRACE_STATE: &str = "w3c.tracestate";
/// What kind of span it is.
pub(crate) const SPAN_KIND: &str = "span.kind";
/// That something went wrong.
pub(crate) const ERROR: &str = "error";
/// The status by name.
pub(crate) const STATUS_CODE: &str = "otel.status_code";
/// What went wrong.
pub(crate) const STATUS_DESCRIPTION: &str = "otel.status_description";
/// The service that the spans are of.
pub(crate) const SERVICE_NAME: &str = "service.name";
/// A service's name that stands for none.
pub(crate) const NO_SERVICE_NAME: &str = "OTLPResourceNoServiceName";

pub(crate) fn attribute(key: impl Into<String>, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}

pub(crate) fn text(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// The value of `key`.
pub(crate) fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

/// The value of `key`, if it is a text.
pub(crate) fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Takes the value of `key` out, if it is a text.
pub(crate) fn take_text(attributes: &mut Vec<KeyValue>, key: &str) -> Option<String> {
    let at = attributes.iter().position(|attribute| attribute.key == key)?;
    text_of(&attributes[at..=at], key)?;
    match attributes.remove(at).value?.value? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Takes out who made the span: the present name of the tag, or the older one.
pub(crate) fn take_scope(attributes: &mut Vec<KeyValue>) -> Option<InstrumentationScope> {
    let (name, older_name) =
        (take_text(attributes, "otel.scope.name"), take_text(attributes, "otel.library.name"));
    let name = name.or(older_name)?;
    let (version, older_version) =
        (take_text(attributes, "otel.scope.version"), take_text(attributes, "otel.library.version"));
    let version = version.or(older_version).unwrap_or_default();
    Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
}

/// The code of a status by its name, in either of the spellings that exporters use.
pub(crate) fn status_code(name: &str) -> tempoform_wire::otlp::StatusCode {
    use tempoform_wire::otlp::StatusCode;
    match name.to_ascii_uppercase().as_str() {
        "OK" | "STATUS_CODE_OK" => StatusCode::Ok,
        "ERROR" | "STATUS_CODE_ERROR" => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

/// In OTLP a key stands once; of several the last holds.
pub(crate) fn unique(mut attributes: Vec<KeyValue>) -> Vec<KeyValue> {
    let mut seen = HashSet::with_capacity(attributes.len());
    let last: Vec<bool> = attributes.iter().rev().map(|attribute| seen.insert(&*attribute.key)).collect();
    let mut last = last.into_iter().rev();
    attributes.retain(|_| last.next().unwrap_or(true));
    attributes
}
