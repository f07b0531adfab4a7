//! TraceQL: lexer, parser, validation, and evaluation over columns.
//!
//! The crate knows neither blocks nor the wire: a query says which [`Field`]s it reads, whoever holds
//! traces fills a [`Batch`] with just these columns, and evaluation gives the matching spans.
//!
//! Text → `lexer` → `parse` → [`ast`] → `validate` → `fold` → `pipeline` (with `filter`, `condition`,
//! `compute`, `structure`, `aggregate`), which runs on a batch.

mod aggregate;
pub mod ast;
mod batch;
mod bitmap;
pub mod columns;
mod compute;
mod condition;
mod duration;
mod error;
mod filter;
mod fold;
mod identifier;
mod lenient;
mod lexer;
mod operate;
mod parse;
mod pattern;
mod pipeline;
mod print;
mod query;
mod reads;
mod structure;
mod tag_search;
mod validate;
mod value;

pub use batch::value_of;
pub use columns::{AttributeScope, Batch, Column, Field, Intrinsic, Layout, Level, Sparse, Strings};
pub use condition::{Condition, Reads};
pub use duration::{format as format_duration, parse_go, parse_prometheus};
pub use error::{EvaluateError, ParseError};
pub use identifier::Identifier;
pub use lenient::lenient_filter;
pub use parse::parse_attribute;
pub use query::{Match, Query, SpanSet};
pub use reads::Types;
pub use tag_search::tag_search_to_query;
pub use value::{Kind, Static, Status};

#[cfg(test)]
mod tests;
