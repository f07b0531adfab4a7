use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Texts that [`GoDuration`] reads. Only an overflow passes the pattern and is refused later.
pub(super) const PATTERN: &str = r"^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w|y))+)$";

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The longest duration Go can hold, about 292 years: 2^63 - 1 nanoseconds.
const MAX_NANOS: u128 = i64::MAX as u128;

/// A length of time, zero or more, as Go writes it: `1h30m`, `250ms`, `1.5s`.
///
/// Also reads `d`, `w` and `y` (24 hours, 7 and 365 days) as Prometheus has them, and a bare `0`.
/// At most 2^63 - 1 nanoseconds, Go's own ceiling. Prints in Go's units, so that Go programs read it, and
/// without Go's zero parts: `15m`, not `15m0s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(
    /// The length of time.
    pub Duration,
);

/// Why a text is not a [`GoDuration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// Nothing there.
    #[error("a duration is empty; write one such as 30s")]
    Empty,
    /// Durations here are never negative.
    #[error("duration {0:?} is negative")]
    Negative(String),
    /// A number without unit, or an unknown one.
    #[error(
        "duration {text:?} has {unit:?} where a unit should be; units are ns, us, ms, s, m, h, d, w and y"
    )]
    Unit {
        /// The whole text.
        text: String,
        /// What stands in the unit's place.
        unit: String,
    },
    /// A unit without number.
    #[error("duration {0:?} has no number where one should be")]
    Number(String),
    /// Longer than Go can hold.
    #[error("duration {0:?} is longer than 2562047h47m (292 years)")]
    Overflow(String),
}

impl GoDuration {
    /// No time at all; in settings often "no limit" or "off".
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A duration of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// A duration of whole minutes.
    pub const fn from_mins(minutes: u64) -> Self {
        Self::from_secs(minutes * 60)
    }

    /// A duration of whole hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_mins(hours * 60)
    }

    /// Whether it is zero.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for GoDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => return Err(ParseDurationError::Empty),
            "0" => return Ok(Self::ZERO),
            _ if text.starts_with('-') => return Err(ParseDurationError::Negative(text.to_owned())),
            _ => {}
        }
        let mut nanos: u128 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (part, after) = leading_part(text, rest)?;
            nanos += part;
            if nanos > MAX_NANOS {
                return Err(ParseDurationError::Overflow(text.to_owned()));
            }
            rest = after;
        }
        let overflow = |_| ParseDurationError::Overflow(text.to_owned());
        Ok(Self(Duration::from_nanos(u64::try_from(nanos).map_err(overflow)?)))
    }
}

/// Reads `<number><unit>` off the front of `rest`: nanoseconds and what follows.
fn leading_part<'a>(text: &str, rest: &'a str) -> Result<(u128, &'a str), ParseDurationError> {
    let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, rest) = rest.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(ParseDurationError::Number(text.to_owned()));
    }
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let Some(unit_nanos) = nanos_of_unit(unit) else {
        return Err(ParseDurationError::Unit { text: text.to_owned(), unit: unit.to_owned() });
    };
    scaled(whole, fraction, unit_nanos)
        .map(|nanos| (nanos, rest))
        .ok_or_else(|| ParseDurationError::Overflow(text.to_owned()))
}

/// `whole.fraction` times `unit_nanos`, the part of a nanosecond cut off as Go does.
fn scaled(whole: &str, fraction: &str, unit_nanos: u128) -> Option<u128> {
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    // No unit is finer than 1e-17 of itself in nanoseconds: later digits change nothing.
    let digits = &fraction[..fraction.len().min(18)];
    let part = if digits.is_empty() { 0 } else { digits.parse::<u64>().ok()? };
    let divisor = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    Some(u128::from(whole) * unit_nanos + u128::from(part) * unit_nanos / divisor)
}

fn nanos_of_unit(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        "d" => 24 * 3_600 * NANOS_PER_SECOND,
        "w" => 7 * 24 * 3_600 * NANOS_PER_SECOND,
        "y" => 365 * 24 * 3_600 * NANOS_PER_SECOND,
        _ => return None,
    })
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        if seconds == 0 {
            return below_a_second(f, nanos);
        }
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if seconds > 0 || nanos > 0 {
            write!(f, "{seconds}{}s", Fraction { value: nanos, digits: 9 })?;
        }
        Ok(())
    }
}

