//! TraceQL: lexer, parser, validation, and evaluation over columns.
//!
//! The crate knows neither blocks nor the wire: a query says which [`Field`]s it reads, whoever holds
//! traces fills a [`Batch`] with just these columns, and evaluation gives the matching spans.

pub mod columns;
mod condition;
mod duration;
mod error;
mod identifier;
mod lenient;
mod parse;
mod query;
mod rows;
mod tag_search;
mod value;

pub use columns::{AttributeScope, Batch, Column, Field, Intrinsic, Layout, Level, Sparse, Strings};
pub use condition::{Condition, Reads};
pub use duration::format as format_duration;
pub use error::{EvaluateError, ParseError};
pub use identifier::Identifier;
pub use lenient::lenient_filter;
pub use parse::parse_attribute;
pub use query::{Match, Query, SpanSet};
pub use rows::value_of;
pub use tag_search::tag_search_to_query;
pub use value::{Kind, Static, Status};
