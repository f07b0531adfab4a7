//! One tenant's segments in their stages: open, closing, sealed, uploaded.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use tempoform_block::BlockMeta;
use tempoform_core::{BatchSet, MemoryBudget, Reservation, Result, TenantId, TraceId};
use tempoform_wire::internal::Failure;
use uuid::Uuid;

use crate::followed::FollowedLog;
use crate::ingester::failure;
use crate::wal::{
    DiskIndex, KnownScopes, MemoryIndex, Run, RunList, ScopePlace, SegmentPaths, SegmentReader,
};

/// A segment whose index is in memory: the one written to, or one just closed.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) paths: SegmentPaths,
    pub(crate) reader: SegmentReader,
    index: RwLock<MemoryIndex>,
    /// Memory held for the index.
    held: Mutex<Option<Reservation>>,
}

/// A segment that waits to become a block.
#[derive(Debug)]
pub(crate) struct SealedSegment {
    pub(crate) tenant: TenantId,
    pub(crate) paths: SegmentPaths,
    pub(crate) reader: SegmentReader,
    pub(crate) index: DiskIndex,
    /// Memory held for the index, where it could not be written to disk.
    pub(crate) _held: Option<Reservation>,
    /// Whether it was there before this process: then its records are checked before a block is made of it.
    pub(crate) recovered: bool,
    /// Whether its file ends in damage that there was no room to set aside: then it is not removed.
    pub(crate) keeps_damage: bool,
    /// Names of the batches in it.
    pub(crate) batches: BatchSet,
    pub(crate) attempts: Mutex<Attempts>,
}

/// Uploads tried so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) running: bool,
    pub(crate) failed: u32,
    pub(crate) next: Option<Instant>,
    /// Blocks of the segment that are in storage, while others are missing.
    pub(crate) stored: Vec<BlockMeta>,
}

/// A block in storage that readers may not have in their list yet.
#[derive(Clone, Debug)]
pub(crate) struct FreshBlock {
    pub(crate) meta: Arc<BlockMeta>,
    pub(crate) until: Instant,
}

/// The stages of one tenant's segments.
#[derive(Debug)]
pub(crate) struct TenantLog {
    pub(crate) tenant: TenantId,
    stages: Mutex<Stages>,
    pub(crate) followed: FollowedLog,
    /// When records of the log were last found damaged.
    damaged: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Stages {
    open: Option<Arc<OpenSegment>>,
    closing: Vec<Arc<OpenSegment>>,
    sealed: Vec<Arc<SealedSegment>>,
    fresh: Vec<FreshBlock>,
    stored: Vec<StoredBatches>,
}

/// The batches of a block in storage. Their followers may ask for them a while yet.
#[derive(Debug)]
struct StoredBatches {
    block: Uuid,
    batches: BatchSet,
    until: Instant,
}

/// How long followers may be away and still hear that their batches are in storage. After that they take them over,
/// which costs a block of copies.
pub(crate) const STORED_FOR: Duration = Duration::from_secs(6 * 3600);

/// A segment as a query sees it.
#[derive(Clone, Debug)]
pub(crate) enum View {
    Open(Arc<OpenSegment>),
    Sealed(Arc<SealedSegment>),
}

/// Everything of a tenant at one moment: each acknowledged span is in a view or in a fresh block.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) views: Vec<View>,
    pub(crate) fresh: Vec<Arc<BlockMeta>>,
    /// What cannot be looked into.
    pub(crate) failures: Vec<Failure>,
}

/// A lock whose holder panicked guards data that is still whole: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenSegment {
    pub(crate) fn new(paths: SegmentPaths, reader: SegmentReader, index: MemoryIndex) -> Self {
        Self { paths, reader, index: RwLock::new(index), held: Mutex::new(None) }
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, MemoryIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, MemoryIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `reservation` as long as the index lives.
    pub(crate) fn hold(&self, reservation: Reservation) {
        match &mut *lock(&self.held) {
            Some(held) => held.absorb(reservation),
            empty => *empty = Some(reservation),
        }
    }

    /// Hands over what is held, shrunk to `bytes`.
    pub(crate) fn release(&self, bytes: u64) -> Option<Reservation> {
        let mut held = lock(&self.held).take()?;
        held.shrink_to(bytes);
        Some(held)
    }
}

impl SealedSegment {
    pub(crate) fn new(
        tenant: TenantId,
        paths: SegmentPaths,
        reader: SegmentReader,
        index: DiskIndex,
        batches: BatchSet,
    ) -> Self {
        Self {
            tenant,
            paths,
            reader,
            index,
            _held: None,
            recovered: false,
            keeps_damage: false,
            batches,
            attempts: Mutex::default(),
        }
    }

