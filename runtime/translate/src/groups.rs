use std::collections::HashMap;

use prost::Message as _;
use tempoform_wire::otlp::{
    ExportTraceServiceRequest, InstrumentationScope, Resource, ResourceSpans, ScopeSpans, Span,
};

/// Spans under their resource and scope, of which each stands once.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    request: ExportTraceServiceRequest,
    /// By encoded resource.
    resources: HashMap<Vec<u8>, usize>,
    /// By resource, name and version.
    scopes: HashMap<(usize, String, String), usize>,
}

impl Groups {
    /// The place of `resource`, for [`Groups::push`].
    pub(crate) fn resource(&mut self, resource: Resource) -> usize {
        let list = &mut self.request.resource_spans;
        *self.resources.entry(resource.encode_to_vec()).or_insert_with(|| {
            list.push(ResourceSpans { resource: Some(resource), ..ResourceSpans::default() });
            list.len() - 1
        })
    }

    /// Adds a span; `resource` is what [`Groups::resource`] gave.
    pub(crate) fn push(&mut self, resource: usize, scope: Option<InstrumentationScope>, span: Span) {
        let name = scope.as_ref().map(|scope| (scope.name.clone(), scope.version.clone()));
        let (name, version) = name.unwrap_or_default();
        let list = &mut self.request.resource_spans[resource].scope_spans;
        let place = *self.scopes.entry((resource, name, version)).or_insert_with(|| {
            list.push(ScopeSpans { scope, ..ScopeSpans::default() });
            list.len() - 1
        });
        list[place].spans.push(span);
    }

    /// The request.
    pub(crate) fn encode(self) -> Vec<u8> {
        self.request.encode_to_vec()
    }
}