fn below_a_second(f: &mut fmt::Formatter<'_>, nanos: u32) -> fmt::Result {
    match nanos {
        0 => f.write_str("0s"),
        1..1_000 => write!(f, "{nanos}ns"),
        1_000..1_000_000 => {
            write!(f, "{}{}µs", nanos / 1_000, Fraction { value: nanos % 1_000, digits: 3 })
        }
        _ => write!(f, "{}{}ms", nanos / 1_000_000, Fraction { value: nanos % 1_000_000, digits: 6 }),
    }
}

/// The decimals of a number, point included, without trailing zeros.
struct Fraction {
    value: u32,
    digits: usize,
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value == 0 {
            return Ok(());
        }
        let padded = format!("{:0width$}", self.value, width = self.digits);
        write!(f, ".{}", padded.trim_end_matches('0'))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = GoDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 250ms, 30s or 1h30m")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
        text.parse().map_err(E::custom)
    }

    /// Only zero needs no unit.
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<GoDuration, E> {
        if number == 0 {
            return Ok(GoDuration::ZERO);
        }
        Err(E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<GoDuration, E> {
        match number {
            0 => Ok(GoDuration::ZERO),
            _ => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

impl JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> Duration {
        text.parse::<GoDuration>().expect(text).0
    }

    #[test]
    fn reads_go_and_prometheus_durations() {
        assert_eq!(parsed("1h30m"), Duration::from_secs(5400));
        assert_eq!(parsed("250ms"), Duration::from_millis(250));
        assert_eq!(parsed("1.5s"), Duration::from_millis(1500));
        assert_eq!(parsed(".5m"), Duration::from_secs(30));
        assert_eq!(parsed("1.s"), Duration::from_secs(1));
        assert_eq!(parsed("15m0s"), Duration::from_secs(900));
        assert_eq!(parsed("1w2d"), Duration::from_secs(9 * 86_400));
        assert_eq!(parsed("1y"), Duration::from_secs(365 * 86_400));
        assert_eq!(parsed("3µs"), parsed("3us"));
        assert_eq!(parsed("0"), Duration::ZERO);
        assert_eq!(parsed("1.0000000000000000000000000001s"), Duration::from_secs(1));
        assert_eq!(parsed("9223372036854775807ns"), Duration::from_nanos(i64::MAX as u64));
    }

    #[test]
    fn refuses_what_go_refuses_and_says_why() {
        let refusal = |text: &str| text.parse::<GoDuration>().expect_err(text).to_string();
        assert_eq!(refusal(""), "a duration is empty; write one such as 30s");
        assert_eq!(refusal("-1s"), r#"duration "-1s" is negative"#);
        assert_eq!(
            refusal("5"),
            r#"duration "5" has "" where a unit should be; units are ns, us, ms, s, m, h, d, w and y"#
        );
        assert_eq!(refusal("h"), r#"duration "h" has no number where one should be"#);
        assert_eq!(refusal("1.2.3s"), r#"duration "1.2.3s" has no number where one should be"#);
        assert_eq!(
            refusal("9223372036854775808ns"),
            r#"duration "9223372036854775808ns" is longer than 2562047h47m (292 years)"#
        );
        assert_eq!(
            refusal("99999999999999999999h"),
            r#"duration "99999999999999999999h" is longer than 2562047h47m (292 years)"#
        );
        assert!(refusal("5 m").contains(r#"" m""#));
    }

    #[test]
    fn prints_as_go_without_zero_parts() {
        let printed = |text: &str| GoDuration(parsed(text)).to_string();
        assert_eq!(printed("15m0s"), "15m");
        assert_eq!(printed("336h"), "336h");
        assert_eq!(printed("14d"), "336h");
        assert_eq!(printed("1h0m5s"), "1h5s");
        assert_eq!(printed("1.5s"), "1.5s");
        assert_eq!(printed("1500us"), "1.5ms");
        assert_eq!(printed("1001ns"), "1.001µs");
        assert_eq!(printed("60.000000001s"), "1m0.000000001s");
        assert_eq!(printed("0"), "0s");
    }

    #[test]
    fn a_bare_zero_needs_no_unit_and_any_other_number_does() {
        assert_eq!(serde_json::from_str::<GoDuration>("0").unwrap(), GoDuration::ZERO);
        assert!(serde_json::from_str::<GoDuration>("5").is_err());
        assert!(serde_json::from_str::<GoDuration>("-5").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(nanos in 0..=i64::MAX as u64) {
            let duration = GoDuration(Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse::<GoDuration>(), Ok(duration));
            let json = serde_json::to_string(&duration).unwrap();
            prop_assert_eq!(serde_json::from_str::<GoDuration>(&json).unwrap(), duration);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
