//! The write-ahead log: where acknowledged spans live until they are in a block.
//!
//! The log is also the store of live traces. Spans stay in its files; memory holds only an index from
//! trace id to places in the file, so that memory does not grow with the bytes logged.
//!
//! A *segment* is a file `<wal>/<tenant>/<uuid>.wal`; it becomes the block of the same id, so that a
//! crash between upload and clean-up repeats the upload instead of doubling spans. Beside it:
//! `<uuid>.idx` (its index, once sealed; rebuilt when missing), and once the upload is verified `<uuid>.flushed` (the meta
//! of its block) and `<uuid>.batches` (the names of the batches in it).
//!
//! What is followed is in `<wal>/<tenant>/followed/<uuid>.wal`, files of the same form but with compressed payloads, that go
//! once the leaders have all of them in storage. For queries they are expanded into files without a name.

mod disk_index;
mod index;
mod read;
mod replay;
mod run_list;
mod segment;

pub(crate) use disk_index::{DiskIndex, IndexFile};
pub(crate) use index::{MemoryIndex, Place, Run, ScopePlace, sort_runs};
pub(crate) use read::{KnownScopes, SegmentReader};
pub(crate) use replay::{
    DamagedRecord, Record, Records, ReplayedSegment, read_names, replay_segment, verify_segment,
};
pub(crate) use run_list::RunList;
pub(crate) use segment::{Appended, NewRecord, Segment, SegmentPaths, create_directory, sync_directory};

/// Folder of a tenant's followed batches in that of its log.
pub(crate) const FOLLOWED_FOLDER: &str = "followed";