    pub(crate) fn attempts(&self) -> MutexGuard<'_, Attempts> {
        lock(&self.attempts)
    }
}

impl View {
    /// The runs of a trace, in the order they came. The inner error is that there is no `memory` for them.
    pub(crate) fn find(&self, id: &TraceId, memory: &MemoryBudget) -> io::Result<Result<RunList>> {
        let mut found = RunList::new(memory);
        let mut kept = Ok(());
        match self {
            Self::Open(segment) => {
                kept = segment.index().find(id).try_for_each(|run| found.push(run));
            }
            Self::Sealed(segment) => {
                for run in segment.index.find(id)? {
                    kept = kept.and(found.push(run?));
                    if kept.is_err() {
                        break;
                    }
                }
            }
        }
        Ok(kept.map(|()| found))
    }

    /// Runs of one trace, encoded.
    pub(crate) fn piece_of(&self, runs: &[Run]) -> io::Result<Vec<u8>> {
        match self {
            Self::Open(segment) => segment.reader.piece(runs, |scope| self.scope(scope)),
            Self::Sealed(segment) => segment.reader.piece(runs, |scope| self.scope(scope)),
        }
    }

    /// Bytes of what [`piece_of`](Self::piece_of) gives, but for tags and lengths.
    pub(crate) fn piece_bytes(&self, runs: &[Run]) -> io::Result<u64> {
        let mut known = KnownScopes::default();
        let mut bytes = 0;
        for runs in runs.chunk_by(|a, b| a.scope == b.scope) {
            bytes += runs.iter().map(|run| u64::from(run.place.length)).sum::<u64>();
            let Some(Run { scope, .. }) = runs.first() else { continue };
            bytes += known.get(*scope, |at| self.scope(at))?.bytes();
        }
        Ok(bytes)
    }

    fn scope(&self, at: u32) -> io::Result<ScopePlace> {
        match self {
            Self::Open(segment) => Ok(segment.index().scopes[at as usize]),
            Self::Sealed(segment) => segment.index.scope(at),
        }
    }

    pub(crate) fn id(&self) -> Uuid {
        match self {
            Self::Open(segment) => segment.paths.id(),
            Self::Sealed(segment) => segment.paths.id(),
        }
    }
}

impl TenantLog {
    pub(crate) fn new(tenant: TenantId) -> Self {
        Self { tenant, stages: Mutex::default(), followed: FollowedLog::default(), damaged: Mutex::default() }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let stages = lock(&self.stages);
        let open = stages.open.iter().chain(&stages.closing).map(|segment| View::Open(Arc::clone(segment)));
        let sealed = stages.sealed.iter().map(|segment| View::Sealed(Arc::clone(segment)));
        Snapshot {
            views: open.chain(sealed).collect(),
            fresh: stages.fresh.iter().map(|block| Arc::clone(&block.meta)).collect(),
            failures: Vec::new(),
        }
    }

    /// Records of the log were found damaged, so long ago.
    pub(crate) fn note_damage(&self, ago: Duration) {
        let at = Instant::now().checked_sub(ago);
        let mut damaged = lock(&self.damaged);
        *damaged = (*damaged).max(at);
    }

    /// Whether records of the log were found damaged within this time.
    pub(crate) fn is_damaged(&self, within: Duration) -> bool {
        lock(&self.damaged).is_some_and(|at| at.elapsed() < within)
    }

    /// The same with what is followed, since a leader does not answer. Reads files.
    pub(crate) fn snapshot_with_followed(&self, memory: &MemoryBudget) -> Snapshot {
        // First, since a batch may be settled meanwhile: then its block is among the fresh ones.
        let (followed, failures) = self.followed.views(memory);
        let mut snapshot = self.snapshot();
        snapshot.views.extend(followed);
        snapshot.failures = failures.iter().map(|error| failure(&"of followed batches", error)).collect();
        snapshot
    }

    /// `segment` takes writes from now on.
    pub(crate) fn open(&self, segment: Arc<OpenSegment>) {
        lock(&self.stages).open = Some(segment);
    }

    /// The open segment takes no more writes.
    pub(crate) fn close(&self, segment: &Arc<OpenSegment>) {
        let mut stages = lock(&self.stages);
        stages.open = None;
        stages.closing.push(Arc::clone(segment));
    }

    /// `sealed` takes the place of the closing or damaged segment of its id (after a restart, of none).
    pub(crate) fn seal(&self, sealed: SealedSegment) {
        let mut stages = lock(&self.stages);
        stages.closing.retain(|closing| closing.paths.id() != sealed.paths.id());
        stages.sealed.retain(|former| former.paths.id() != sealed.paths.id());
        stages.sealed.push(Arc::new(sealed));
    }

