//! A sealed segment's index on disk: binary search by `pread`, nothing in memory.
//!
//! Little-endian: magic, number of scopes (u32), number of runs (u32), length of the log (u64); the scopes (8 u32 each); the runs by trace id (id, scope, start, length); CRC-32C
//! of all before.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

use tempoform_core::TraceId;

use super::index::{MemoryIndex, Place, Run, ScopePlace};
use super::segment::{SegmentPaths, sync_directory};

const MAGIC: &[u8; 8] = b"TFIDX\n01";
const HEADER: usize = 24;
const SCOPE: usize = 32;
const RUN: usize = 28;
/// Runs read at a time when going through all.
const STRIDE: usize = 4096;

/// A sealed segment's index: on disk, or in memory while there was no room to write it.
#[derive(Debug)]
pub(crate) enum DiskIndex {
    File(IndexFile),
    Memory { scopes: Vec<ScopePlace>, runs: Vec<Run> },
}

#[derive(Debug)]
pub(crate) struct IndexFile {
    file: File,
    scopes: u32,
    runs: u32,
}

impl DiskIndex {
    /// Writes the index of a sealed log of `wal_length` bytes; keeps it in memory if that fails.
    pub(crate) fn create(paths: &SegmentPaths, index: &MemoryIndex, wal_length: u64) -> Self {
        let runs = index.sorted_runs();
        match IndexFile::write(paths, &index.scopes, &runs, wal_length) {
            Ok(file) => Self::File(file),
            Err(error) => {
                tracing::warn!(segment = %paths.id(), %error, "could not write the index of a segment; it stays in memory");
                Self::Memory { scopes: index.scopes.clone(), runs }
            }
        }
    }

    /// Bytes of memory it takes.
    pub(crate) fn memory(&self) -> u64 {
        match self {
            Self::File(_) => 0,
            Self::Memory { scopes, runs } => (size_of_val(&scopes[..]) + size_of_val(&runs[..])) as u64,
        }
    }

    pub(crate) fn run_count(&self) -> usize {
        match self {
            Self::File(file) => file.runs as usize,
            Self::Memory { runs, .. } => runs.len(),
        }
    }

    /// Runs from position `at`, as many as read well at once; empty at the end.
    pub(crate) fn runs_from(&self, at: usize) -> io::Result<Vec<Run>> {
        let end = self.run_count().min(at + STRIDE);
        if at >= end {
            return Ok(Vec::new());
        }
        match self {
            Self::File(file) => file.runs(at, end),
            Self::Memory { runs, .. } => Ok(runs[at..end].to_vec()),
        }
    }

    /// The runs of a trace in the order they came.
    pub(crate) fn find(&self, id: &TraceId) -> io::Result<impl Iterator<Item = io::Result<Run>>> {
        let (mut low, mut high) = (0, self.run_count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.trace_at(middle)? < *id { low = middle + 1 } else { high = middle }
        }
        let id = *id;
        let runs = (low..self.run_count()).map(|at| self.run_at(at));
        Ok(runs.take_while(move |run| run.as_ref().map_or(true, |run| run.trace_id == id)))
    }

    fn trace_at(&self, at: usize) -> io::Result<TraceId> {
        self.run_at(at).map(|run| run.trace_id)
    }

    fn run_at(&self, at: usize) -> io::Result<Run> {
        match self {
            Self::File(file) => file.run(at),
            Self::Memory { runs, .. } => Ok(runs[at]),
        }
    }

    pub(crate) fn scope(&self, at: u32) -> io::Result<ScopePlace> {
        match self {
            Self::File(file) => file.scope(at),
            Self::Memory { scopes, .. } => {
                scopes.get(at as usize).copied().ok_or_else(|| invalid("names a scope that is not there"))
            }
        }
    }
}

