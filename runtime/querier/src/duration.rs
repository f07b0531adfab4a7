//! The two duration notations of the query parameters.

use std::time::Duration;

use tempoform_core::{Error, ErrorKind, Result};

/// Go's: `1.5s`, `200ms`, `1h2m`, `0`.
pub(crate) fn parse_go(text: &str) -> Result<Duration> {
    parse(
        text,
        true,
        &[
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("μs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ],
    )
}

/// Prometheus': whole numbers with y, w, d, h, m, s or ms; `0`.
pub(crate) fn parse_prometheus(text: &str) -> Result<Duration> {
    parse(
        text,
        false,
        &[
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
            ("d", 86_400e9),
            ("w", 7.0 * 86_400e9),
            ("y", 365.0 * 86_400e9),
        ],
    )
}

fn parse(text: &str, fractions: bool, units: &[(&str, f64)]) -> Result<Duration> {
    let invalid =
        || Error::new(ErrorKind::Invalid, format!("invalid duration {text:?}; right is e.g. 200ms or 1h30m"));
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(invalid());
    }
    let mut nanos = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits =
            rest.find(|c: char| !(c.is_ascii_digit() || fractions && c == '.')).ok_or_else(invalid)?;
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, scale) = units.iter().find(|(unit, _)| *unit == &rest[..unit_end]).ok_or_else(invalid)?;
        nanos += number * scale;
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(nanos / 1e9).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        assert_eq!(parse_go("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(parse_go("1h2m3s").unwrap(), Duration::from_secs(3723));
        assert_eq!(parse_go("250µs").unwrap(), Duration::from_micros(250));
        assert_eq!(parse_go("0").unwrap(), Duration::ZERO);
        for wrong in ["", "5", "s", "1d", "-1s", "1..2s", "1 s"] {
            assert!(parse_go(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prometheus_durations() {
        assert_eq!(parse_prometheus("1d12h").unwrap(), Duration::from_secs(36 * 3600));
        assert_eq!(parse_prometheus("2w").unwrap(), Duration::from_secs(14 * 86_400));
        for wrong in ["1.5h", "", "1", "99999999999999999999y"] {
            assert!(parse_prometheus(wrong).is_err(), "{wrong}");
        }
    }
}
