//! TraceQL: lexer, parser, validation, and evaluation over columns.
//!
//! The crate knows neither blocks nor the wire: a query says which [`Field`]s it reads, whoever holds
//! traces fills a [`Batch`] with just these columns, and evaluation gives the matching spans.

pub mod columns;

pub use columns::{AttributeScope, Batch, Column, Field, Intrinsic, Layout, Level, Sparse, Strings};
