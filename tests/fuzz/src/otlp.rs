//! OTLP requests.

use bytes::Bytes;
use prost::Message as _;
use tempoform_block::{BlockWriter, EncodedResource, EncodedScope, WriterOptions};
use tempoform_core::{MalformedRequest, ResourceRef, ScopeRef, SpanBatch, scan_export_request};
use tempoform_wire::otlp::{ExportTraceServiceRequest, InstrumentationScope, Resource, Span};

use crate::blocks::{File, written_spans};
use crate::input::Input;
use crate::resources::within;

/// What passes the scan decodes to the same spans, and so does every part of it; what does not pass is wrong.
pub(crate) fn scan(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    // A span takes 29 bytes at least, what is noted of one about 100.
    let scanned = within(data.len() * 16, || scan_export_request(payload.clone()));
    let decoded = ExportTraceServiceRequest::decode(payload);
    match (scanned, decoded) {
        (Ok(batch), Ok(request)) => {
            same_spans(&batch, &request);
            subsets(&batch, data);
        }
        (Ok(_), Err(error)) => unreachable!("passes the scan and does not decode: {error}"),
        (Err(error), decoded) => {
            if decoded.is_ok() {
                reason_to_refuse(&error);
            }
        }
    }
}

/// What prost takes and we do not.
fn reason_to_refuse(error: &MalformedRequest) {
    let text = error.to_string();
    let strict = ["twice", "deeper than", "unknown wire type", "field number out of range"];
    let is_strict = strict.iter().any(|reason| text.contains(reason));
    assert!(is_strict || error.reason() != "malformed", "{text}");
}

fn same_spans(batch: &SpanBatch, request: &ExportTraceServiceRequest) {
    let mut refs = batch.spans.iter();
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                let found = refs.next().expect("the scan sees every span");
                let decoded = Span::decode(batch.bytes(&found.span)).expect("the scan checks it");
                // Floats that are not numbers differ from themselves; their bytes do not.
                assert_eq!(decoded.encode_to_vec(), span.encode_to_vec());
                assert_eq!(found.trace_id.as_bytes()[..], span.trace_id[..]);
                let around = &batch.scopes[found.scope as usize];
                let of = &batch.resources[around.resource as usize];
                let (is_scope, is_resource) = surroundings(batch, around, of);
                assert_eq!(is_scope, scope.scope.clone().unwrap_or_default().encode_to_vec());
                assert_eq!(is_resource, resource.resource.clone().unwrap_or_default().encode_to_vec());
                assert_eq!(batch.bytes(&around.schema_url), scope.schema_url.as_bytes());
                assert_eq!(batch.bytes(&of.schema_url), resource.schema_url.as_bytes());
            }
        }
    }
    assert!(refs.next().is_none(), "the scan sees more spans than there are");
}

fn surroundings(batch: &SpanBatch, scope: &ScopeRef, resource: &ResourceRef) -> (Vec<u8>, Vec<u8>) {
    let scope = InstrumentationScope::decode(batch.bytes(&scope.scope)).expect("the scan checks it");
    let resource = Resource::decode(batch.bytes(&resource.resource)).expect("the scan checks it");
    (scope.encode_to_vec(), resource.encode_to_vec())
}

/// A part of a request holds its spans under what surrounded them, and scans to the references that came with it.
fn subsets(batch: &SpanBatch, data: &[u8]) {
    let all: Vec<u32> = (0..batch.spans.len() as u32).collect();
    let some: Vec<u32> = all.iter().copied().filter(|i| data[*i as usize % data.len()] & 1 == 1).collect();
    for keep in [&all, &some, &Vec::new()] {
        let subset = batch.subset(keep);
        let rescanned = scan_export_request(subset.payload.clone()).expect("a part of what passed passes");
        assert_eq!(
            (&rescanned.spans, &rescanned.scopes, &rescanned.resources),
            (&subset.spans, &subset.scopes, &subset.resources)
        );
        assert_eq!(subset.spans.len(), keep.len());
        for (part, whole) in subset.spans.iter().zip(keep) {
            let whole = &batch.spans[*whole as usize];
            assert_eq!((part.trace_id, subset.bytes(&part.span)), (whole.trace_id, batch.bytes(&whole.span)));
            assert_eq!(around(&subset, part.scope), around(batch, whole.scope));
        }
    }
}

fn around(batch: &SpanBatch, scope: u32) -> [&[u8]; 4] {
    let scope = &batch.scopes[scope as usize];
    let resource = &batch.resources[scope.resource as usize];
    [&scope.scope, &scope.schema_url, &resource.resource, &resource.schema_url].map(|part| batch.bytes(part))
}

/// A request in JSON is one in protobuf, and the same again in JSON.
pub(crate) fn json(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<ExportTraceServiceRequest>(data) else { return };
    let encoded = request.encode_to_vec();
    if let Err(error) = scan_export_request(encoded.clone().into()) {
        assert!(error.reason() != "malformed" || error.to_string().contains("deeper than"), "{error}");
    }
    let again = serde_json::to_vec(&request).expect("OTLP has text keys alone");
    let again: ExportTraceServiceRequest = serde_json::from_slice(&again).expect("our own JSON");
    assert_eq!(again.encode_to_vec(), encoded);
}

/// What passes the scan becomes a block that is whole and has every span.
pub(crate) fn block(data: &[u8]) {
    let Ok(batch) = scan_export_request(Bytes::copy_from_slice(data)) else { return };
    let mut ids: Vec<_> = batch.spans.iter().map(|span| span.trace_id).collect();
    ids.sort_unstable();
    ids.dedup();
    // Small row groups, so that there are several.
    let options = WriterOptions {
        expected_traces: ids.len() as u64,
        row_group_bytes: 1 << (Input::new(data).byte() % 16),
        ..WriterOptions::default()
    };
    let mut file = Vec::new();
    let mut writer = BlockWriter::new(&mut file, options).expect("memory can be written to");
    for id in &ids {
        let of_trace = (0..batch.spans.len() as u32).filter(|i| batch.spans[*i as usize].trace_id == *id);
        let part = batch.subset(&of_trace.collect::<Vec<_>>());
        writer.add_trace(*id, &encoded(&part)).expect("what passed the scan can be written");
    }
    let written = writer.finish().expect("memory can be written to");
    assert_eq!(written.malformed_parts, 0, "the writer left parts out that passed the scan");
    assert_eq!(written.spans + written.duplicate_spans, batch.spans.len() as u64);
    assert_eq!(written.total_objects, ids.len() as u64);
    if ids.is_empty() {
        return;
    }
    let file = File::of(file, &written);
    assert_eq!(written_spans(&file, &ids), written.spans);
}

fn encoded(batch: &SpanBatch) -> Vec<EncodedResource<'_>> {
    let scope_of = |at: usize, scope: &ScopeRef| EncodedScope {
        scope: batch.bytes(&scope.scope),
        schema_url: batch.bytes(&scope.schema_url),
        spans: batch
            .spans
            .iter()
            .filter(|span| span.scope as usize == at)
            .map(|span| batch.bytes(&span.span))
            .collect(),
    };
    let resource_of = |(at, resource): (usize, &ResourceRef)| EncodedResource {
        resource: batch.bytes(&resource.resource),
        schema_url: batch.bytes(&resource.schema_url),
        scopes: batch
            .scopes
            .iter()
            .enumerate()
            .filter(|(_, scope)| scope.resource as usize == at)
            .map(|(at, scope)| scope_of(at, scope))
            .collect(),
    };
    batch.resources.iter().enumerate().map(resource_of).collect()
}
