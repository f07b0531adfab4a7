//! Zipkin's shared span ids: a client span and the server span of the call have one id. Clients of the
//! API take an id for one span, so the server span gets an id of its own.

use std::collections::{HashMap, HashSet};

use tempoform_wire::otlp::{Span, SpanKind, TracesData};

type SpanId = [u8; 8];

/// Takes such pairs apart: the server span gets a fresh id and the shared one as its parent; what was below the
/// shared id, the client span aside, is below the server span.
pub(crate) fn take_apart(trace: &mut TracesData) {
    let mut used = HashSet::new();
    let (mut clients, mut servers) = (HashSet::new(), Vec::new());
    for span in spans(trace) {
        let Some(id) = id_of(&span.span_id) else { continue };
        used.insert(id);
        match span.kind() {
            SpanKind::Client => drop(clients.insert(id)),
            SpanKind::Server => servers.push(id),
            _ => {}
        }
    }
    servers.retain(|id| clients.contains(id));
    if servers.is_empty() {
        return;
    }
    let fresh: HashMap<SpanId, SpanId> =
        servers.into_iter().map(|id| (id, fresh_id(id, &mut used))).collect();
    for span in spans_mut(trace) {
        rename(span, &fresh);
    }
}

fn rename(span: &mut Span, fresh: &HashMap<SpanId, SpanId>) {
    let new_id = id_of(&span.span_id).and_then(|id| fresh.get(&id));
    if span.kind() == SpanKind::Server
        && let Some(new_id) = new_id
    {
        span.parent_span_id = std::mem::replace(&mut span.span_id, new_id.to_vec());
        return;
    }
    if let Some(new_parent) = id_of(&span.parent_span_id).and_then(|parent| fresh.get(&parent)) {
        span.parent_span_id = new_parent.to_vec();
    }
}

/// The next id after `id` that no span has: the same one every time the trace is read.
fn fresh_id(id: SpanId, used: &mut HashSet<SpanId>) -> SpanId {
    let mut number = u64::from_be_bytes(id);
    loop {
        number = number.wrapping_add(1).max(1);
        let candidate = number.to_be_bytes();
        if used.insert(candidate) {
            return candidate;
        }
    }
}

fn id_of(bytes: &[u8]) -> Option<SpanId> {
    bytes.try_into().ok()
}

fn spans(trace: &TracesData) -> impl Iterator<Item = &Span> {
    trace.resource_spans.iter().flat_map(|one| &one.scope_spans).flat_map(|scope| &scope.spans)
}

fn spans_mut(trace: &mut TracesData) -> impl Iterator<Item = &mut Span> {
    trace.resource_spans.iter_mut().flat_map(|one| &mut one.scope_spans).flat_map(|scope| &mut scope.spans)
}

#[cfg(test)]
mod tests {
    use tempoform_wire::otlp::{ResourceSpans, ScopeSpans};

    use super::*;

    fn span(id: u64, parent: u64, kind: SpanKind) -> Span {
        let parent_span_id = if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() };
        Span { span_id: id.to_be_bytes().to_vec(), parent_span_id, kind: kind.into(), ..Span::default() }
    }

    /// Id and parent of each span after taking apart.
    fn taken_apart(spans: Vec<Span>) -> Vec<(u64, u64)> {
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let mut trace =
            TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
        take_apart(&mut trace);
        let number = |id: &[u8]| id_of(id).map_or(0, u64::from_be_bytes);
        super::spans(&trace).map(|span| (number(&span.span_id), number(&span.parent_span_id))).collect()
    }

    #[test]
    fn the_server_is_below_the_client_and_its_children_below_it() {
        use SpanKind::{Client, Internal, Server};
        let apart = taken_apart(vec![
            span(1, 0, Internal),
            span(5, 1, Client),
            span(5, 1, Server),
            span(6, 5, Internal),
            span(9, 6, Internal),
        ]);
        assert_eq!(apart, [(1, 0), (5, 1), (7, 5), (6, 7), (9, 6)]);
    }

    #[test]
    fn everything_else_stays() {
        use SpanKind::{Client, Server};
        let unshared = vec![span(1, 0, Server), span(2, 1, Client), span(3, 2, Server)];
        assert_eq!(taken_apart(unshared), [(1, 0), (2, 1), (3, 2)]);
        let odd = Span { span_id: vec![1, 2], ..Span::default() };
        assert_eq!(taken_apart(vec![odd]), [(0, 0)]);
    }

    #[test]
    fn an_id_at_the_end_of_the_range() {
        let apart =
            taken_apart(vec![span(u64::MAX, 0, SpanKind::Client), span(u64::MAX, 0, SpanKind::Server)]);
        assert_eq!(apart, [(u64::MAX, 0), (1, u64::MAX)]);
    }
}
