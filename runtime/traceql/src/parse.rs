//! Text to syntax tree.

use crate::{Identifier, ParseError};

/// Parses what tag endpoints take: `.foo`, `span.foo`, `resource.service.name`, `name`, `span:status`.
///
/// # Errors
/// When the text is not exactly one attribute or intrinsic.
pub fn parse_attribute(_text: &str) -> Result<Identifier, ParseError> {
    Err(ParseError::Unsupported("this attribute".into()))
}