impl IndexFile {
    fn write(paths: &SegmentPaths, scopes: &[ScopePlace], runs: &[Run], wal_length: u64) -> io::Result<Self> {
        let temporary = paths.index().with_extension("idx.tmp");
        let mut out = Checked { inner: BufWriter::with_capacity(1 << 18, File::create(&temporary)?), crc: 0 };
        let written = (|| {
            out.put(MAGIC)?;
            out.put(&(scopes.len() as u32).to_le_bytes())?;
            out.put(&(runs.len() as u32).to_le_bytes())?;
            out.put(&wal_length.to_le_bytes())?;
            for scope in scopes {
                let ScopePlace { resource, resource_schema_url, scope, scope_schema_url } = scope;
                for place in [resource, resource_schema_url, scope, scope_schema_url] {
                    out.put(&place.start.to_le_bytes())?;
                    out.put(&place.length.to_le_bytes())?;
                }
            }
            for run in runs {
                out.put(run.trace_id.as_bytes())?;
                for number in [run.scope, run.place.start, run.place.length] {
                    out.put(&number.to_le_bytes())?;
                }
            }
            let crc = out.crc;
            out.inner.write_all(&crc.to_le_bytes())?;
            out.inner.flush()?;
            out.inner.get_ref().sync_data()
        })();
        if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, paths.index())) {
            drop(std::fs::remove_file(&temporary));
            return Err(error);
        }
        sync_directory(paths.directory())?;
        Ok(Self { file: File::open(paths.index())?, scopes: scopes.len() as u32, runs: runs.len() as u32 })
    }

    /// Opens the index of a log that is `wal_length` bytes long; `None` if there is none or it is of
    /// another length, or damaged.
    pub(crate) fn open(paths: &SegmentPaths, wal_length: u64) -> io::Result<Option<Self>> {
        let mut file = match File::open(paths.index()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let mut header = [0; HEADER];
        if length < (HEADER + 4) as u64 {
            return Ok(None);
        }
        file.read_exact(&mut header)?;
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length_of_log = u64::from(number(16)) | u64::from(number(20)) << 32;
        let (scopes, runs) = (number(8), number(12));
        let expected = HEADER as u64 + u64::from(scopes) * SCOPE as u64 + u64::from(runs) * RUN as u64 + 4;
        if &header[..8] != MAGIC || length_of_log != wal_length || length != expected {
            return Ok(None);
        }
        if !crc_holds(&mut file, &header, length)? {
            return Ok(None);
        }
        Ok(Some(Self { file, scopes, runs }))
    }

    fn run(&self, at: usize) -> io::Result<Run> {
        let mut bytes = [0; RUN];
        self.file.read_exact_at(&mut bytes, self.run_offset(at))?;
        Ok(decode_run(&bytes))
    }

    fn runs(&self, from: usize, to: usize) -> io::Result<Vec<Run>> {
        let mut bytes = vec![0; (to - from) * RUN];
        self.file.read_exact_at(&mut bytes, self.run_offset(from))?;
        Ok(bytes.as_chunks::<RUN>().0.iter().map(decode_run).collect())
    }

    fn scope(&self, at: u32) -> io::Result<ScopePlace> {
        if at >= self.scopes {
            return Err(invalid("names a scope that is not there"));
        }
        let mut bytes = [0; SCOPE];
        self.file.read_exact_at(&mut bytes, HEADER as u64 + u64::from(at) * SCOPE as u64)?;
        let place = |at: usize| Place { start: u32_at(&bytes, at), length: u32_at(&bytes, at + 4) };
        Ok(ScopePlace {
            resource: place(0),
            resource_schema_url: place(8),
            scope: place(16),
            scope_schema_url: place(24),
        })
    }

    fn run_offset(&self, at: usize) -> u64 {
        HEADER as u64 + u64::from(self.scopes) * SCOPE as u64 + (at * RUN) as u64
    }
}

fn decode_run(bytes: &[u8; RUN]) -> Run {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[..16]);
    Run {
        trace_id: TraceId::new(id),
        scope: u32_at(bytes, 16),
        place: Place { start: u32_at(bytes, 20), length: u32_at(bytes, 24) },
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn crc_holds(file: &mut File, header: &[u8], length: u64) -> io::Result<bool> {
    let mut crc = crc32c::crc32c(header);
    let mut left = length - header.len() as u64 - 4;
    let mut buffer = vec![0; 1 << 18];
    while left > 0 {
        let take = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..take])?;
        crc = crc32c::crc32c_append(crc, &buffer[..take]);
        left -= take as u64;
    }
    let mut stored = [0; 4];
    file.read_exact(&mut stored)?;
    Ok(u32::from_le_bytes(stored) == crc)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("segment index {what}"))
}

/// Keeps the checksum of what is written.
struct Checked<W> {
    inner: W,
    crc: u32,
}

impl<W: Write> Checked<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.inner.write_all(bytes)
    }
}
