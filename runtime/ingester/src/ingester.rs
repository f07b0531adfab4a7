use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use futures::future::join_all;
use tempoform_block::BlockStore;
use tempoform_core::{
    Error, ErrorKind, Followed, Led, MemoryBudget, Push, PushOutcome, Result, SpanSink, TenantId, TraceId,
    TraceSource,
};
use tempoform_wire::internal::{
    Failure, FindTraceRequest, FindTraceResponse, SearchRequest, SearchResponse, SettleRequest,
    SettleResponse, TagNamesRequest, TagNamesResponse, TagValuesRequest, TagValuesResponse,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::options::{Durability, Options};
use crate::recovery::LogLock;
use crate::tenant_log::{Snapshot, TenantLog};
use crate::wal::{MemoryIndex, SegmentPaths};
use crate::writer::{Append, Command, FOLLOWED_AGE, Follow, LogHealth, Writer};
use crate::{flush, live, metrics, recovery, settle};

/// Requests that wait for the log at most; further ones wait at the caller.
const QUEUE: usize = 1024;

/// The share of the memory ceiling that a lookup may read of the log: one of so many.
const LOOKUP_SHARE: u64 = 8;

/// The share of the memory ceiling that the index of what is followed may take: one of so many. Writes need the rest.
const FOLLOWED_SHARE: u64 = 8;

/// What the ingester's tasks and threads share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) store: BlockStore,
    pub(crate) memory: MemoryBudget,
    /// A part of it, for the index of what is followed, which queries need while a leader is away.
    followed_memory: MemoryBudget,
    /// Of that, what indexes of live traces and the building of blocks may have, so that they leave room for each other
    /// and for queries.
    pub(crate) indexes: MemoryBudget,
    pub(crate) building: MemoryBudget,
    pub(crate) runtime: Handle,
    pub(crate) flush_due: Notify,
    pub(crate) log_health: LogHealth,
    /// Why the ingester cannot go on, if it cannot.
    failure: OnceLock<String>,
    logs: RwLock<HashMap<TenantId, Arc<TenantLog>>>,
}

impl Shared {
    /// The tenant's log, made if need be.
    pub(crate) fn log(&self, tenant: &TenantId) -> Arc<TenantLog> {
        if let Some(log) = self.known_log(tenant) {
            return log;
        }
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(tenant.clone()).or_insert_with(|| Arc::new(TenantLog::new(tenant.clone())));
        Arc::clone(log)
    }

    fn known_log(&self, tenant: &TenantId) -> Option<Arc<TenantLog>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    pub(crate) fn all_logs(&self) -> Vec<Arc<TenantLog>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Something that must never fail did: `/ready` says so.
    pub(crate) fn fail(&self, why: String) {
        tracing::error!(%why, "the ingester cannot go on; restart it, the log keeps what was acknowledged");
        // The first failure is the one to know.
        drop(self.failure.set(why));
    }

    /// Segments of `wanted` that are not in storage yet.
    fn not_flushed(&self, wanted: &HashSet<Uuid>) -> usize {
        self.all_logs().iter().flat_map(|log| log.closed()).filter(|id| wanted.contains(id)).count()
    }

    /// Whether storage refuses blocks of this ingester too.
    pub(crate) fn has_failing_flush(&self) -> bool {
        self.all_logs().iter().any(|log| log.has_failing_flush())
    }

    fn unflushed(&self) -> usize {
        self.all_logs().iter().map(|log| log.unflushed()).sum()
    }
}

/// Keeps acknowledged spans on disk, answers queries over them, and makes them into blocks.
pub struct Ingester {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    stopping: AtomicBool,
    _lock: LogLock,
}

