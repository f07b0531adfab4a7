//! `max_attribute_bytes`: Tempo cuts longer attribute keys and string values. Done on the encoded bytes: what is
//! short enough is copied as it is.

use tempoform_core::protobuf::{Fields, Value, put_bytes_header};
use tempoform_core::{Error, ErrorKind, Result};

use crate::metrics;

/// The request with every attribute key and string value cut to `limit` bytes.
///
/// # Errors
/// When it is no request; one that passed the scan is.
pub(crate) fn truncate_attributes(payload: &[u8], limit: usize, tenant: &str) -> Result<Vec<u8>> {
    let mut cuts = Cuts { limit, tenant, scope: "resource", count: 0 };
    let mut out = Vec::with_capacity(payload.len());
    cuts.message(Message::Request, payload, &mut out)?;
    Ok(out)
}

/// The messages on the way to an attribute's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Request,
    ResourceSpans,
    Resource,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Attribute,
    AnyValue,
    List,
    Map,
    /// No message: a text that may be too long.
    Text,
}

impl Message {
    /// What field `number` of this message holds; `None`: nothing of interest.
    const fn field(self, number: u32) -> Option<Self> {
        Some(match (self, number) {
            (Self::Request, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 1) => Self::Resource,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::ScopeSpans, 1) => Self::Scope,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::Resource, 1) | (Self::Scope | Self::Event, 3) | (Self::Span, 9) | (Self::Link, 4) => {
                Self::Attribute
            }
            (Self::Attribute | Self::AnyValue, 1) => Self::Text,
            (Self::Attribute, 2) | (Self::List, 1) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::List,
            (Self::AnyValue, 6) => Self::Map,
            (Self::Map, 1) => Self::Attribute,
            _ => return None,
        })
    }

    /// The label of attributes directly in this message.
    const fn scope(self) -> Option<&'static str> {
        match self {
            Self::Resource => Some("resource"),
            Self::Scope => Some("scope"),
            Self::Span => Some("span"),
            Self::Event => Some("event"),
            Self::Link => Some("link"),
            _ => None,
        }
    }
}

struct Cuts<'a> {
    limit: usize,
    tenant: &'a str,
    scope: &'static str,
    count: u64,
}

impl Cuts<'_> {
    /// Appends `body`, a message of kind `message`, cut where need be.
    fn message(&mut self, message: Message, body: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (outer, counted) = (self.scope, self.count);
        self.scope = message.scope().unwrap_or(outer);
        let malformed =
            |error| Error::new(ErrorKind::Invalid, format!("malformed OTLP request: {message:?} {error}"));
        let mut fields = Fields::new(body);
        let mut start = 0;
        while let Some((number, value)) = fields.next_field().map_err(malformed)? {
            let end = fields.position();
            match (message.field(number), value) {
                // Nothing in what is this short can be too long.
                (Some(inner), Value::Bytes(bytes)) if bytes.len() > self.limit => {
                    let mut cut = Vec::with_capacity(bytes.len());
                    if inner == Message::Text {
                        cut.extend_from_slice(&bytes[..character_boundary(bytes, self.limit)]);
                        self.count += 1;
                    } else {
                        self.message(inner, bytes, &mut cut)?;
                    }
                    put_bytes_header(out, number as u8, cut.len());
                    out.extend_from_slice(&cut);
                }
                _ => out.extend_from_slice(&body[start..end]),
            }
            start = end;
        }
        if message.scope().is_some() && self.count > counted {
            let labels = [self.tenant, self.scope];
            metrics::ATTRIBUTES_TRUNCATED.with_label_values(&labels).inc_by(self.count - counted);
            // Counted here, and not again for the span of an event.
            self.count = counted;
        }
        self.scope = outer;
        Ok(())
    }
}

/// The last character boundary of `text` within `limit`.
fn character_boundary(text: &[u8], limit: usize) -> usize {
    (0..=limit).rev().find(|at| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tempoform_wire::otlp::any_value::Value::{ArrayValue, KvlistValue, StringValue};
    use tempoform_wire::otlp::{self, AnyValue, ExportTraceServiceRequest, KeyValue};

    use super::*;

    fn value(value: otlp::any_value::Value) -> Option<AnyValue> {
        Some(AnyValue { value: Some(value) })
    }

    /// Attributes with a text of `length` bytes in every place that can hold one.
    fn attributes(length: usize) -> Vec<KeyValue> {
        let text = || StringValue("v".repeat(length));
        let key = |name: &str, value| KeyValue { key: name.to_owned(), value };
        let list = otlp::ArrayValue { values: vec![value(text()).expect("some")] };
        let map = otlp::KeyValueList { values: vec![key("in", value(text()))] };
        vec![
            key(&"k".repeat(length), None),
            key("text", value(text())),
            key("list", value(ArrayValue(list))),
            key("map", value(KvlistValue(map))),
        ]
    }

    fn request(length: usize) -> ExportTraceServiceRequest {
        let event =
            otlp::span::Event { attributes: attributes(length), name: "e".repeat(99), ..Default::default() };
        let link = otlp::span::Link { attributes: attributes(length), ..Default::default() };
        let span = otlp::Span {
            name: "a name is no attribute".repeat(9),
            attributes: attributes(length),
            events: vec![event],
            links: vec![link],
            ..Default::default()
        };
        let scope = otlp::InstrumentationScope { attributes: attributes(length), ..Default::default() };
        let resource = otlp::Resource { attributes: attributes(length), ..Default::default() };
        let scope_spans = otlp::ScopeSpans { scope: Some(scope), spans: vec![span], ..Default::default() };
        let resource_spans = otlp::ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            schema_url: "u".repeat(99),
        };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
    }

    #[test]
    fn attributes_are_cut_wherever_they_stand_and_nothing_else_is() {
        let cut = truncate_attributes(&request(80).encode_to_vec(), 50, "cut-test").expect("a request");
        assert_eq!(ExportTraceServiceRequest::decode(cut.as_slice()).expect("a request"), request(50));
        for scope in ["resource", "scope", "span", "event", "link"] {
            let counted = metrics::ATTRIBUTES_TRUNCATED.with_label_values(&["cut-test", scope]).get();
            assert_eq!(counted, 4, "{scope}");
        }
    }

    #[test]
    fn a_character_is_not_cut_in_half() {
        for (limit, expected) in [(5, 4), (4, 4), (3, 3), (1, 1), (0, 0)] {
            assert_eq!(character_boundary("aäaäaä".as_bytes(), limit), expected, "{limit}");
        }
    }
}
