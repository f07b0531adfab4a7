//! The one reader of object storage: block list, lookups by id, search on columns.