impl std::fmt::Debug for Ingester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingester").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Ingester {
    /// Replays the log in `options.wal_path` and starts to work. Serve only after this returns.
    ///
    /// # Errors
    /// When the log's folder cannot be read or written.
    pub async fn start(options: Options, store: BlockStore, memory: MemoryBudget) -> Result<Arc<Self>> {
        metrics::register();
        let shared = Arc::new(Shared {
            options,
            store,
            followed_memory: memory.part(memory.limit() / FOLLOWED_SHARE),
            indexes: memory.part(memory.limit() / 4),
            building: memory.part(memory.limit() / 8 * 3),
            memory,
            runtime: Handle::current(),
            flush_due: Notify::new(),
            log_health: LogHealth::default(),
            failure: OnceLock::new(),
            logs: RwLock::default(),
        });
        let (lock, writer) = {
            let shared = Arc::clone(&shared);
            blocking(move || Ok((recovery::recover(&shared)?, Writer::new(shared)))).await?
        };
        let (commands, receiver) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|error| {
                Error::new(ErrorKind::Internal, format!("could not start the log's thread: {error}"))
            })?;
        for _ in 0..shared.options.concurrent_flushes.max(1) {
            tokio::spawn(supervise(Arc::clone(&shared)));
        }
        tokio::spawn(tick(commands.downgrade(), Arc::clone(&shared)));
        tokio::spawn(settle::run(commands.downgrade(), Arc::clone(&shared)));
        if let Durability::Async { sync_period } = shared.options.durability {
            tokio::spawn(sync(commands.downgrade(), sync_period));
        }
        Ok(Arc::new(Self { shared, commands, stopping: AtomicBool::new(false), _lock: lock }))
    }

    /// Makes blocks of everything in the log and waits until they are verified in storage.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when `deadline` passes before; the log keeps what is left.
    pub async fn flush(&self, deadline: Duration) -> Result<()> {
        let deadline = Instant::now() + deadline;
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::CloseAll(done)).await.is_ok() {
            // The writer answers unless its thread died; then there is nothing to wait for.
            drop(closed.await);
        }
        // Whoever orders a flush does not want to wait for the next try.
        self.shared.all_logs().iter().for_each(|log| log.retry_now());
        // What comes meanwhile is for the next flush.
        let wanted = self.shared.all_logs().iter().flat_map(|log| log.closed()).collect();
        loop {
            let unflushed = self.shared.not_flushed(&wanted);
            if unflushed == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!("{unflushed} segments of the log are not in storage yet; they stay on disk"),
                ));
            }
            self.shared.flush_due.notify_one();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Before the process goes: waits until what it follows is in storage. Leaders are told to hurry; what nobody leads
    /// any more is made into blocks here.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn hand_over(&self, deadline: Duration) -> Result<()> {
        let started = Instant::now();
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::CloseFollowed(done)).await.is_ok() {
            // The writer answers unless its thread died.
            drop(closed.await);
        }
        let settled = settle::hand_over(&self.shared, &self.commands);
        tokio::time::timeout(deadline, settled).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, "followed batches could not be looked after in time")
        })?;
        if self.shared.unflushed() == 0 {
            return Ok(());
        }
        self.flush(deadline.saturating_sub(started.elapsed())).await
    }

    /// Takes no more spans; queries are still answered.
    pub fn stop_writes(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Takes spans again.
    pub fn resume_writes(&self) {
        self.stopping.store(false, Ordering::Release);
    }

    /// Whether writes can be taken.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), String> {
        if self.commands.is_closed() {
            return Err(
                "the write-ahead log's thread has ended, see the log; restart this process".to_owned()
            );
        }
        if let Some(why) = self.shared.failure.get() {
            return Err(why.clone());
        }
        if self.stopping.load(Ordering::Acquire) {
            return Err("shutting down".to_owned());
        }
        self.shared.log_health.why().map_or(Ok(()), Err)
    }

    /// Segments that are not in storage yet.
    pub fn unflushed_segments(&self) -> usize {
        self.shared.unflushed()
    }

    /// What a query may use, and the guard whose drop ends it: a client that has gone needs no answer.
    fn work(&self) -> (live::Work, tokio_util::sync::DropGuard) {
        let stop = CancellationToken::new();
        (live::Work { memory: self.shared.memory.clone(), stop: stop.clone() }, stop.drop_guard())
    }

    /// What a query looks at. To look `with_followed` batches takes reading files.
    ///
    /// With copies elsewhere, one whose log was damaged does not answer alone: what it lost would seem never to have been.
    fn snapshot(
        &self,
        tenant: &TenantId,
        with_followed: bool,
    ) -> impl FnOnce() -> Result<Snapshot> + Send + 'static {
        let (log, memory) = (self.shared.known_log(tenant), self.shared.followed_memory.clone());
        let options = &self.shared.options;
        let taken_over_within =
            FOLLOWED_AGE + options.take_over_after.saturating_add(options.flush_check_period * 2);
        let has_copies = options.others.is_some();
        move || {
            let Some(log) = log else { return Ok(Snapshot::default()) };
            let lost = (has_copies && log.is_damaged(taken_over_within)).then(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    "records of the log were damaged; others have copies until they bring them to storage",
                )
            });
            match (with_followed, lost) {
                (false, None) => Ok(log.snapshot()),
                (false, Some(lost)) => Err(lost),
                (true, lost) => {
                    let mut snapshot = log.snapshot_with_followed(&memory);
                    snapshot.failures.extend(lost.map(|lost| failure(&"of the log", &lost)));
                    Ok(snapshot)
                }
            }
        }
    }
}

