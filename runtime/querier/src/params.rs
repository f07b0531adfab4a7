//! The query string, name by name.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::Query;
use http::Uri;
use tempoform_core::Result;

use crate::{ApiError, duration};

/// The parameters of a URL. An empty value counts as absent.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

/// Unix seconds; `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Params {
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::invalid(format!("invalid query string: {error}")))?;
        Ok(Self(pairs))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// All with a value, in order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(|(_, value)| !value.is_empty())
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                ApiError::invalid(format!("invalid {name}: {text:?} is not a whole number in range"))
            })
        };
        self.get(name).map(parse).transpose()
    }

    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, ApiError> {
        let parse =
            |text| duration::parse_go(text).map_err(|error| error.context(format!("invalid {name}")).into());
        self.get(name).map(parse).transpose()
    }

    /// `start` and `end` where each may be left out, as trace by id takes them.
    pub(crate) fn bounds(&self) -> Result<(u64, u64), ApiError> {
        let (start, end) = (self.number("start")?.unwrap_or(0), self.number("end")?.unwrap_or(0));
        if end > 0 && end <= start {
            return Err(end_before_start(start, end));
        }
        Ok((start, end))
    }

    /// The range of a search: `since` wins over `start` and `end`, which stand both or not at all.
    pub(crate) fn range(&self, now: u32, longest: Duration) -> Result<Option<TimeRange>, ApiError> {
        let range = if let Some(since) = self.get("since") {
            let since = duration::parse_prometheus(since).map_err(|error| error.context("invalid since"))?;
            let since = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
            TimeRange { start: now.saturating_sub(since), end: now }
        } else {
            match (self.number("start")?, self.number("end")?) {
                (None | Some(0), None | Some(0)) => return Ok(None),
                (Some(start), Some(end)) => TimeRange { start, end },
                _ => return Err(ApiError::invalid("please provide both start and end, or neither")),
            }
        };
        let TimeRange { start, end } = range;
        if end <= start {
            return Err(end_before_start(start.into(), end.into()));
        }
        let length = Duration::from_secs(u64::from(end - start));
        if length > longest {
            return Err(ApiError::invalid(format!(
                "range specified by start and end exceeds {} seconds: start {start}, end {end}; ask for a shorter range",
                longest.as_secs()
            )));
        }
        Ok(Some(range))
    }
}

fn end_before_start(start: u64, end: u64) -> ApiError {
    ApiError::invalid(format!("http parameter start must be before end: received start {start}, end {end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn range(query: &str) -> Result<Option<(u32, u32)>, String> {
        let uri = format!("/api/search?{query}").parse().unwrap();
        Params::of(&uri)
            .and_then(|params| params.range(1_000_000, WEEK))
            .map(|range| range.map(|range| (range.start, range.end)))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn ranges() {
        assert_eq!(range("").unwrap(), None);
        assert_eq!(range("start=&end=").unwrap(), None);
        assert_eq!(range("start=5&end=9").unwrap(), Some((5, 9)));
        assert_eq!(range("since=1h&start=5&end=9").unwrap(), Some((996_400, 1_000_000)));
        for wrong in ["start=5", "end=5", "start=9&end=9", "start=x&end=9", "start=-1&end=9", "since=1.5h"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn grafana_recognises_a_range_that_is_too_long() {
        let message = range("start=1&end=700000").unwrap_err();
        assert!(message.contains("range specified by start and end exceeds"), "{message}");
    }

    #[test]
    fn escapes() {
        let uri = "/x?q=%7B%20.a%20%3D%20%22b+c%22%7D&limit=+5".parse().unwrap();
        let params = Params::of(&uri).unwrap();
        assert_eq!(params.get("q"), Some("{ .a = \"b c\"}"));
        assert!(params.number::<u32>("limit").is_err());
    }
}
