//! What search shows of a trace, computed as the block writer does.

use std::collections::BTreeMap;

use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{KeyValue, ResourceSpans, Span, TracesData};
use tempoform_wire::tempopb::ServiceStats;

/// A trace in short.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) root_service: String,
    pub(super) root_name: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) services: BTreeMap<String, ServiceStats>,
    /// By span.
    pub(super) nested: Vec<Nested>,
}

/// Nested set numbers.
pub(super) type Nested = tempoform_block::NestedSetNumbers;

impl Summary {
    pub(super) fn of(data: &TracesData) -> Self {
        let mut summary = Self { start: u64::MAX, ..Self::default() };
        let mut nodes = Vec::new();
        for resource in &data.resource_spans {
            let service = service_name(resource);
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                summary.add(service, span);
                nodes.push(node(span));
            }
        }
        summary.start = summary.start.min(summary.end);
        summary.nested = tempoform_block::nested_set_numbers(&nodes);
        summary
    }

    fn add(&mut self, service: &str, span: &Span) {
        if is_root(span) {
            self.root_service = service.to_owned();
            self.root_name = span.name.clone();
        }
        self.start = self.start.min(span.start_time_unix_nano);
        self.end = self.end.max(span.end_time_unix_nano);
        let stats = self.services.entry(service.to_owned()).or_default();
        stats.span_count += 1;
        stats.error_count += u32::from(span.status.as_ref().is_some_and(|status| status.code == 2));
    }

    pub(super) fn duration_nanos(&self) -> u64 {
        self.end.wrapping_sub(self.start)
    }
}

fn service_name(resource: &ResourceSpans) -> &str {
    let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
    text_attribute(attributes, "service.name").unwrap_or_default()
}

fn text_attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.key == key).and_then(|attribute| {
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some(text.as_str()),
            _ => None,
        }
    })
}

/// No parent, and not made a child by OpenTracing's link.
fn is_root(span: &Span) -> bool {
    span.parent_span_id.is_empty()
        && !span.links.iter().any(|link| {
            link.trace_id == span.trace_id
                && text_attribute(&link.attributes, "opentracing.ref_type") == Some("child_of")
        })
}

fn node(span: &Span) -> tempoform_block::NestedSetNode {
    let number = |id: &[u8]| id.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    tempoform_block::NestedSetNode {
        id: number(&span.span_id),
        parent: (!span.parent_span_id.is_empty()).then(|| number(&span.parent_span_id)),
        kind: i64::from(span.kind),
    }
}