/// Brings a batch into the log and its index. One that was `admitted` before is refused for no limit of its tenant.
pub(crate) async fn lead(
    shared: &Shared,
    commands: &mpsc::Sender<Command>,
    tenant: &TenantId,
    Led { id, spans, compressed: _ }: Led,
    admitted: bool,
) -> Result<PushOutcome> {
    if spans.spans.is_empty() {
        return Ok(PushOutcome::default());
    }
    let queued = shared.memory.reserve(spans.payload.len() as u64, "a write to the log")?;
    let index = shared.indexes.reserve(MemoryIndex::cost(&spans), "the index of live traces");
    let indexed = index.inspect_err(|_| {
        // With its index on disk the largest segment makes room; a full queue has that coming anyway.
        drop(commands.try_send(Command::CloseLargest));
    })?;
    let (reply, answer) = oneshot::channel();
    let tenant = tenant.clone();
    let append = Append {
        tenant,
        id,
        batch: spans,
        queued,
        indexed,
        admitted,
        reply,
        outcome: PushOutcome::default(),
    };
    commands.send(Command::Append(append)).await.map_err(|_| thread_ended())?;
    answer.await.map_err(|_| thread_ended())?
}

/// Brings batches into the log of what is followed.
async fn follow(
    shared: &Shared,
    commands: &mpsc::Sender<Command>,
    tenant: &TenantId,
    batches: Vec<Followed>,
) -> Result<()> {
    if batches.is_empty() {
        return Ok(());
    }
    let bytes = batches.iter().map(|batch| batch.spans.bytes().len() as u64).sum();
    let queued = shared.memory.reserve(bytes, "a write to the log")?;
    let (reply, answer) = oneshot::channel();
    let follow = Follow { tenant: tenant.clone(), batches, _queued: queued, reply };
    commands.send(Command::Follow(follow)).await.map_err(|_| thread_ended())?;
    answer.await.map_err(|_| thread_ended())?
}

fn thread_ended() -> Error {
    Error::new(ErrorKind::Unavailable, "the write-ahead log's thread has ended")
}

/// Flushes for ever. A worker that panics is replaced; its segment stays in the log until a restart.
async fn supervise(shared: Arc<Shared>) {
    while let Err(error) = tokio::spawn(flush::run(Arc::clone(&shared))).await {
        if error.is_cancelled() {
            return;
        }
        shared.fail(format!("a block could not be built: {error}"));
    }
}

/// Looks at ages now and then, until the ingester is gone.
async fn tick(commands: mpsc::WeakSender<Command>, shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(shared.options.flush_check_period);
    loop {
        interval.tick().await;
        let Some(commands) = commands.upgrade() else { return };
        if commands.send(Command::Tick).await.is_err() {
            return;
        }
        let mut unflushed = 0;
        for log in shared.all_logs() {
            unflushed += log.unflushed();
            let shared = Arc::clone(&shared);
            let forgotten = blocking(move || {
                forget_expired(&shared, &log);
                Ok(())
            });
            if let Err(error) = forgotten.await {
                tracing::error!(%error, "could not forget uploaded blocks");
            }
        }
        metrics::UNFLUSHED_SEGMENTS.set(i64::try_from(unflushed).unwrap_or(i64::MAX));
        // A segment whose retry is due has nobody else to say so.
        shared.flush_due.notify_one();
    }
}

/// Has the log written to disk now and then, until the ingester is gone.
async fn sync(commands: mpsc::WeakSender<Command>, period: Duration) {
    let mut interval = tokio::time::interval(period);
    loop {
        interval.tick().await;
        let Some(commands) = commands.upgrade() else { return };
        if commands.send(Command::Sync).await.is_err() {
            return;
        }
    }
}

/// Removes the notes of blocks that nobody asks for any more.
fn forget_expired(shared: &Shared, log: &TenantLog) {
    let directory = shared.options.wal_path.join(log.tenant.as_str());
    let (fresh, stored) = log.expire();
    let notes = fresh.into_iter().map(|block| (block, SegmentPaths::new(&directory, block).flushed()));
    let batches = stored.into_iter().map(|block| (block, SegmentPaths::new(&directory, block).batches()));
    for (block, path) in notes.chain(batches) {
        if let Err(error) = recovery::remove(&path) {
            tracing::warn!(%block, %error, "could not remove a note of an uploaded block; the next start does");
        }
    }
}

