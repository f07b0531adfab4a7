//! Queries.

use tempoform_traceql::{
    Batch, Query, format_duration, lenient_filter, parse_attribute, parse_go, parse_prometheus,
    tag_search_to_query,
};

/// What parses prints as a text that parses to the same, says what it reads, and runs.
pub(crate) fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(attribute) = parse_attribute(text) {
        let printed = attribute.to_string();
        let again = parse_attribute(&printed).map(|again| again.to_string());
        assert_eq!(again.ok().as_ref(), Some(&printed), "from {text:?}");
    }
    durations(text);
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let by_tags = tag_search_to_query(&[(key.to_owned(), value.to_owned())], None, None);
    for query in [Query::parse(text).ok(), lenient_filter(text), Some(by_tags)].into_iter().flatten() {
        let printed = query.to_string();
        let again = Query::parse(&printed).map(|again| again.to_string());
        assert_eq!(again.as_ref().map_err(ToString::to_string), Ok(&printed), "from {text:?}");
        query.prune();
        query.reads();
        query.selected_fields();
        let matches = query.evaluate(&Batch::default());
        assert_eq!(matches.as_deref(), Ok(&[][..]), "an empty batch has no spans: {printed}");
    }
}

fn durations(text: &str) {
    // What is printed is rounded to what a person reads; it is still a duration.
    for nanos in [parse_go(text), parse_prometheus(text)].into_iter().flatten() {
        assert!(parse_go(&format_duration(nanos)).is_some(), "{nanos} from {text:?}");
    }
}
