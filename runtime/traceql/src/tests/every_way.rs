//! A text, parsed in every way there is.

use crate::{Batch, ParseError, Query, lenient_filter, parse_attribute};

/// Parses `text` in every way there is. What parses must print as a text that parses to the same, and
/// run on an empty batch.
pub(super) fn parse(text: &str) {
    let _ = parse_attribute(text);
    for query in [Query::parse(text).ok(), lenient_filter(text)].into_iter().flatten() {
        let printed = query.to_string();
        let again = Query::parse(&printed).map(|query| query.to_string());
        // Folding may leave patterns or operators over the bounds out of a text, never add any.
        assert_eq!(again.as_ref().map_err(ParseError::to_string), Ok(&printed), "from {text:?}");
        let matches = query.evaluate(&Batch::default());
        assert_eq!(matches.as_deref(), Ok(&[][..]), "an empty batch has no spans: {printed}");
    }
}
