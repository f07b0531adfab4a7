//! The two duration notations of the query parameters.

use std::time::Duration;

use tempoform_core::{Error, ErrorKind, Result};

/// Go's: `1.5s`, `200ms`, `1h2m`, `0`.
pub(crate) fn parse_go(text: &str) -> Result<Duration> {
    parse(text, tempoform_traceql::parse_go)
}

/// Prometheus': whole numbers with y, w, d, h, m, s or ms, in this order; `0`.
pub(crate) fn parse_prometheus(text: &str) -> Result<Duration> {
    parse(text, tempoform_traceql::parse_prometheus)
}

/// With the `0` that both allow without a unit.
fn parse(text: &str, nanos: fn(&str) -> Option<i64>) -> Result<Duration> {
    let nanos = if text == "0" { Some(0) } else { nanos(text) };
    nanos.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("invalid duration {text:?}; right is e.g. 200ms or 1h30m"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_needs_no_unit_and_nothing_else_is_without() {
        for parse in [parse_go, parse_prometheus] {
            assert_eq!(parse("0").unwrap(), Duration::ZERO);
            assert_eq!(parse("1h30m").unwrap(), Duration::from_secs(5400));
            for wrong in ["", "5", "s", "-1s", "1..2s", "1 s", "99999999999999999999h"] {
                assert!(parse(wrong).is_err(), "{wrong}");
            }
        }
        assert_eq!(parse_go("1.5s").unwrap(), Duration::from_millis(1500));
        assert!(parse_go("1d").is_err() && parse_prometheus("1.5h").is_err());
        assert_eq!(parse_prometheus("2w").unwrap(), Duration::from_secs(14 * 86_400));
    }
}
