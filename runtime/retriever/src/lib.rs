//! The one reader of object storage for queries: block list, lookups by id, search on columns.
//!
//! A [`Retriever`] knows all blocks of a bucket and implements [`tempoform_core::TraceSource`]. What cannot be read is
//! named in the answer; what it cost is in the answer's account.

mod admission;
mod block_list;
mod collected;
mod columns;
mod find;
mod metrics;
mod options;
mod poll;
mod retriever;
mod search;
mod tags;
#[cfg(test)]
mod tests;

pub use options::RetrieverOptions;
pub use retriever::Retriever;
