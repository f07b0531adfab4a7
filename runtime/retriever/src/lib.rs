//! The one reader of object storage for queries: block list, lookups by id, search on columns.

mod options;

pub use options::RetrieverOptions;
