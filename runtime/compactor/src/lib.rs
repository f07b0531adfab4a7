//! Keeps the bucket in order: merges blocks, applies retention, writes tenant indexes.
//!
//! Each cycle lists every tenant's blocks, merges those of one window of time, marks those past their retention, deletes
//! those marked long enough ago and what a crash left half written, and writes the tenant index from which readers
//! (Tempo's too) learn the block list. A block that cannot be read is set aside, and the others are merged without it. Compactors share the work by name, see [`Options::owns`]; should two do the same
//! piece, they make the same block.

mod aside;
mod compactor;
mod erase;
mod merge;
mod merging;
mod metrics;
mod options;
mod plan;
mod retention;
mod rewrite;
mod status;
mod tenant;
#[cfg(test)]
mod tests;
mod uploads;

pub use compactor::Compactor;
pub use erase::{Erased, Holder, Holders, Unknown, erase, find};
pub use merge::{Changes, Settings};
pub use options::Options;
pub use rewrite::{Rewritten, refresh_index, rewrite};
pub use status::{Overview, SetAsideBlock, Status, TenantStatus};
