//! Durations as text: Prometheus' form (`1d12h`) and Go's (`1.5s`).

/// Parses a duration without sign, in nanoseconds: first as Prometheus does (`1y2w3d4h5m6s7ms`, whole
/// numbers, units descending, a year is 365 days), then as Go does (`1.5h`, `2h45m`, `300us`).
pub(crate) fn parse(text: &str) -> Option<i64> {
    parse_prometheus(text).or_else(|| parse_go(text))
}

const PROMETHEUS_UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000_000_000),
    ("w", 7 * 24 * 3_600_000_000_000),
    ("d", 24 * 3_600_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Prometheus' form, without sign: `1y2w3d4h5m6s7ms`, whole numbers, units descending.
pub fn parse_prometheus(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    let mut allowed = 0;
    while !rest.is_empty() {
        let (number, unit, after) = split_part(rest)?;
        let position = PROMETHEUS_UNITS.iter().position(|(name, _)| *name == unit)?;
        if position < allowed {
            return None;
        }
        allowed = position + 1;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(PROMETHEUS_UNITS[position].1)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

const GO_UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go's form, without sign: `1.5h`, `2h45m`, `300us`.
pub fn parse_go(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let (number, unit, after) = split_part(rest)?;
        let (_, scale) = GO_UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *scale)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// `12.5` times `scale`, exact but for digits below a nanosecond, which are cut.
fn scaled(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
    let mut nanos = i128::from(whole) * i128::from(scale);
    // 18 digits suffice: an hour has less than 10^13 nanoseconds.
    let digits = &fraction[..fraction.len().min(18)];
    if !digits.is_empty() {
        let numerator = digits.parse::<i128>().ok()? * i128::from(scale);
        nanos += numerator / 10_i128.pow(digits.len() as u32);
    }
    i64::try_from(nanos).ok()
}

/// `1h30m` → (`1`, `h`, `30m`).
fn split_part(text: &str) -> Option<(&str, &str, &str)> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let unit = text.find(|c| !is_number(c))?;
    let (number, rest) = text.split_at(unit);
    let end = rest.find(is_number).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(end);
    (!number.is_empty()).then_some((number, unit, after))
}

/// Go's form: `1.5s`, `2h45m0s`, `300µs`, `0s`.
pub fn format(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(magnitude, 1_000_000)),
        _ => format!("{sign}{}", hours_minutes_seconds(magnitude)),
    }
}

fn hours_minutes_seconds(nanos: u64) -> String {
    let minutes = nanos / 60_000_000_000;
    let seconds = format!("{}s", decimal(nanos % 60_000_000_000, 1_000_000_000));
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// `value / scale` with the fraction's trailing zeros cut.
fn decimal(value: u64, scale: u64) -> String {
    let (whole, fraction) = (value / scale, value % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn prometheus_form_first_then_go() {
        for (text, nanos) in [
            ("1h30m", Some(5400 * SECOND)),
            ("1d", Some(86_400 * SECOND)),
            ("1y", Some(365 * 86_400 * SECOND)),
            ("1w2d", Some(9 * 86_400 * SECOND)),
            ("7ms", Some(7_000_000)),
            ("1.5h", Some(5400 * SECOND)),
            ("30m1h", Some(5400 * SECOND)),
            ("300us", Some(300_000)),
            ("300µs", Some(300_000)),
            (".5s", Some(SECOND / 2)),
            ("1.5d", None),
            ("1h2d", None),
            ("1x", None),
            ("s", None),
            ("1", None),
            ("300y", None),
            ("", None),
        ] {
            assert_eq!(parse(text), nanos, "{text}");
        }
    }

    #[test]
    fn printed_like_go() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (1_500_000_000, "1.5s"),
            (60 * SECOND, "1m0s"),
            (3_600 * SECOND + 1, "1h0m0.000000001s"),
            (-1_500_000_000, "-1.5s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(format(nanos), text);
        }
    }

    proptest! {
        #[test]
        fn parses_what_it_prints(nanos in 0..i64::MAX) {
            prop_assert_eq!(parse(&format(nanos)), Some(nanos));
        }
    }
}
