//! Human units: durations as Go and Prometheus write them, sizes in bytes, secrets.

mod bytes;
mod duration;
mod secret;

pub use bytes::{ByteSize, ParseByteSizeError};
pub use duration::{GoDuration, ParseDurationError};
pub use secret::Secret;

/// What a text matching one of this crate's unit patterns is, in words; `None` for other patterns.
pub(crate) fn words_for_pattern(pattern: &str) -> Option<&'static str> {
    match pattern {
        duration::PATTERN => Some("a duration such as 250ms, 30s or 1h30m"),
        bytes::PATTERN => Some("a size in bytes such as 1048576, 512MiB or 5MB"),
        _ => None,
    }
}

/// Whether a pattern is that of [`GoDuration`].
pub(crate) fn is_duration(pattern: &str) -> bool {
    pattern == duration::PATTERN
}
