//! Picks spans out of a request on the encoded bytes.

use std::ops::Range;

use crate::protobuf::{bytes_field_len, put_bytes, put_bytes_header};
use crate::scan::{ResourceRef, ScopeRef, SpanBatch, SpanRef};

impl SpanBatch {
    /// A request with only the spans at the positions in `keep` (ascending), each under its own
    /// resource and scope. Span bytes are copied, never decoded.
    pub fn subset(&self, keep: &[u32]) -> Self {
        let mut subset = Self { longest_attribute: self.longest_attribute, ..Self::default() };
        let kept: Vec<&SpanRef> = keep.iter().map(|i| &self.spans[*i as usize]).collect();
        let bytes: usize = kept.iter().map(|span| span.span.len() + 8).sum();
        let mut payload = Vec::with_capacity(bytes + 1024);
        for of_resource in kept.chunk_by(|a, b| self.resource_of(a) == self.resource_of(b)) {
            self.put_resource_spans(of_resource, &mut payload, &mut subset);
        }
        subset.payload = payload.into();
        subset
    }

    fn resource_of(&self, span: &SpanRef) -> u32 {
        self.scopes[span.scope as usize].resource
    }

    fn put_resource_spans(&self, spans: &[&SpanRef], payload: &mut Vec<u8>, subset: &mut Self) {
        let Some(first) = spans.first() else { return };
        let resource = &self.resources[self.resource_of(first) as usize];
        let scopes: Vec<(&[&SpanRef], usize)> = spans
            .chunk_by(|a, b| a.scope == b.scope)
            .map(|of_scope| (of_scope, self.scope_spans_len(of_scope)))
            .collect();
        let length = bytes_field_len(resource.resource.len())
            + scopes.iter().map(|(_, length)| bytes_field_len(*length)).sum::<usize>()
            + optional_len(&resource.schema_url);
        put_bytes_header(payload, 1, length);
        let found = ResourceRef {
            resource: self.put(payload, 1, &resource.resource),
            schema_url: self.put_optional(payload, 3, &resource.schema_url),
        };
        let index = subset.resources.len() as u32;
        subset.resources.push(found);
        for (of_scope, length) in scopes {
            put_bytes_header(payload, 2, length);
            self.put_scope_spans(of_scope, index, payload, subset);
        }
    }

    fn put_scope_spans(&self, spans: &[&SpanRef], resource: u32, payload: &mut Vec<u8>, subset: &mut Self) {
        let Some(first) = spans.first() else { return };
        let scope = &self.scopes[first.scope as usize];
        let found = ScopeRef {
            resource,
            scope: self.put(payload, 1, &scope.scope),
            schema_url: self.put_optional(payload, 3, &scope.schema_url),
        };
        let index = subset.scopes.len() as u32;
        subset.scopes.push(found);
        for span in spans {
            let field_start = payload.len() as u32;
            let body = self.put(payload, 2, &span.span);
            subset.spans.push(SpanRef { trace_id: span.trace_id, scope: index, span: body, field_start });
        }
    }

    fn scope_spans_len(&self, spans: &[&SpanRef]) -> usize {
        let Some(first) = spans.first() else { return 0 };
        let scope = &self.scopes[first.scope as usize];
        bytes_field_len(scope.scope.len())
            + optional_len(&scope.schema_url)
            + spans.iter().map(|span| bytes_field_len(span.span.len())).sum::<usize>()
    }

    /// Copies a body as field `number`; where it went.
    fn put(&self, payload: &mut Vec<u8>, number: u8, body: &Range<u32>) -> Range<u32> {
        put_bytes(payload, number, self.bytes(body));
        let end = payload.len() as u32;
        end - body.len() as u32..end
    }

    /// The same for a field that is left out when empty.
    fn put_optional(&self, payload: &mut Vec<u8>, number: u8, body: &Range<u32>) -> Range<u32> {
        if body.is_empty() { Range::default() } else { self.put(payload, number, body) }
    }
}

const fn optional_len(body: &Range<u32>) -> usize {
    let length = (body.end - body.start) as usize;
    if length == 0 { 0 } else { bytes_field_len(length) }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tempoform_wire::otlp::*;

    use crate::scan_export_request;

    fn sent() -> ExportTraceServiceRequest {
        let span = |trace: u8, id: u8| Span {
            trace_id: vec![trace; 16],
            span_id: vec![id; 8],
            name: "x".repeat(usize::from(id) * 40),
            ..Default::default()
        };
        let scope = |name: &str, spans| ScopeSpans {
            scope: Some(InstrumentationScope { name: name.into(), ..Default::default() }),
            spans,
            schema_url: name.into(),
        };
        ExportTraceServiceRequest {
            resource_spans: vec![
                ResourceSpans {
                    resource: Some(Resource { dropped_attributes_count: 1, ..Default::default() }),
                    scope_spans: vec![
                        scope("a", vec![span(1, 1), span(2, 2), span(1, 3)]),
                        scope("", vec![span(2, 4)]),
                    ],
                    schema_url: "url".into(),
                },
                ResourceSpans { scope_spans: vec![scope("c", vec![span(1, 5)])], ..Default::default() },
            ],
        }
    }

    #[test]
    fn every_subset_holds_exactly_its_spans_and_scans_to_the_same_references() {
        let batch = scan_export_request(sent().encode_to_vec().into()).expect("valid");
        for mask in 0u32..32 {
            let keep: Vec<u32> = (0..5).filter(|i| mask & (1 << i) != 0).collect();
            let subset = batch.subset(&keep);
            let rescanned = scan_export_request(subset.payload.clone()).expect("valid");
            assert_eq!(rescanned.spans, subset.spans);
            assert_eq!(rescanned.spans.len(), keep.len());
            for (span, original) in subset.spans.iter().zip(&keep) {
                let original = &batch.spans[*original as usize];
                assert_eq!(subset.bytes(&span.span), batch.bytes(&original.span));
                let (scope, was) =
                    (&subset.scopes[span.scope as usize], &batch.scopes[original.scope as usize]);
                assert_eq!(subset.bytes(&scope.scope), batch.bytes(&was.scope));
                assert_eq!(subset.bytes(&scope.schema_url), batch.bytes(&was.schema_url));
                let resource = &subset.resources[scope.resource as usize];
                let resource_was = &batch.resources[was.resource as usize];
                assert_eq!(subset.bytes(&resource.resource), batch.bytes(&resource_was.resource));
            }
        }
        let all = batch.subset(&[0, 1, 2, 3, 4]);
        let decoded = ExportTraceServiceRequest::decode(all.payload).expect("valid");
        assert_eq!(decoded.resource_spans[0], sent().resource_spans[0]);
    }
}
