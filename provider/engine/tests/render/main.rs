//! What the renderer makes of whole documents.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails must fail its test")]

mod golden;
mod leaves;
mod properties;
mod refusals;
mod scope;
mod support;
