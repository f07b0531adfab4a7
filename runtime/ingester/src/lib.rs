//! Keeps acknowledged spans on disk, serves them while they are fresh, and builds blocks.

#[doc(hidden)]
pub mod examine;
mod flush;
mod followed;
mod ingester;
mod live;
mod live_traces;
mod merge;
mod metrics;
mod options;
mod recovery;
mod settle;
mod tenant_log;
#[cfg(test)]
mod tests;
mod wal;
mod writer;

pub use ingester::Ingester;
pub use options::{ByTenant, Durability, Options, OtherIngesters, Uploaded};
