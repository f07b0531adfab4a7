//! Reading a segment after a restart: streaming, one record at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use bytes::Bytes;
use tempoform_core::scan_export_request;

use super::index::MemoryIndex;
use super::segment::{MAGIC, RECORD_HEADER, SegmentPaths, checksum, sync_directory};

/// What replay found in a segment.
#[derive(Debug)]
pub(crate) struct ReplayedSegment {
    pub(crate) index: MemoryIndex,
    /// End of the last whole record; the file is this long now.
    pub(crate) end: u64,
    /// Bytes of a damaged tail that were set aside.
    pub(crate) damaged: u64,
}

/// Indexes the records of a segment up to the first that is torn or damaged; what follows is moved
/// into a file of its own beside the segment, for a person to look at.
pub(crate) fn replay_segment(paths: &SegmentPaths) -> io::Result<ReplayedSegment> {
    let mut records = Records::open(paths)?;
    let mut index = MemoryIndex::default();
    let mut end = records.end;
    while let Some((payload_at, payload)) = records.next()? {
        // Only what passed the scan was logged; a record that fails it now is damage that the
        // checksum missed.
        let Ok(batch) = scan_export_request(payload) else { break };
        index.add(&batch, payload_at);
        end = records.end;
    }
    let damaged = records.length - end;
    if damaged > 0 {
        set_aside(paths, end)?;
    }
    Ok(ReplayedSegment { index, end, damaged })
}

/// Whether every record of a segment is as it was written.
pub(crate) fn verify_segment(paths: &SegmentPaths) -> io::Result<bool> {
    let mut records = Records::open(paths)?;
    while records.next()?.is_some() {}
    Ok(records.end == records.length)
}

/// The whole records of a segment, one after the other.
struct Records {
    reader: BufReader<File>,
    /// Bytes of the file.
    length: u64,
    /// End of the last whole record, or of the magic; 0 without a magic.
    end: u64,
}

impl Records {
    fn open(paths: &SegmentPaths) -> io::Result<Self> {
        let file = File::open(paths.wal())?;
        let length = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let end = if read_magic(&mut reader)? { MAGIC.len() as u64 } else { 0 };
        Ok(Self { reader, length, end })
    }

    /// The next record and where its payload begins; `None` at the end or at the first damage.
    fn next(&mut self) -> io::Result<Option<(u32, Bytes)>> {
        if self.end == 0 {
            return Ok(None);
        }
        let Some(payload) = read_record(&mut self.reader, self.length - self.end)? else { return Ok(None) };
        let Ok(payload_at) = u32::try_from(self.end + RECORD_HEADER as u64) else { return Ok(None) };
        self.end += (RECORD_HEADER + payload.len()) as u64;
        Ok(Some((payload_at, payload)))
    }
}

fn read_magic(reader: &mut impl Read) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    Ok(read_fully(reader, &mut magic)? && &magic == MAGIC)
}

/// The next record, or `None` at the end or at the first damage. `left` bounds what is allocated.
fn read_record(reader: &mut impl Read, left: u64) -> io::Result<Option<Bytes>> {
    let mut header = [0; RECORD_HEADER];
    if !read_fully(reader, &mut header)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let expected = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if u64::from(length) + RECORD_HEADER as u64 > left {
        return Ok(None);
    }
    let mut payload = vec![0; length as usize];
    if !read_fully(reader, &mut payload)? || checksum(&payload) != expected {
        return Ok(None);
    }
    Ok(Some(payload.into()))
}

/// Fills `buffer`; false if the file ends before.
fn read_fully(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves what follows `end` into a file of its own. Where the disk has no room for that it is left behind in place, and
/// a later replay tries again.
fn set_aside(paths: &SegmentPaths, end: u64) -> io::Result<()> {
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
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    log.set_len(end)?;
    log.sync_all()?;
    sync_directory(paths.directory())
}
