use tempoform_wire::otlp::{self, TracesData};

use super::*;

pub(crate) mod columns;
mod file;
pub(crate) mod model;
mod tempo;

/// A block in memory.
struct Block {
    data: Bytes,
    written: WrittenBlock,
}

/// Writes traces that come as messages.
fn write(options: WriterOptions, traces: &[(TraceId, TracesData)]) -> Block {
    let mut data = Vec::new();
    let mut writer = BlockWriter::new(&mut data, options).unwrap();
    for (id, trace) in traces {
        let encoded = Encoded::from(trace);
        writer.add_trace(*id, &encoded.resources()).unwrap();
    }
    let written = writer.finish().unwrap();
    Block { data: data.into(), written }
}

/// A trace whose parts are encoded.
struct Encoded(Vec<EncodedResourceSpans>);

struct EncodedResourceSpans {
    resource: Vec<u8>,
    schema_url: String,
    scopes: Vec<(Vec<u8>, String, Vec<Vec<u8>>)>,
}

impl From<&TracesData> for Encoded {
    fn from(trace: &TracesData) -> Self {
        use prost::Message as _;
        let scope = |scope: &otlp::ScopeSpans| {
            let spans = scope.spans.iter().map(otlp::Span::encode_to_vec).collect();
            let body = scope.scope.as_ref().map_or_else(Vec::new, |scope| scope.encode_to_vec());
            (body, scope.schema_url.clone(), spans)
        };
        let resource = |resource: &otlp::ResourceSpans| EncodedResourceSpans {
            resource: resource.resource.as_ref().map_or_else(Vec::new, |resource| resource.encode_to_vec()),
            schema_url: resource.schema_url.clone(),
            scopes: resource.scope_spans.iter().map(scope).collect(),
        };
        Self(trace.resource_spans.iter().map(resource).collect())
    }
}

impl Encoded {
    fn resources(&self) -> Vec<EncodedResource<'_>> {
        self.0
            .iter()
            .map(|resource| EncodedResource {
                resource: &resource.resource,
                schema_url: resource.schema_url.as_bytes(),
                scopes: resource
                    .scopes
                    .iter()
                    .map(|(scope, schema_url, spans)| EncodedScope {
                        scope,
                        schema_url: schema_url.as_bytes(),
                        spans: spans.iter().map(Vec::as_slice).collect(),
                    })
                    .collect(),
            })
            .collect()
    }
}
