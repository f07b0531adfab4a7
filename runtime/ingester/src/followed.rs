//! What an ingester keeps for leaders: bytes on disk that nobody looks into unless a leader is gone.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempoform_core::{BatchSet, Compressed, Error, ErrorKind, MemoryBudget, Result, scan_export_request};

use crate::metrics;
use crate::recovery::remove;
use crate::tenant_log::{OpenSegment, View};
use crate::wal::{MemoryIndex, Record, Records, SegmentPaths, SegmentReader, read_names};

/// What was expanded and no query needed for so long is made again when one does.
const EXPANDED_IDLE: Duration = Duration::from_secs(300);

/// A file of followed batches.
#[derive(Debug)]
pub(crate) struct FollowedSegment {
    paths: SegmentPaths,
    state: Mutex<State>,
    expanded: Mutex<Expanded>,
}

#[derive(Debug)]
struct State {
    /// Batches that are not known to be safe with a leader or in storage.
    unsettled: BatchSet,
    /// Durable bytes.
    length: u64,
    /// Since when nothing is added.
    closed: Option<Instant>,
}

/// The expanded content of a file so far and its index, made when a query first needs them.
#[derive(Debug, Default)]
struct Expanded {
    open: Option<Scratch>,
    /// End of the last record in it.
    end: u64,
    used: Option<Instant>,
}

/// A file that goes with its last reader.
#[derive(Debug)]
struct Scratch {
    view: Arc<OpenSegment>,
    file: File,
    length: u64,
}

/// One tenant's files of followed batches.
#[derive(Debug, Default)]
pub(crate) struct FollowedLog(Mutex<Vec<Arc<FollowedSegment>>>);

/// A lock whose holder panicked guards data that is still whole: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FollowedSegment {
    /// A file that is written to from now on.
    pub(crate) fn new(paths: SegmentPaths) -> Self {
        Self {
            paths,
            state: Mutex::new(State { unsettled: BatchSet::default(), length: 0, closed: None }),
            expanded: Mutex::default(),
        }
    }

    /// A file from before a restart.
    pub(crate) fn recovered(paths: SegmentPaths) -> io::Result<Self> {
        let file = File::open(paths.wal())?;
        let length = file.metadata()?.len();
        let names = read_names(&file, length)?;
        if names.end < length {
            // A torn record was never acknowledged; what is damaged the leader has, and so has the other follower.
            metrics::REPLAY_DAMAGED_BYTES.inc_by(length - names.end);
            tracing::warn!(segment = %paths.id(), bytes = length - names.end, "a followed log ends in a torn or damaged record");
        }
        let segment = Self::new(paths);
        *lock(&segment.state) =
            State { unsettled: names.batches, length: names.end, closed: Some(Instant::now()) };
        Ok(segment)
    }

    /// `batches` are durable, and the file is `length` bytes long with them.
    pub(crate) fn added(&self, batches: BatchSet, length: u64) {
        let mut state = lock(&self.state);
        state.unsettled.add(&batches);
        state.length = length;
    }

    /// Nothing is added any more.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = Some(Instant::now());
    }

    /// How long nothing was added; `None` while something may be.
    pub(crate) fn closed_for(&self) -> Option<Duration> {
        lock(&self.state).closed.map(|closed| closed.elapsed())
    }

    pub(crate) fn unsettled(&self) -> BatchSet {
        lock(&self.state).unsettled.clone()
    }

    /// Whether it was closed and is of no more use.
    fn settle(&self, batches: &BatchSet) -> bool {
        let mut state = lock(&self.state);
        state.unsettled.remove(batches);
        state.closed.is_some() && state.unsettled.is_empty()
    }

    /// Its spans for a query.
    pub(crate) fn view(&self, memory: &MemoryBudget) -> Result<View> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Unavailable, format!("followed log {}: {error}", self.paths.id()))
        };
        let length = lock(&self.state).length;
        let mut expanded = lock(&self.expanded);
        let mut records = Records::between(&self.paths, expanded.end, length).map_err(failed)?;
        let mut scratch = match expanded.open.take() {
            Some(scratch) => scratch,
            None => Scratch::new(&self.paths).map_err(failed)?,
        };
        let mut read = || {
            while let Some(record) = records.next().map_err(failed)? {
                scratch.add(record, memory).map_err(failed)??;
                expanded.end = records.end;
            }
            if records.end == length {
                return Ok(());
            }
            Err(failed(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("damaged at byte {}", records.end),
            )))
        };
        let read = read();
        let view = View::Open(Arc::clone(&scratch.view));
        expanded.open = Some(scratch);
        expanded.used = Some(Instant::now());
        read.map(|()| view)
    }

    /// Gives back what no query needs.
    fn forget_expanded(&self) {
        let mut expanded = lock(&self.expanded);
        if expanded.used.is_some_and(|used| used.elapsed() > EXPANDED_IDLE) {
            *expanded = Expanded::default();
        }
    }

    /// Its records, for whoever takes a batch over.
    pub(crate) fn records(&self) -> io::Result<Records> {
        Records::between(&self.paths, 0, lock(&self.state).length)
    }

    fn delete(&self) {
        if let Err(error) = remove(&self.paths.wal()) {
            tracing::warn!(segment = %self.paths.id(), %error, "could not remove a followed log of no more use; the next start does");
        }
    }
}

