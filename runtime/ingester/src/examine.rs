//! The log's files one by one, outside an ingester: for `tests/fuzz`, which holds that no bytes in them do harm.
//!
//! Not behind a feature: a workspace unifies features, and the executables would differ with what is built beside
//! them. What nobody calls is not linked.

use std::io;
use std::path::Path;

use bytes::Bytes;
use tempoform_core::{BatchId, BatchSet, MemoryBudget, Result, TraceId};
use uuid::Uuid;

use crate::followed::FollowedSegment;
use crate::recovery::read_stored;
use crate::tenant_log::View;
use crate::wal::{
    DiskIndex, IndexFile, NewRecord, Records, Segment, SegmentPaths, SegmentReader, read_names,
    replay_segment, verify_segment,
};

/// A segment in a folder of its own.
#[derive(Clone, Debug)]
pub struct LogFile(SegmentPaths);

/// What replay makes of a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// End of the last whole record, bytes.
    pub end: u64,
    /// Bytes behind it, which were set aside.
    pub damaged: u64,
    /// Spans indexed.
    pub spans: u64,
    /// Names of the batches.
    pub batches: BatchSet,
    /// Each trace, and its spans as an encoded `TracesData`, by the index in memory.
    pub traces: Traces,
    /// The same by the index on disk, written and opened again.
    pub by_disk_index: Traces,
}

/// Traces, and their spans as encoded `TracesData`.
pub type Traces = Vec<(TraceId, Vec<u8>)>;

/// A whole record: the name of its batch, whether it is only a part of that, its payload.
pub type LogRecord = (Option<BatchId>, bool, Bytes);

impl LogFile {
    /// The segment in `folder`, whether it is there or not.
    pub fn new(folder: &Path) -> Self {
        Self(SegmentPaths::new(folder, Uuid::nil()))
    }

    /// Puts `bytes` in its place, and removes its index.
    ///
    /// # Errors
    /// The disk's.
    pub fn put(&self, bytes: &[u8]) -> io::Result<()> {
        crate::recovery::remove(&self.0.index())?;
        std::fs::write(self.0.wal(), bytes)
    }

    /// Its bytes.
    ///
    /// # Errors
    /// The disk's.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        std::fs::read(self.0.wal())
    }

    /// Writes records as an ingester does.
    ///
    /// # Errors
    /// The disk's; also when the segment is there.
    pub fn write(&self, records: &[LogRecord]) -> io::Result<()> {
        let mut segment = Segment::create(self.0.clone())?;
        let records: Vec<_> =
            records.iter().map(|(id, part, payload)| NewRecord { id: *id, part: *part, payload }).collect();
        segment.append(&records)?;
        segment.committed(true);
        Ok(())
    }

    /// The whole records up to the first damage, and where the last ends.
    ///
    /// # Errors
    /// The disk's.
    pub fn records(&self) -> io::Result<(Vec<LogRecord>, u64)> {
        let mut records = Records::between(&self.0, 0, u64::MAX)?;
        let mut found = Vec::new();
        while let Some(record) = records.next()? {
            found.push((record.id, record.part, record.payload));
        }
        Ok((found, records.end))
    }

    /// The names in it by the headers of its records alone, and where the last of these ends.
    ///
    /// # Errors
    /// The disk's.
    pub fn names(&self) -> io::Result<(BatchSet, u64)> {
        let file = std::fs::File::open(self.0.wal())?;
        let names = read_names(&file, file.metadata()?.len())?;
        Ok((names.batches, names.end))
    }

    /// Whether every record is as it was written.
    ///
    /// # Errors
    /// The disk's.
    pub fn is_whole(&self) -> io::Result<bool> {
        verify_segment(&self.0)
    }

    /// Replays it as after a restart: what is damaged is set aside.
    ///
    /// # Errors
    /// The disk's, and places in an index that are not in the file.
    pub fn replay(&self) -> io::Result<Replayed> {
        let replayed = replay_segment(&self.0)?;
        let reader = SegmentReader::new(std::fs::File::open(self.0.wal())?);
        let (memory, mut ids) = (&replayed.index, Vec::new());
        ids.extend(
            memory.sorted_runs().chunk_by(|a, b| a.trace_id == b.trace_id).map(|runs| runs[0].trace_id),
        );
        let scope = |at: u32| Ok(memory.scopes[at as usize]);
        let traces: Vec<_> = ids
            .iter()
            .map(|id| Ok((*id, reader.piece(&memory.find(id).collect::<Vec<_>>(), scope)?)))
            .collect::<io::Result<_>>()?;
        DiskIndex::create(&self.0, memory, replayed.end);
        let by_disk_index = self.traces_by_index(&ids)?.unwrap_or_default();
        Ok(Replayed {
            end: replayed.end,
            damaged: replayed.damaged,
            spans: memory.spans,
            batches: memory.batches.clone(),
            traces,
            by_disk_index,
        })
    }

    /// Traces by the index that is on disk; `None` if that is missing, damaged, or of another log.
    ///
    /// # Errors
    /// The disk's, and places in the index that are not in the file.
    pub fn traces_by_index(&self, ids: &[TraceId]) -> io::Result<Option<Traces>> {
        let file = std::fs::File::open(self.0.wal())?;
        let Some(index) = IndexFile::open(&self.0, file.metadata()?.len())? else { return Ok(None) };
        let (index, reader) = (DiskIndex::File(index), SegmentReader::new(file));
        let piece = |id: &TraceId| {
            let runs: Vec<_> = index.find(id)?.collect::<io::Result<_>>()?;
            Ok((*id, reader.piece(&runs, |at| index.scope(at))?))
        };
        ids.iter().map(piece).collect::<io::Result<_>>().map(Some)
    }

    /// Puts `bytes` in the place of its index.
    ///
    /// # Errors
    /// The disk's.
    pub fn put_index(&self, bytes: &[u8]) -> io::Result<()> {
        std::fs::write(self.0.index(), bytes)
    }

    /// The bytes of its index.
    ///
    /// # Errors
    /// The disk's.
    pub fn index(&self) -> io::Result<Vec<u8>> {
        std::fs::read(self.0.index())
    }

    /// Takes it for a file of followed batches: the names in it, and how many spans a query finds in it.
    ///
    /// # Errors
    /// The disk's. The inner one is about what is in it, or that it takes more than `memory`.
    pub fn followed(&self, memory: &MemoryBudget) -> io::Result<(BatchSet, Result<u64>)> {
        let followed = FollowedSegment::recovered(self.0.clone())?;
        let spans = match followed.view(memory) {
            (_, Some(error)) => Err(error),
            (Some(View::Open(segment)), None) => Ok(segment.index().spans),
            (Some(View::Sealed(_)) | None, None) => Ok(0),
        };
        Ok((followed.unsettled(), spans))
    }
}

/// The batches that the note of a block in storage (`.batches`) names.
///
/// # Errors
/// When it is damaged.
pub fn stored_batches(note: &[u8]) -> Result<BatchSet> {
    read_stored(note)
}
