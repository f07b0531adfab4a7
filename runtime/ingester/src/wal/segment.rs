use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempoform_core::BatchId;
use uuid::Uuid;

/// First bytes of a segment; the last two are the version.
pub(super) const MAGIC: &[u8; 8] = b"TFWAL\n02";
/// Bytes before a record's payload, see [`RecordHeader`].
pub(super) const RECORD_HEADER: usize = 28;
/// Room for the headers of a group's records.
const MARGIN: u64 = 1 << 20;

/// Where a segment's files are.
#[derive(Clone, Debug)]
pub(crate) struct SegmentPaths {
    directory: PathBuf,
    id: Uuid,
}

impl SegmentPaths {
    pub(crate) fn new(directory: &Path, id: Uuid) -> Self {
        Self { directory: directory.to_owned(), id }
    }

    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The log itself.
    pub(crate) fn wal(&self) -> PathBuf {
        self.directory.join(format!("{}.wal", self.id))
    }

    /// Its index.
    pub(crate) fn index(&self) -> PathBuf {
        self.directory.join(format!("{}.idx", self.id))
    }

    /// The meta of its block, once that is verified in storage.
    pub(crate) fn flushed(&self) -> PathBuf {
        self.directory.join(format!("{}.flushed", self.id))
    }

    /// The names of the batches in its block, once that is verified in storage.
    pub(crate) fn batches(&self) -> PathBuf {
        self.directory.join(format!("{}.batches", self.id))
    }

    /// Where a damaged tail that began at `offset` is set aside.
    pub(crate) fn damaged(&self, offset: u64) -> PathBuf {
        self.directory.join(format!("{}.damaged-{offset}", self.id))
    }
}

/// What stands before a record's payload, little-endian: length and CRC-32C of the payload (u32 each), origin and number
/// of the batch (u64 each; origin 0 = no name), CRC-32C of all that. So records can be gone through without their
/// payloads. The highest bit of the length says that the payload is a part of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) length: u32,
    pub(super) part: bool,
    pub(super) checksum: u32,
    pub(super) id: Option<BatchId>,
}

/// In the length of a record.
const PART: u32 = 1 << 31;

impl RecordHeader {
    fn of(record: &NewRecord<'_>) -> Self {
        let checksum = crc32c::crc32c(record.payload);
        Self { length: record.payload.len() as u32, part: record.part, checksum, id: record.id }
    }

    fn encode(self) -> [u8; RECORD_HEADER] {
        let BatchId { origin, number } = self.id.unwrap_or(BatchId { origin: 0, number: 0 });
        let mut bytes = [0; RECORD_HEADER];
        let part = if self.part { PART } else { 0 };
        bytes[..4].copy_from_slice(&(self.length | part).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[8..16].copy_from_slice(&origin.to_le_bytes());
        bytes[16..24].copy_from_slice(&number.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` if it is damaged.
    pub(super) fn decode(bytes: &[u8; RECORD_HEADER]) -> Option<Self> {
        let (numbers, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(numbers) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (length, rest) = numbers.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let (origin, rest) = rest.split_first_chunk::<8>()?;
        let (number, _) = rest.split_first_chunk::<8>()?;
        let (origin, number) = (u64::from_le_bytes(*origin), u64::from_le_bytes(*number));
        let length = u32::from_le_bytes(*length);
        Some(Self {
            length: length & !PART,
            part: length & PART != 0,
            checksum: u32::from_le_bytes(*checksum),
            id: (origin != 0).then_some(BatchId { origin, number }),
        })
    }
}

/// A record to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRecord<'a> {
    pub(crate) id: Option<BatchId>,
    /// Whether it is not all of that batch.
    pub(crate) part: bool,
    pub(crate) payload: &'a Bytes,
}

/// A segment that is written to.
#[derive(Debug)]
pub(crate) struct Segment {
    paths: SegmentPaths,
    file: File,
    /// End of the last record that was asked to be written.
    written: u64,
    /// End of the last record known to be durable: synced, or trusted to the system.
    durable: u64,
    /// Whether something was trusted to the system since the last sync.
    unsynced: bool,
}

/// A record's place, known before it is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    /// Offset of the record's payload in the file.
    pub(crate) payload_at: u32,
}

impl Segment {
    /// Creates the file and its first bytes.
    pub(crate) fn create(paths: SegmentPaths) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(paths.wal())?;
        let started = file.write_all(MAGIC).and_then(|()| sync_directory(paths.directory()));
        if let Err(error) = started {
            // Best effort: an empty segment is skipped by replay too.
            drop(std::fs::remove_file(paths.wal()));
            return Err(error);
        }
        let written = MAGIC.len() as u64;
        Ok(Self { paths, file, written, durable: written, unsynced: false })
    }

    pub(crate) fn paths(&self) -> &SegmentPaths {
        &self.paths
    }

    /// A handle for readers.
    pub(crate) fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Bytes durable.
    pub(crate) fn len(&self) -> u64 {
        self.durable
    }

    /// Whether records of `bytes` bytes fit: offsets are 32 bits.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.written.saturating_add(bytes) < u64::from(u32::MAX) - MARGIN
    }

    /// Appends records, not yet durable. On an error nothing of them remains.
    pub(crate) fn append(&mut self, records: &[NewRecord<'_>]) -> io::Result<Vec<Appended>> {
        let headers: Vec<[u8; RECORD_HEADER]> =
            records.iter().map(|record| RecordHeader::of(record).encode()).collect();
        let mut slices = Vec::with_capacity(records.len() * 2);
        let mut appended = Vec::with_capacity(records.len());
        let mut at = self.written;
        for (header, record) in headers.iter().zip(records) {
            slices.push(IoSlice::new(header));
            slices.push(IoSlice::new(record.payload));
            let payload_at = at + RECORD_HEADER as u64;
            at = payload_at + record.payload.len() as u64;
            if u32::try_from(at).is_err() || record.payload.len() >= PART as usize {
                let ends = "a record ends at 2 GiB, a segment at 4 GiB";
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, ends));
            }
            appended.push(Appended { payload_at: payload_at as u32 });
        }
        if let Err(error) = write_all(&mut self.file, &mut slices) {
            self.forget_undurable()?;
            return Err(error);
        }
        self.written = at;
        Ok(appended)
    }

    /// For a sync, before [`committed`](Self::committed).
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// What was appended is durable: the file was synced, or the system is trusted to write it.
    pub(crate) fn committed(&mut self, synced: bool) {
        self.unsynced |= !synced;
        self.durable = self.written;
    }

    /// Has the system put on disk what was trusted to it.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.unsynced) {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Cuts the file back to its durable end, so that refused records do not come back at replay.
    pub(crate) fn forget_undurable(&mut self) -> io::Result<()> {
        self.file.set_len(self.durable)?;
        io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.durable))?;
        self.written = self.durable;
        Ok(())
    }
}

fn write_all(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // The kernel takes at most 1024 slices a call and says how far it came.
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a folder of the log, durably.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(directory)?;
    // Its tenant's, and the log's own.
    for parent in directory.ancestors().skip(1).take(2) {
        match sync_directory(parent) {
            // Whoever made a folder that cannot be read here has to see to it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Makes creations and removals in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
