//! Reading a segment after a restart: streaming, one record at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use tempoform_core::{BatchId, BatchSet, scan_export_request};

use super::index::MemoryIndex;
use super::segment::{MAGIC, RECORD_HEADER, RecordHeader, SegmentPaths, sync_directory};

/// What replay found in a segment.
#[derive(Debug)]
pub(crate) struct ReplayedSegment {
    pub(crate) index: MemoryIndex,
    /// End of the last whole record; the file is this long now.
    pub(crate) end: u64,
    /// Bytes of a damaged tail.
    pub(crate) damaged: u64,
    /// Whether that tail is in a file of its own now; otherwise there was no room for it, and it is in the log still.
    pub(crate) set_aside: bool,
}

/// Indexes the records of a segment up to the first that is torn or damaged; what follows is moved
/// into a file of its own beside the segment, for a person to look at.
pub(crate) fn replay_segment(paths: &SegmentPaths) -> io::Result<ReplayedSegment> {
    let mut records = Records::open(paths)?;
    let mut index = MemoryIndex::default();
    let mut end = records.end;
    while let Some(record) = records.next()? {
        // Only what passed the scan was logged; a record that fails it now is damage that the
        // checksum missed.
        let Ok(batch) = scan_export_request(record.payload) else { break };
        index.add(record.id, &batch, record.payload_at);
        end = records.end;
    }
    let damaged = records.length - end;
    let set_aside = damaged == 0 || set_aside(paths, end)?;
    Ok(ReplayedSegment { index, end, damaged, set_aside })
}

/// Whether every record of a segment is as it was written.
pub(crate) fn verify_segment(paths: &SegmentPaths) -> io::Result<bool> {
    let mut records = Records::open(paths)?;
    while records.next()?.is_some() {}
    Ok(records.end == records.length)
}

/// The names in a segment's records up to the first that is torn or damaged, without a look at the payloads.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) batches: BatchSet,
    /// End of the last record.
    pub(crate) end: u64,
}

/// Reads the headers of a segment of `length` bytes.
pub(crate) fn read_names(file: &File, length: u64) -> io::Result<Names> {
    let mut names = Names { batches: BatchSet::default(), end: MAGIC.len() as u64 };
    let mut magic = [0; MAGIC.len()];
    if length < names.end {
        return Ok(Names { end: 0, ..names });
    }
    file.read_exact_at(&mut magic, 0)?;
    let mut header = [0; RECORD_HEADER];
    while &magic == MAGIC && length - names.end >= RECORD_HEADER as u64 {
        file.read_exact_at(&mut header, names.end)?;
        let Some(header) = RecordHeader::decode(&header) else { break };
        let end = names.end + RECORD_HEADER as u64 + u64::from(header.length);
        if end > length {
            break;
        }
        names.batches.extend(header.id);
        names.end = end;
    }
    Ok(names)
}

/// A record that is whole.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: Option<BatchId>,
    /// Whether it is not all of that batch.
    pub(crate) part: bool,
    /// Offset of the payload in the file.
    pub(crate) payload_at: u32,
    pub(crate) payload: Bytes,
}

/// A record whose payload is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DamagedRecord {
    pub(crate) id: Option<BatchId>,
}

/// The whole records of a segment, one after the other.
#[derive(Debug)]
pub(crate) struct Records {
    reader: BufReader<File>,
    /// Bytes of the file.
    length: u64,
    /// End of the last whole record, or of the magic; 0 without a magic.
    pub(crate) end: u64,
}

impl Records {
    /// Those between `from`, the end of a record (0 = the beginning), and `to`.
    pub(crate) fn between(paths: &SegmentPaths, from: u64, to: u64) -> io::Result<Self> {
        let mut records = Self::open(paths)?;
        records.length = records.length.min(to);
        if from > records.end {
            records.reader.seek(SeekFrom::Start(from))?;
            records.end = from;
        }
        Ok(records)
    }

    fn open(paths: &SegmentPaths) -> io::Result<Self> {
        let file = File::open(paths.wal())?;
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let end = if read_magic(&mut reader)? { MAGIC.len() as u64 } else { 0 };
        Ok(Self { reader, length, end })
    }

    /// The next record; `None` at the end or at the first damage.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        let before = self.end;
        match self.next_readable()? {
            Some(Ok(record)) => Ok(Some(record)),
            Some(Err(DamagedRecord { .. })) => {
                self.end = before;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// The next record, if only its payload is damaged that; `None` at the end or where there is no telling how long the
    /// record is.
    pub(crate) fn next_readable(&mut self) -> io::Result<Option<Result<Record, DamagedRecord>>> {
        if self.end == 0 {
            return Ok(None);
        }
        let left = self.length.saturating_sub(self.end);
        let Some((header, payload)) = read_record(&mut self.reader, left)? else { return Ok(None) };
        let Ok(payload_at) = u32::try_from(self.end + RECORD_HEADER as u64) else { return Ok(None) };
        self.end += RECORD_HEADER as u64 + u64::from(header.length);
        let RecordHeader { id, part, .. } = header;
        Ok(Some(payload.map(|payload| Record { id, part, payload_at, payload }).ok_or(DamagedRecord { id })))
    }

    /// Whether all was read up to the end.
    pub(crate) fn is_at_end(&self) -> bool {
        self.end >= self.length
    }
}

fn read_magic(reader: &mut impl Read) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    Ok(read_fully(reader, &mut magic)? && &magic == MAGIC)
}

/// The next record, its payload if that is whole; `None` at the end or at a damaged header. `left` bounds what is allocated.
fn read_record(reader: &mut impl Read, left: u64) -> io::Result<Option<(RecordHeader, Option<Bytes>)>> {
    let mut header = [0; RECORD_HEADER];
    if left < RECORD_HEADER as u64 || !read_fully(reader, &mut header)? {
        return Ok(None);
    }
    let Some(header) = RecordHeader::decode(&header) else { return Ok(None) };
    if u64::from(header.length) + RECORD_HEADER as u64 > left {
        return Ok(None);
    }
    let mut payload = vec![0; header.length as usize];
    if !read_fully(reader, &mut payload)? {
        return Ok(None);
    }
    let is_whole = crc32c::crc32c(&payload) == header.checksum;
    Ok(Some((header, is_whole.then(|| payload.into()))))
}

/// Fills `buffer`; false if the file ends before.
fn read_fully(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves what follows `end` into a file of its own; false where the disk has no room for that: then it stays in place.
fn set_aside(paths: &SegmentPaths, end: u64) -> io::Result<bool> {
    let mut log = OpenOptions::new().read(true).write(true).open(paths.wal())?;
    log.seek(SeekFrom::Start(end))?;
    let copied = File::create(paths.damaged(end)).and_then(|mut tail| {
        io::copy(&mut log, &mut tail)?;
        tail.sync_all()
    });
    match copied {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            drop(std::fs::remove_file(paths.damaged(end)));
            tracing::warn!(segment = %paths.id(), %error, "no room to set the damaged end of the log aside");
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    log.set_len(end)?;
    log.sync_all()?;
    sync_directory(paths.directory())?;
    Ok(true)
}