#[async_trait::async_trait]
impl SpanSink for Ingester {
    async fn push(&self, tenant: &TenantId, push: Push) -> Result<Vec<PushOutcome>> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Unavailable, "ingester is shutting down"));
        }
        let bytes = push.bytes();
        let (shared, commands) = (&*self.shared, &self.commands);
        // All are in the queue before the first is waited for, so they become durable together.
        let led = join_all(push.led.into_iter().map(|led| lead(shared, commands, tenant, led, false)));
        let (led, followed) =
            futures::future::join(led, follow(shared, commands, tenant, push.followed)).await;
        followed?;
        let outcomes = led.into_iter().collect::<Result<_>>()?;
        metrics::BYTES_RECEIVED.with_label_values(&[tenant.as_str()]).inc_by(bytes);
        Ok(outcomes)
    }
}

#[async_trait::async_trait]
impl TraceSource for Ingester {
    async fn find_trace(&self, tenant: &TenantId, request: FindTraceRequest) -> Result<FindTraceResponse> {
        let id = TraceId::from_slice(&request.trace_id)
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "a trace id is 16 bytes"))?;
        let snapshot = self.snapshot(tenant, request.with_followed);
        let memory = self.shared.memory.clone();
        blocking(move || {
            let snapshot = snapshot()?;
            let mut response = FindTraceResponse {
                fresh_blocks: fresh(&snapshot),
                failures: snapshot.failures.clone(),
                ..Default::default()
            };
            let (mut found, mut bytes) = (Vec::new(), 0);
            // Whoever asked decodes the pieces, so that there is no point in more than this.
            let most = memory.part(memory.limit() / LOOKUP_SHARE);
            let no_room = |error: Error| error.context(format!("trace {id}"));
            for view in &snapshot.views {
                let runs = match view.find(&id, &most) {
                    Ok(runs) => runs.map_err(no_room)?,
                    Err(error) => {
                        response.failures.push(failure(&view.id(), &error));
                        continue;
                    }
                };
                match view.piece_bytes(&runs) {
                    Ok(_) if runs.is_empty() => {}
                    Ok(of_view) => {
                        bytes += of_view;
                        found.push((view, runs));
                    }
                    Err(error) => response.failures.push(failure(&view.id(), &error)),
                }
            }
            let _held = most.reserve(bytes, "a trace in the log").map_err(no_room)?;
            for (view, runs) in found {
                match view.piece_of(&runs) {
                    Ok(piece) => response.pieces.push(piece.into()),
                    Err(error) => response.failures.push(failure(&view.id(), &error)),
                }
            }
            Ok(response)
        })
        .await
    }

    async fn search(&self, tenant: &TenantId, request: SearchRequest) -> Result<SearchResponse> {
        let snapshot = self.snapshot(tenant, request.with_followed);
        let (work, _guard) = self.work();
        blocking(move || live::search(&snapshot()?, &request, &work)).await
    }

    async fn tag_names(&self, tenant: &TenantId, request: TagNamesRequest) -> Result<TagNamesResponse> {
        let snapshot = self.snapshot(tenant, request.with_followed);
        let (work, _guard) = self.work();
        blocking(move || live::tag_names(&snapshot()?, &request, &work)).await
    }

    async fn tag_values(&self, tenant: &TenantId, request: TagValuesRequest) -> Result<TagValuesResponse> {
        let snapshot = self.snapshot(tenant, request.with_followed);
        let (work, _guard) = self.work();
        blocking(move || live::tag_values(&snapshot()?, &request, &work)).await
    }

    async fn settle(&self, tenant: &TenantId, request: SettleRequest) -> Result<SettleResponse> {
        let Some(log) = self.shared.known_log(tenant) else { return Ok(SettleResponse::default()) };
        let fresh_for = self.shared.options.fresh_for;
        let hurry = request.hurry;
        let closing = Arc::clone(&log);
        // Files may go by it.
        let answer = blocking(move || settle::answer(&log, &request, fresh_for)).await?;
        if hurry && !answer.led.is_empty() {
            // The one who asks looks again whether it is stored.
            self.commands.send(Command::Close(tenant.clone())).await.map_err(|_| thread_ended())?;
            closing.retry_now();
            self.shared.flush_due.notify_one();
        }
        Ok(answer)
    }
}

/// The metas of blocks that readers may not have in their list yet.
pub(crate) fn fresh(snapshot: &Snapshot) -> Vec<bytes::Bytes> {
    snapshot.fresh.iter().map(|meta| meta.to_json().into()).collect()
}

/// A segment that could not be read: named in the answer and in the log.
pub(crate) fn failure(segment: &dyn std::fmt::Display, error: &dyn std::fmt::Display) -> Failure {
    tracing::warn!(%segment, %error, "could not read a segment of the log");
    Failure { source: format!("segment {segment}"), message: error.to_string() }
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, format!("a task of the ingester failed: {error}")))
    })
}
