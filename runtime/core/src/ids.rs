use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind};

/// A trace id: 16 bytes, big-endian. Ordering is the ordering of rows in a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// The id with these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id in `bytes`, if these are 16.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As stored: 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Lowercase hex without leading zeros, as search results show it.
    pub fn to_short_hex(self) -> String {
        let hex = self.to_string();
        let trimmed = hex.trim_start_matches('0');
        if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TraceId {
    type Err = Error;

    /// 1 to 32 hex digits, left-padded with zeros, as the query API takes them.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("trace IDs can only contain hex characters: invalid trace id {text:?}"),
            ));
        }
        if text.len() > 32 {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("trace IDs can't be larger than 128 bits (32 hex digits): {text:?}"),
            ));
        }
        u128::from_str_radix(text, 16)
            .map(|id| Self(id.to_be_bytes()))
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("trace id {text:?}: {error}")))
    }
}
