//! Human units, as the documents use them.

pub use tempoform_document::{ByteSize, GoDuration};
