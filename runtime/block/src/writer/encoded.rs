//! Traces that come as messages.

use prost::Message as _;
use tempoform_wire::otlp::TracesData;

use super::{EncodedResource, EncodedScope};

/// A trace that was decoded, with its parts encoded again.
#[derive(Debug)]
pub struct EncodedTrace {
    bytes: Vec<u8>,
    resources: Vec<Resource>,
}

type Range = std::ops::Range<usize>;

#[derive(Debug)]
struct Resource {
    resource: Range,
    schema_url: Range,
    scopes: Vec<Scope>,
}

#[derive(Debug)]
struct Scope {
    scope: Range,
    schema_url: Range,
    spans: Vec<Range>,
}

impl EncodedTrace {
    /// Encodes the parts of `trace`.
    pub fn of(trace: &TracesData) -> Self {
        let mut bytes = Vec::with_capacity(trace.encoded_len() + 64);
        let mut put = |part: &dyn Fn(&mut Vec<u8>)| {
            let start = bytes.len();
            part(&mut bytes);
            start..bytes.len()
        };
        let mut resources = Vec::with_capacity(trace.resource_spans.len());
        for resource in &trace.resource_spans {
            let mut scopes = Vec::with_capacity(resource.scope_spans.len());
            for scope in &resource.scope_spans {
                scopes.push(Scope {
                    scope: put(&|out| scope.scope.iter().for_each(|scope| encode(scope, out))),
                    schema_url: put(&|out| out.extend_from_slice(scope.schema_url.as_bytes())),
                    spans: scope.spans.iter().map(|span| put(&|out| encode(span, out))).collect(),
                });
            }
            resources.push(Resource {
                resource: put(&|out| resource.resource.iter().for_each(|resource| encode(resource, out))),
                schema_url: put(&|out| out.extend_from_slice(resource.schema_url.as_bytes())),
                scopes,
            });
        }
        Self { bytes, resources }
    }

    /// The parts, as [`BlockWriter::add_trace`](super::BlockWriter::add_trace) takes them.
    pub fn resources(&self) -> Vec<EncodedResource<'_>> {
        let part = |range: &Range| &self.bytes[range.clone()];
        let scope = |scope: &Scope| EncodedScope {
            scope: &self.bytes[scope.scope.clone()],
            schema_url: &self.bytes[scope.schema_url.clone()],
            spans: scope.spans.iter().map(|span| &self.bytes[span.clone()]).collect(),
        };
        self.resources
            .iter()
            .map(|resource| EncodedResource {
                resource: part(&resource.resource),
                schema_url: part(&resource.schema_url),
                scopes: resource.scopes.iter().map(scope).collect(),
            })
            .collect()
    }
}

fn encode(message: &impl prost::Message, out: &mut Vec<u8>) {
    // A vector grows as needed; only a buffer of fixed size could be too small.
    message.encode(out).expect("a vector has room");
}
