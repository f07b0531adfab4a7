use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Texts that [`ByteSize`] reads. Only an overflow passes the pattern and is refused later.
pub(super) const PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?([KMGTkmgt][Ii]?[Bb]?|[Bb])?$";

const BINARY_UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes: an integer, or a text with a unit.
///
/// `KB`, `MB`, `GB`, `TB` are powers of 1000; `KiB`, `MiB`, `GiB`, `TiB` and Kubernetes' `Ki`, `Mi`,
/// `Gi`, `Ti` powers of 1024; case does not matter. Fractions are allowed before a unit (`1.5GiB`).
/// Serialises as an integer, which every version of Tempo reads; displays with the largest binary unit
/// that is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(
    /// Bytes.
    pub u64,
);

/// Why a text is not a [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseByteSizeError {
    /// No number in front.
    #[error("size {0:?} does not start with a number of bytes")]
    Number(String),
    /// An unknown unit.
    #[error(
        "size {text:?} has the unknown unit {unit:?}; units are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB"
    )]
    Unit {
        /// The whole text.
        text: String,
        /// What stands in the unit's place.
        unit: String,
    },
    /// More than 2^64 - 1 bytes.
    #[error("size {0:?} is larger than 16777215TiB")]
    Overflow(String),
}

impl ByteSize {
    /// A size of whole mebibytes.
    pub const fn from_mib(mebibytes: u32) -> Self {
        Self((mebibytes as u64) << 20)
    }

    /// Bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Bytes, or the largest `usize` where that is smaller.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(number_end);
        let unit = unit.strip_prefix(' ').unwrap_or(unit);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(ParseByteSizeError::Number(text.to_owned()));
        }
        let factor = bytes_of_unit(unit)
            .ok_or_else(|| ParseByteSizeError::Unit { text: text.to_owned(), unit: unit.to_owned() })?;
        scaled(whole, fraction, factor).map(Self).ok_or_else(|| ParseByteSizeError::Overflow(text.to_owned()))
    }
}

/// `whole.fraction` times `factor`, the part of a byte cut off.
fn scaled(whole: &str, fraction: &str, factor: u64) -> Option<u64> {
    let digits = &fraction[..fraction.len().min(15)];
    let divisor = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    let part = u128::from(digits.parse::<u64>().ok()?) * u128::from(factor) / divisor;
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(factor);
    u64::try_from(whole + part).ok()
}

fn bytes_of_unit(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return None,
    })
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = BINARY_UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match exact {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteSizeVisitor)
    }
}

struct ByteSizeVisitor;

impl Visitor<'_> for ByteSizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size in bytes such as 1048576, 512MiB or 5MB")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(bytes))
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
        match u64::try_from(bytes) {
            Ok(bytes) => Ok(ByteSize(bytes)),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(bytes), &self)),
        }
    }
}

/// The shape Kubernetes asks of a field that is an integer or a text.
impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "minimum": 0,
            "pattern": PATTERN,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_integers_and_units() {
        let parsed = |text: &str| text.parse::<ByteSize>().expect(text).0;
        assert_eq!(parsed("0"), 0);
        assert_eq!(parsed("17"), 17);
        assert_eq!(parsed("512MiB"), 512 << 20);
        assert_eq!(parsed("512Mi"), 512 << 20);
        assert_eq!(parsed("5MB"), 5_000_000);
        assert_eq!(parsed("1.5 GiB"), 3 << 29);
        assert_eq!(parsed("1kb"), 1000);
        assert_eq!(serde_json::from_str::<ByteSize>("7").unwrap(), ByteSize(7));
        assert_eq!(serde_json::from_str::<ByteSize>("\"7KiB\"").unwrap(), ByteSize(7168));
    }

    #[test]
    fn refuses_other_texts_and_says_why() {
        let refusal = |text: &str| text.parse::<ByteSize>().expect_err(text).to_string();
        assert_eq!(refusal(""), r#"size "" does not start with a number of bytes"#);
        assert_eq!(refusal("-1"), r#"size "-1" does not start with a number of bytes"#);
        assert_eq!(refusal("1.MB"), r#"size "1.MB" does not start with a number of bytes"#);
        assert_eq!(
            refusal("5PB"),
            r#"size "5PB" has the unknown unit "PB"; units are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB"#
        );
        assert_eq!(refusal("16777216TiB"), r#"size "16777216TiB" is larger than 16777215TiB"#);
        assert!(serde_json::from_str::<ByteSize>("-7").is_err());
    }

    #[test]
    fn displays_the_largest_exact_binary_unit() {
        assert_eq!(ByteSize(256 << 20).to_string(), "256MiB");
        assert_eq!(ByteSize(5 << 30).to_string(), "5GiB");
        assert_eq!(ByteSize(1500).to_string(), "1500");
        assert_eq!(ByteSize(0).to_string(), "0");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(bytes: u64, shift in 0_u32..64) {
            let size = ByteSize(bytes >> shift << shift);
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
            let json = serde_json::to_string(&size).unwrap();
            prop_assert_eq!(serde_json::from_str::<ByteSize>(&json).unwrap(), size);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
