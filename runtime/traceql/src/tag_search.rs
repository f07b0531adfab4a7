//! Tag search (`/api/search?tags=…`) as a query.

use std::time::Duration;

use crate::Query;

/// The query that finds what a search for `tags` (key, value) finds, in traces whose duration is
/// within the bounds, both inclusive.
pub fn tag_search_to_query(
    _tags: &[(String, String)],
    _min_duration: Option<Duration>,
    _max_duration: Option<Duration>,
) -> Query {
    Query {}
}