    /// The next sealed segment whose upload is due; it is marked as running.
    pub(crate) fn take_due(&self) -> Option<Arc<SealedSegment>> {
        let stages = lock(&self.stages);
        let due = stages.sealed.iter().find(|segment| {
            let attempts = segment.attempts();
            !attempts.running && attempts.next.is_none_or(|next| next <= Instant::now())
        })?;
        due.attempts().running = true;
        Some(Arc::clone(due))
    }

    /// The segment's blocks are verified in storage.
    pub(crate) fn flushed(&self, segment: &SealedSegment, metas: Vec<BlockMeta>, fresh_for: Duration) {
        let mut stages = lock(&self.stages);
        stages.sealed.retain(|sealed| sealed.paths.id() != segment.paths.id());
        stages.stored.push(StoredBatches {
            block: segment.paths.id(),
            batches: segment.batches.clone(),
            until: Instant::now() + STORED_FOR,
        });
        let until = Instant::now() + fresh_for;
        stages.fresh.extend(metas.into_iter().map(|meta| FreshBlock { meta: Arc::new(meta), until }));
    }

    /// Forgets what nobody asks for any more: ids of blocks that every reader knows by now, and of blocks whose followers
    /// have heard of them.
    pub(crate) fn expire(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        let now = Instant::now();
        let mut stages = lock(&self.stages);
        let fresh = stages.fresh.extract_if(.., |block| block.until <= now).map(|block| block.meta.block_id);
        let fresh = fresh.collect();
        let stored = stages.stored.extract_if(.., |block| block.until <= now).map(|block| block.block);
        (fresh, stored.collect())
    }

    /// Batches that are in storage, by blocks made here.
    pub(crate) fn stored(&self) -> BatchSet {
        let mut stored = BatchSet::default();
        lock(&self.stages).stored.iter().for_each(|block| stored.add(&block.batches));
        stored
    }

    /// Batches that a block is to be made of here.
    pub(crate) fn led(&self) -> BatchSet {
        let (open, sealed) = {
            let stages = lock(&self.stages);
            (stages.open.iter().chain(&stages.closing).cloned().collect::<Vec<_>>(), stages.sealed.clone())
        };
        let mut led = BatchSet::default();
        open.iter().for_each(|segment| led.add(&segment.index().batches));
        sealed.iter().for_each(|segment| led.add(&segment.batches));
        led
    }

    /// Metas of blocks that readers may not have in their list yet.
    pub(crate) fn fresh(&self) -> Vec<Arc<BlockMeta>> {
        lock(&self.stages).fresh.iter().map(|block| Arc::clone(&block.meta)).collect()
    }

    /// The batches of a block that was made before a restart.
    pub(crate) fn remember_stored(&self, block: Uuid, batches: BatchSet, left: Duration) {
        lock(&self.stages).stored.push(StoredBatches { block, batches, until: Instant::now() + left });
    }

    /// The segment turned out to hold nothing.
    pub(crate) fn discard(&self, segment: &SealedSegment) {
        lock(&self.stages).sealed.retain(|sealed| sealed.paths.id() != segment.paths.id());
    }

    /// A block known to be fresh from before a restart, or from another ingester.
    pub(crate) fn remember(&self, meta: BlockMeta, fresh_for: Duration) {
        let mut stages = lock(&self.stages);
        if !stages.fresh.iter().any(|block| block.meta.block_id == meta.block_id) {
            stages.fresh.push(FreshBlock { meta: Arc::new(meta), until: Instant::now() + fresh_for });
        }
    }

    /// Segments not in storage yet, the open one included.
    pub(crate) fn unflushed(&self) -> usize {
        let stages = lock(&self.stages);
        usize::from(stages.open.is_some()) + stages.closing.len() + stages.sealed.len()
    }

    /// Whether the last upload of a segment failed.
    pub(crate) fn has_failing_flush(&self) -> bool {
        lock(&self.stages).sealed.iter().any(|segment| segment.attempts().failed > 0)
    }

    /// Uploads that failed are due now.
    pub(crate) fn retry_now(&self) {
        let sealed = lock(&self.stages).sealed.clone();
        sealed.iter().for_each(|segment| segment.attempts().next = None);
    }

    /// Segments that take no more writes and are not in storage yet.
    pub(crate) fn closed(&self) -> Vec<Uuid> {
        let stages = lock(&self.stages);
        let closing = stages.closing.iter().map(|segment| segment.paths.id());
        closing.chain(stages.sealed.iter().map(|segment| segment.paths.id())).collect()
    }
}
