//! What an ingester keeps for leaders: bytes on disk that nobody looks into unless a leader is gone.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempoform_core::{BatchSet, Compressed, Error, ErrorKind, MemoryBudget, Result, scan_export_request};

use crate::metrics;
use crate::recovery::remove;
use crate::tenant_log::{OpenSegment, View};
use crate::wal::{DamagedRecord, MemoryIndex, Record, Records, SegmentPaths, SegmentReader, read_names};

/// What was expanded and no query needed for so long is made again when one does.
const EXPANDED_IDLE: Duration = Duration::from_secs(300);

/// A file of followed batches.
#[derive(Debug)]
pub(crate) struct FollowedSegment {
    paths: SegmentPaths,
    state: Mutex<State>,
    expanded: Mutex<Expanded>,
    /// Where the records begin that are in the own log by now. Whoever takes the file over holds it.
    pub(crate) taken_over: tokio::sync::Mutex<HashSet<u32>>,
}

#[derive(Debug)]
struct State {
    /// Batches that are not known to be safe with a leader or in storage.
    unsettled: BatchSet,
    /// Durable bytes.
    length: u64,
    /// Since when nothing is added.
    closed: Option<Instant>,
    /// Whether something in it was damaged that nobody leads: then a person may want to look at it.
    damaged: bool,
}

/// The expanded content of a file so far and its index, made when a query first needs them.
#[derive(Debug, Default)]
struct Expanded {
    open: Option<Scratch>,
    /// End of the last record in it.
    end: u64,
    /// Records that could not be read.
    damaged: u64,
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
            state: Mutex::new(State {
                unsettled: BatchSet::default(),
                length: 0,
                closed: None,
                damaged: false,
            }),
            expanded: Mutex::default(),
            taken_over: tokio::sync::Mutex::default(),
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
        *lock(&segment.state) = State {
            unsettled: names.batches,
            length: names.end,
            closed: Some(Instant::now()),
            damaged: false,
        };
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

    /// Its spans for a query, and what of them cannot be read.
    pub(crate) fn view(&self, memory: &MemoryBudget) -> (Option<View>, Option<Error>) {
        let length = lock(&self.state).length;
        let mut expanded = lock(&self.expanded);
        let expanding = self.expand(&mut expanded, length, memory);
        expanded.used = Some(Instant::now());
        let damaged = || {
            let problem =
                format!("followed log {}: {} records are damaged", self.paths.id(), expanded.damaged);
            Error::new(ErrorKind::Unavailable, problem)
        };
        let failure = expanding.err().or_else(|| (expanded.damaged > 0).then(damaged));
        (expanded.open.as_ref().map(|scratch| View::Open(Arc::clone(&scratch.view))), failure)
    }

    /// Goes on with what was added since the last time.
    fn expand(&self, expanded: &mut Expanded, length: u64, memory: &MemoryBudget) -> Result<()> {
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Unavailable, format!("followed log {}: {error}", self.paths.id()))
        };
        let mut records = Records::between(&self.paths, expanded.end, length).map_err(failed)?;
        let scratch = match &mut expanded.open {
            Some(scratch) => scratch,
            empty => empty.insert(Scratch::new(&self.paths).map_err(failed)?),
        };
        while let Some(record) = records.next_readable().map_err(failed)? {
            match record.map(|record| scratch.add(record, memory)) {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) if error.kind() == ErrorKind::Exhausted => return Err(error),
                Ok(Ok(Err(_))) | Err(DamagedRecord { .. }) => expanded.damaged += 1,
                Ok(Err(error)) => return Err(failed(error)),
            }
            expanded.end = records.end;
        }
        if records.is_at_end() {
            return Ok(());
        }
        let problem = format!("damaged at byte {}", records.end);
        Err(failed(io::Error::new(io::ErrorKind::InvalidData, problem)))
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

    /// Removes the file, or what is damaged of it from the eyes of the next start.
    fn discard(&self) {
        let discarded = if lock(&self.state).damaged {
            std::fs::rename(self.paths.wal(), self.paths.damaged(0))
        } else {
            remove(&self.paths.wal())
        };
        if let Err(error) = discarded {
            tracing::warn!(segment = %self.paths.id(), %error, "could not remove a followed log of no more use; after the next start leaders are asked about it again");
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
        let useless: Vec<_> = lock(&self.0).extract_if(.., |segment| segment.settle(batches)).collect();
        useless.iter().for_each(|segment| segment.discard());
    }

    /// What this file has of these batches is safe elsewhere; it may be parts of them.
    pub(crate) fn settle_in(&self, segment: &Arc<FollowedSegment>, batches: &BatchSet) {
        if segment.settle(batches) {
            lock(&self.0).retain(|kept| !Arc::ptr_eq(kept, segment));
            segment.discard();
        }
    }

    /// What this file has of these batches is damaged.
    pub(crate) fn give_up(&self, segment: &Arc<FollowedSegment>, batches: &BatchSet) {
        if !batches.is_empty() {
            lock(&segment.state).damaged = true;
            self.settle_in(segment, batches);
        }
    }

    /// All spans for a query, with what of them cannot be read.
    pub(crate) fn views(&self, memory: &MemoryBudget) -> (Vec<View>, Vec<Error>) {
        let (mut views, mut failures) = (Vec::new(), Vec::new());
        for segment in self.segments() {
            let (view, failure) = segment.view(memory);
            views.extend(view);
            failures.extend(failure);
        }
        (views, failures)
    }

    pub(crate) fn forget_expanded(&self) {
        self.segments().iter().for_each(|segment| segment.forget_expanded());
    }
}
