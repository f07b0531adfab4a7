//! Two finds of one trace: from replicas, or from the blocks and live traces that it is spread over.

use tempoform_wire::otlp::KeyValue;
use tempoform_wire::tempopb::{ServiceStats, SpanSet, TraceSearchMetadata};

use super::NO_ROOT;

/// Adds another find of the same trace: the earliest start, the longest duration, the first root that is
/// known, the larger counts; of span sets of one group the one that matched more.
///
/// Retrievers merge what their blocks have, the querier what retrievers and ingesters have: both by this, or a
/// trace would count once a copy against the limit of a search.
pub fn merge_trace(into: &mut TraceSearchMetadata, other: TraceSearchMetadata) {
    let TraceSearchMetadata {
        trace_id: _,
        root_service_name,
        root_trace_name,
        start_time_unix_nano,
        duration_ms,
        span_set: _,
        span_sets,
        service_stats,
    } = other;
    into.start_time_unix_nano = into.start_time_unix_nano.min(start_time_unix_nano);
    into.duration_ms = into.duration_ms.max(duration_ms);
    if is_unknown(&into.root_service_name) && !is_unknown(&root_service_name) {
        into.root_service_name = root_service_name;
    }
    if into.root_trace_name.is_empty() {
        into.root_trace_name = root_trace_name;
    }
    for set in span_sets {
        match into.span_sets.iter_mut().find(|known| is_same_group(known, &set)) {
            Some(known) if known.matched < set.matched => *known = set,
            Some(_) => {}
            None => into.span_sets.push(set),
        }
    }
    into.span_set = into.span_sets.first().cloned();
    for (service, ServiceStats { span_count, error_count }) in service_stats {
        let stats = into.service_stats.entry(service).or_default();
        stats.span_count = stats.span_count.max(span_count);
        stats.error_count = stats.error_count.max(error_count);
    }
}

fn is_unknown(service: &str) -> bool {
    service.is_empty() || service == NO_ROOT
}

/// Span sets are told apart by what `by()` grouped them by; aggregates differ between finds.
fn is_same_group(a: &SpanSet, b: &SpanSet) -> bool {
    fn groups(set: &SpanSet) -> impl Iterator<Item = &KeyValue> {
        set.attributes.iter().filter(|attribute| attribute.key.starts_with("by("))
    }
    groups(a).eq(groups(b))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tempoform_wire::otlp::{AnyValue, any_value::Value};

    use super::*;

    fn set(group: &str, matched: u32) -> SpanSet {
        let value = Some(AnyValue { value: Some(Value::StringValue(group.into())) });
        let counted = KeyValue {
            key: "count()".into(),
            value: Some(AnyValue { value: Some(Value::IntValue(matched.into())) }),
        };
        let attributes = vec![KeyValue { key: "by(resource.region)".into(), value }, counted];
        SpanSet { matched, attributes, ..SpanSet::default() }
    }

    #[test]
    fn what_two_places_know_of_one_trace() {
        let stats = |span_count, error_count| {
            HashMap::from([("web".to_owned(), ServiceStats { span_count, error_count })])
        };
        let mut one = TraceSearchMetadata {
            root_service_name: NO_ROOT.into(),
            start_time_unix_nano: 20,
            duration_ms: 5,
            span_sets: vec![set("eu", 1), set("us", 4)],
            service_stats: stats(3, 0),
            ..TraceSearchMetadata::default()
        };
        let other = TraceSearchMetadata {
            root_service_name: "web".into(),
            root_trace_name: "GET /".into(),
            start_time_unix_nano: 10,
            duration_ms: 3,
            span_sets: vec![set("eu", 2), set("ap", 1)],
            service_stats: stats(2, 1),
            ..TraceSearchMetadata::default()
        };
        merge_trace(&mut one, other);
        assert_eq!((one.start_time_unix_nano, one.duration_ms), (10, 5));
        assert_eq!((one.root_service_name.as_str(), one.root_trace_name.as_str()), ("web", "GET /"));
        assert_eq!(one.span_sets.iter().map(|set| set.matched).collect::<Vec<_>>(), [2, 4, 1]);
        assert_eq!(one.span_set.as_ref(), one.span_sets.first());
        assert_eq!(one.service_stats, stats(3, 1));
    }
}
