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
    let file = File::open(paths.wal())?;
    let length = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut index = MemoryIndex::default();
    let mut end = 0;
    if read_magic(&mut reader)? {
        end = MAGIC.len() as u64;
        while let Some(payload) = read_record(&mut reader, length - end)? {
            let payload_at = end + RECORD_HEADER as u64;
            let record_end = payload_at + payload.len() as u64;
            // Only what passed the scan was logged; a record that fails it now is damage that the
            // checksum missed.
            let Ok(batch) = scan_export_request(payload) else { break };
            index.add(&batch, payload_at as u32);
            end = record_end;
        }
    }
    let damaged = length - end;
    if damaged > 0 {
        set_aside(paths, end)?;
    }
    Ok(ReplayedSegment { index, end, damaged })
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

fn set_aside(paths: &SegmentPaths, end: u64) -> io::Result<()> {
    let mut log = OpenOptions::new().read(true).write(true).open(paths.wal())?;
    log.seek(SeekFrom::Start(end))?;
    let mut tail = File::create(paths.damaged(end))?;
    io::copy(&mut log, &mut tail)?;
    tail.sync_all()?;
    log.set_len(end)?;
    log.sync_all()?;
    sync_directory(paths.directory())
}
