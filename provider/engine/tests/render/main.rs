//! What the renderer makes of whole documents.

mod golden;
mod properties;
mod refusals;
mod scope;
mod support;