impl Scratch {
    fn new(paths: &SegmentPaths) -> io::Result<Self> {
        let path = paths.wal().with_extension("expanded");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        remove(&path)?;
        let reader = SegmentReader::new(file.try_clone()?);
        let view = Arc::new(OpenSegment::new(paths.clone(), reader, MemoryIndex::default()));
        Ok(Self { view, file, length: 0 })
    }

    /// Adds a record; the inner error is about what is in it.
    fn add(&mut self, record: Record, memory: &MemoryBudget) -> io::Result<Result<()>> {
        let batch = match Compressed::from_bytes(record.payload).expand().map(scan_export_request) {
            Ok(Ok(batch)) => batch,
            Ok(Err(error)) => return Ok(Err(error.into())),
            Err(error) => return Ok(Err(error)),
        };
        let held = match memory.reserve(MemoryIndex::cost(&batch), "the index of followed spans") {
            Ok(held) => held,
            Err(error) => return Ok(Err(error)),
        };
        let end = self.length + batch.payload.len() as u64;
        let (Ok(at), true) = (u32::try_from(self.length), u32::try_from(end).is_ok()) else {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "offsets end at 4 GiB"));
        };
        self.file.write_all_at(&batch.payload, self.length)?;
        self.length = end;
        self.view.hold(held);
        self.view.index_mut().add(record.id, &batch, at);
        Ok(Ok(()))
    }
}

impl FollowedLog {
    pub(crate) fn add(&self, segment: Arc<FollowedSegment>) {
        lock(&self.0).push(segment);
    }

    pub(crate) fn segments(&self) -> Vec<Arc<FollowedSegment>> {
        lock(&self.0).clone()
    }

    /// Batches that are not known to be safe with a leader or in storage.
    pub(crate) fn unsettled(&self) -> BatchSet {
        let mut unsettled = BatchSet::default();
        self.segments().iter().for_each(|segment| unsettled.add(&segment.unsettled()));
        unsettled
    }

    /// These batches are safe elsewhere: files that hold nothing else go.
    pub(crate) fn settle(&self, batches: &BatchSet) {
        let mut useless = Vec::new();
        lock(&self.0).retain(|segment| {
            let settled = segment.settle(batches);
            if settled {
                useless.push(Arc::clone(segment));
            }
            !settled
        });
        useless.iter().for_each(|segment| segment.delete());
    }

    /// All spans for a query, with what of them cannot be read.
    pub(crate) fn views(&self, memory: &MemoryBudget) -> (Vec<View>, Vec<Error>) {
        let (mut views, mut failures) = (Vec::new(), Vec::new());
        for segment in self.segments() {
            match segment.view(memory) {
                Ok(view) => views.push(view),
                Err(error) => failures.push(error),
            }
        }
        (views, failures)
    }

    pub(crate) fn forget_expanded(&self) {
        self.segments().iter().for_each(|segment| segment.forget_expanded());
    }
}
