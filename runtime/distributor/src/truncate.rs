//! `max_attribute_bytes`: Tempo cuts longer attribute keys and string values. Few requests have any,
//! so only these are decoded.

use prost::Message as _;
use tempoform_core::{Error, ErrorKind, Result};
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{AnyValue, ExportTraceServiceRequest, KeyValue};

use crate::metrics;

/// The request with every attribute key and string value cut to `limit` bytes.
pub(crate) fn truncate_attributes(payload: &[u8], limit: usize, tenant: &str) -> Result<Vec<u8>> {
    let mut request = ExportTraceServiceRequest::decode(payload)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("malformed OTLP request: {error}")))?;
    for resource_spans in &mut request.resource_spans {
        if let Some(resource) = &mut resource_spans.resource {
            cut(&mut resource.attributes, limit, tenant, "resource");
        }
        for scope_spans in &mut resource_spans.scope_spans {
            if let Some(scope) = &mut scope_spans.scope {
                cut(&mut scope.attributes, limit, tenant, "scope");
            }
            for span in &mut scope_spans.spans {
                cut(&mut span.attributes, limit, tenant, "span");
                span.events.iter_mut().for_each(|event| cut(&mut event.attributes, limit, tenant, "event"));
                span.links.iter_mut().for_each(|link| cut(&mut link.attributes, limit, tenant, "link"));
            }
        }
    }
    Ok(request.encode_to_vec())
}

fn cut(attributes: &mut [KeyValue], limit: usize, tenant: &str, scope: &str) {
    let cuts = attributes
        .iter_mut()
        .map(|attribute| {
            cut_text(&mut attribute.key, limit)
                + attribute.value.as_mut().map_or(0, |value| cut_value(value, limit))
        })
        .sum();
    metrics::ATTRIBUTES_TRUNCATED.with_label_values(&[tenant, scope]).inc_by(cuts);
}

fn cut_value(value: &mut AnyValue, limit: usize) -> u64 {
    match &mut value.value {
        Some(Value::StringValue(text)) => cut_text(text, limit),
        Some(Value::ArrayValue(list)) => list.values.iter_mut().map(|value| cut_value(value, limit)).sum(),
        Some(Value::KvlistValue(map)) => map
            .values
            .iter_mut()
            .map(|entry| {
                cut_text(&mut entry.key, limit)
                    + entry.value.as_mut().map_or(0, |value| cut_value(value, limit))
            })
            .sum(),
        _ => 0,
    }
}

/// Cuts at the last character boundary within `limit`.
fn cut_text(text: &mut String, limit: usize) -> u64 {
    if text.len() <= limit {
        return 0;
    }
    text.truncate(text.floor_char_boundary(limit));
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_whole_characters_wherever_the_value_stands() {
        let mut text = "aä".repeat(3);
        assert_eq!(cut_text(&mut text, 5), 1);
        assert_eq!(text, "aäa", "the limit of 5 bytes falls inside a character");
        let inner = AnyValue { value: Some(Value::StringValue("long".into())) };
        let list = tempoform_wire::otlp::ArrayValue { values: vec![inner] };
        let mut nested = AnyValue { value: Some(Value::ArrayValue(list)) };
        assert_eq!(cut_value(&mut nested, 2), 1);
        assert!(format!("{nested:?}").contains("\"lo\""));
    }
}
