//! One trace from the pieces that several blocks and ingesters hold.

use std::collections::HashSet;

use tempoform_wire::otlp::{ResourceSpans, ScopeSpans, Span, TracesData};

/// Puts pieces of one trace together. A span that comes again (same id and kind: replicas, blocks not yet
/// compacted) is dropped, the first one stays as it is. Spans, scopes and resources are ordered by start
/// time; what is left without spans goes.
pub fn combine_traces(pieces: Vec<TracesData>) -> TracesData {
    let mut seen = HashSet::new();
    let all = pieces.into_iter().flat_map(|piece| piece.resource_spans);
    let mut resource_spans: Vec<_> = all.filter_map(|resource| without_known(resource, &mut seen)).collect();
    resource_spans.sort_by_key(|resource| resource.scope_spans.first().and_then(start_of_scope));
    TracesData { resource_spans }
}

fn without_known(mut resource: ResourceSpans, seen: &mut HashSet<(Vec<u8>, i32)>) -> Option<ResourceSpans> {
    for scope in &mut resource.scope_spans {
        scope.spans.retain(|span| seen.insert((span.span_id.clone(), span.kind)));
        scope.spans.sort_by(|a, b| start(a).cmp(&start(b)));
    }
    resource.scope_spans.retain(|scope| !scope.spans.is_empty());
    resource.scope_spans.sort_by_key(start_of_scope);
    (!resource.scope_spans.is_empty()).then_some(resource)
}

/// Spans that start together are ordered by id, so that the result does not depend on who answered first.
fn start(span: &Span) -> (u64, &[u8]) {
    (span.start_time_unix_nano, &span.span_id)
}

fn start_of_scope(scope: &ScopeSpans) -> Option<u64> {
    scope.spans.first().map(|span| span.start_time_unix_nano)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempoform_wire::otlp::SpanKind;

    fn span(id: u8, kind: SpanKind, start: u64) -> Span {
        Span { span_id: vec![id; 8], kind: kind.into(), start_time_unix_nano: start, ..Span::default() }
    }

    fn piece(scopes: Vec<Vec<Span>>) -> TracesData {
        let scopes = scopes.into_iter().map(|spans| ScopeSpans { spans, ..ScopeSpans::default() });
        TracesData {
            resource_spans: vec![ResourceSpans { scope_spans: scopes.collect(), ..ResourceSpans::default() }],
        }
    }

    fn ids(trace: &TracesData) -> Vec<Vec<Vec<u8>>> {
        let ids = |scope: &ScopeSpans| scope.spans.iter().map(|span| span.span_id[0]).collect();
        trace.resource_spans.iter().map(|r| r.scope_spans.iter().map(ids).collect()).collect()
    }

    #[test]
    fn duplicates_go_and_the_rest_is_in_time_order() {
        use SpanKind::{Client, Server};
        let replica = piece(vec![vec![span(3, Client, 30), span(1, Client, 10)]]);
        let other = piece(vec![vec![span(1, Client, 99), span(1, Server, 12)], vec![span(2, Client, 5)]]);
        let combined = combine_traces(vec![replica.clone(), other, replica]);
        assert_eq!(ids(&combined), [vec![vec![2], vec![1]], vec![vec![1, 3]]]);
        assert_eq!(combined.resource_spans[1].scope_spans[0].spans[0].start_time_unix_nano, 10);
    }

    #[test]
    fn ties_do_not_depend_on_the_order_of_the_pieces() {
        let a = piece(vec![vec![span(2, SpanKind::Client, 7), span(1, SpanKind::Client, 7)]]);
        assert_eq!(ids(&combine_traces(vec![a])), [vec![vec![1, 2]]]);
        assert!(combine_traces(Vec::new()).resource_spans.is_empty());
        assert!(combine_traces(vec![piece(vec![vec![]])]).resource_spans.is_empty());
    }
}
