//! The thread that writes the log. Requests that wait while one group is made durable form the next
//! group: one `fdatasync` for all of them.

mod files;
mod health;
mod limits;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempoform_core::{
    BatchId, Error, ErrorKind, Followed, PushOutcome, Reservation, Result, SpanBatch, TenantId,
};
use tokio::sync::{mpsc, oneshot};

use self::files::{Open, OpenFollowed, create, create_followed, gone, sync_all};
pub(crate) use self::health::LogHealth;
use self::limits::{refuse_large_traces, refuse_new_traces};
use crate::ingester::Shared;
use crate::live_traces::LiveTraces;
use crate::metrics;
use crate::options::Durability;
use crate::tenant_log::SealedSegment;
use crate::wal::{Appended, DiskIndex, NewRecord, Segment};

/// Bytes that one group takes at most.
const GROUP_BYTES: usize = 32 << 20;
/// A file of followed batches is closed at this size or age: it goes as a whole, once all that is in it is settled.
const FOLLOWED_BYTES: u64 = 64 << 20;
pub(crate) const FOLLOWED_AGE: Duration = Duration::from_secs(60);

/// One request to be logged.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) tenant: TenantId,
    pub(crate) id: Option<BatchId>,
    pub(crate) batch: SpanBatch,
    /// Memory for the request itself, as long as it waits.
    pub(crate) queued: Reservation,
    /// Memory for the batch's index entries.
    pub(crate) indexed: Reservation,
    /// Whether it was acknowledged before: then it is held against no limit of its tenant.
    pub(crate) admitted: bool,
    pub(crate) reply: oneshot::Sender<Result<PushOutcome>>,
    /// What of it was refused.
    pub(crate) outcome: PushOutcome,
}

/// Batches to be kept for their leaders.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) tenant: TenantId,
    pub(crate) batches: Vec<Followed>,
    /// Memory for the batches, as long as they wait.
    pub(crate) _queued: Reservation,
    pub(crate) reply: oneshot::Sender<Result<()>>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Append(Append),
    Follow(Follow),
    /// Look at ages.
    Tick,
    /// Have what was written put on disk.
    Sync,
    /// Close the largest segment, so that its index goes from memory to disk.
    CloseLargest,
    /// Close the tenant's open segment.
    Close(TenantId),
    /// Close every open segment; answered when that is done.
    CloseAll(oneshot::Sender<()>),
    /// The same for followed batches.
    CloseFollowed(oneshot::Sender<()>),
}

/// Requests of one tenant that are in one of its files.
struct Written {
    tenant: TenantId,
    content: Content,
}

enum Content {
    Led { appends: Vec<Append>, appended: Vec<Appended> },
    Followed(Vec<Follow>),
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    open: HashMap<TenantId, Open>,
    followed: HashMap<TenantId, OpenFollowed>,
    live: HashMap<TenantId, LiveTraces>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: HashMap::new(), followed: HashMap::new(), live: HashMap::new() }
    }

    /// Works until every sender is gone.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            let (mut group, mut follows) = (Vec::new(), Vec::new());
            let mut bytes = 0;
            let mut next = Some(command);
            let mut after = None;
            while let Some(command) = next {
                match command {
                    Command::Append(append) => {
                        bytes += append.batch.payload.len();
                        group.push(append);
                    }
                    Command::Follow(follow) => {
                        bytes += follow.batches.iter().map(|batch| batch.spans.bytes().len()).sum::<usize>();
                        follows.push(follow);
                    }
                    other => {
                        after = Some(other);
                        break;
                    }
                }
                next = if bytes < GROUP_BYTES { commands.try_recv().ok() } else { None };
            }
            self.append(group, follows);
            match after {
                Some(Command::CloseAll(done)) => {
                    self.close_where(|_| true);
                    // The one who asked may have gone.
                    let _gone = done.send(());
                }
                Some(Command::Close(tenant)) => self.close(&tenant),
                Some(Command::Sync) => self.sync(),
                Some(Command::CloseLargest) => self.close_largest(),
                Some(Command::Tick) => {
                    self.close_old();
                    self.close_old_followed();
                    self.expire_traces();
                    self.shared.log_health.look_again();
                }
                Some(Command::CloseFollowed(done)) => {
                    self.close_followed(|_| true);
                    // The one who asked may have gone.
                    let _gone = done.send(());
                }
                Some(Command::Append(_) | Command::Follow(_)) | None => self.close_old(),
            }
        }
        self.close_where(|_| true);
    }

    fn append(&mut self, group: Vec<Append>, follows: Vec<Follow>) {
        if group.is_empty() && follows.is_empty() {
            return;
        }
        let started = Instant::now();
        let mut written = Vec::new();
        for (tenant, mut appends) in by_tenant(group, |append| &append.tenant) {
            match self.write(&tenant, &mut appends) {
                Ok(appended) => {
                    written.push(Written { tenant, content: Content::Led { appends, appended } });
                }
                Err(error) => self.refuse(&tenant, Content::Led { appends, appended: Vec::new() }, &error),
            }
        }
        for (tenant, follows) in by_tenant(follows, |follow| &follow.tenant) {
            match self.write_followed(&tenant, &follows) {
                Ok(()) => written.push(Written { tenant, content: Content::Followed(follows) }),
                Err(error) => self.refuse(&tenant, Content::Followed(follows), &error),
            }
        }
        let committed = self.commit(&written);
        metrics::COMMIT_SECONDS.observe(started.elapsed().as_secs_f64());
        if committed.iter().any(Result::is_ok) {
            self.shared.log_health.works();
        }
        for (Written { tenant, content }, committed) in written.into_iter().zip(committed) {
            match (committed, content) {
                (Ok(()), Content::Led { appends, appended }) => self.index(&tenant, appends, &appended),
                (Ok(()), Content::Followed(follows)) => self.acknowledge_followed(&tenant, follows),
                (Err(error), content) => self.refuse(&tenant, content, &error),
            }
        }
    }

    /// What is durable stays readable and is flushed; the next write tries a new file.
    fn refuse(&mut self, tenant: &TenantId, content: Content, error: &io::Error) {
        let error = self.write_error(error);
        metrics::WRITE_FAILURES.inc();
        tracing::error!(%tenant, %error, "could not write to the log; the requests are refused");
        self.log_failed(tenant, &error);
        // Clients may have gone.
        match content {
            Content::Led { appends, .. } => {
                self.close(tenant);
                appends.into_iter().for_each(|append| drop(append.reply.send(Err(error.clone()))));
            }
            Content::Followed(follows) => {
                self.close_followed(|open| open.log.tenant == *tenant);
                follows.into_iter().for_each(|follow| drop(follow.reply.send(Err(error.clone()))));
            }
        }
    }

    /// Appends to the tenant's segment; not durable yet.
    fn write(&mut self, tenant: &TenantId, appends: &mut [Append]) -> io::Result<Vec<Appended>> {
        let options = &self.shared.options;
        let (most_traces, most_bytes) =
            ((options.max_live_traces)(tenant), (options.max_trace_bytes)(tenant));
        let most_bytes = if most_bytes == 0 { u64::MAX } else { most_bytes };
        let idle_period = options.trace_idle_period;
        let live = self.live.entry(tenant.clone()).or_insert_with(|| LiveTraces::new(idle_period));
        refuse_new_traces(tenant, live, appends, most_traces);
        let incoming: u64 = appends.iter().map(|append| append.batch.payload.len() as u64).sum();
        if self.open.get(tenant).is_some_and(|open| !open.segment.has_room(incoming)) {
            self.close(tenant);
        }
        let open = match self.open.entry(tenant.clone()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => place.insert(create(&self.shared, tenant)?),
        };
        refuse_large_traces(tenant, &open.shared.index(), appends, most_bytes);
        let records = appends.iter().map(|append| NewRecord {
            id: append.id,
            part: false,
            payload: &append.batch.payload,
        });
        open.segment.append(&records.collect::<Vec<_>>())
    }

    /// Appends to the tenant's file of followed batches; not durable yet.
    fn write_followed(&mut self, tenant: &TenantId, follows: &[Follow]) -> io::Result<()> {
        let open = match self.followed.entry(tenant.clone()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => place.insert(create_followed(&self.shared, tenant)?),
        };
        let batches = follows.iter().flat_map(|follow| &follow.batches);
        let records = batches.map(|Followed { id, whole, spans }| NewRecord {
            id: Some(*id),
            part: !whole,
            payload: spans.bytes(),
        });
        open.segment.append(&records.collect::<Vec<_>>()).map(drop)
    }

    /// Makes what was written durable, all files at once.
    fn commit(&mut self, written: &[Written]) -> Vec<io::Result<()>> {
        let sync = self.shared.options.durability == Durability::Sync;
        let synced: Vec<io::Result<()>> = if sync {
            let files: Vec<_> = written.iter().map(|one| self.segment(one).map(Segment::file)).collect();
            sync_all(&files)
        } else {
            written.iter().map(|_| Ok(())).collect()
        };
        let outcomes = written.iter().zip(synced).map(|(one, synced)| {
            let segment = self.segment_mut(one)?;
            match synced {
                Ok(()) => segment.committed(sync),
                Err(error) => return segment.forget_undurable().and(Err(error)),
            }
            Ok(())
        });
        outcomes.collect()
    }

    fn segment(&self, Written { tenant, content }: &Written) -> io::Result<&Segment> {
        let segment = match content {
            Content::Led { .. } => self.open.get(tenant).map(|open| &open.segment),
            Content::Followed(_) => self.followed.get(tenant).map(|open| &open.segment),
        };
        segment.ok_or_else(gone)
    }

    fn segment_mut(&mut self, Written { tenant, content }: &Written) -> io::Result<&mut Segment> {
        let segment = match content {
            Content::Led { .. } => self.open.get_mut(tenant).map(|open| &mut open.segment),
            Content::Followed(_) => self.followed.get_mut(tenant).map(|open| &mut open.segment),
        };
        segment.ok_or_else(gone)
    }

    /// Puts on disk what was acknowledged without. What cannot be put there stays readable and is flushed, but a
    /// power cut would take it.
    fn sync(&mut self) {
        let mut failed = Vec::new();
        for (tenant, open) in &mut self.open {
            if let Err(error) = open.segment.sync() {
                metrics::WRITE_FAILURES.inc();
                tracing::error!(%tenant, %error, "could not put the log on disk; a block is made of it now");
                failed.push((tenant.clone(), error));
            }
        }
        for (tenant, error) in failed {
            self.log_failed(&tenant, &self.write_error(&error));
            self.close(&tenant);
        }
        for (tenant, open) in &mut self.followed {
            if let Err(error) = open.segment.sync() {
                metrics::WRITE_FAILURES.inc();
                tracing::error!(%tenant, %error, "could not put followed batches on disk; their leaders have them");
            }
        }
    }

    fn expire_traces(&mut self) {
        let now = Instant::now();
        self.live.retain(|tenant, live| {
            live.expire(now);
            let count = i64::try_from(live.count()).unwrap_or(i64::MAX);
            metrics::LIVE_TRACES.with_label_values(&[tenant.as_str()]).set(count);
            count > 0
        });
    }

    /// `/ready` says so until a write works.
    fn log_failed(&self, tenant: &TenantId, error: &Error) {
        let directory = self.shared.options.wal_path.join(tenant.as_str());
        self.shared.log_health.failed(directory, error.to_string());
    }

    fn write_error(&self, error: &io::Error) -> Error {
        let path = self.shared.options.wal_path.display();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Error::new(
                    ErrorKind::Exhausted,
                    format!("the disk of the write-ahead log ({path}) is full: {error}; make room on it"),
                )
            }
            _ => Error::new(
                ErrorKind::Unavailable,
                format!("the write-ahead log ({path}) cannot be written: {error}"),
            ),
        }
    }

    /// Makes what is durable visible, then acknowledges it.
    fn index(&mut self, tenant: &TenantId, appends: Vec<Append>, appended: &[Appended]) {
        let Some(open) = self.open.get_mut(tenant) else { return };
        {
            let mut index = open.shared.index_mut();
            for (append, appended) in appends.iter().zip(appended) {
                index.add(append.id, &append.batch, appended.payload_at);
            }
        }
        for append in appends {
            open.shared.hold(append.indexed);
            drop(append.queued);
            // The client may have gone.
            drop(append.reply.send(Ok(append.outcome)));
        }
        if open.segment.len() >= self.shared.options.max_block_bytes {
            self.close(tenant);
        }
    }

    fn acknowledge_followed(&mut self, tenant: &TenantId, follows: Vec<Follow>) {
        let Some(open) = self.followed.get_mut(tenant) else { return };
        let ids = follows.iter().flat_map(|follow| &follow.batches).map(|batch| batch.id);
        open.shared.added(ids.collect(), open.segment.len());
        // Clients may have gone.
        follows.into_iter().for_each(|follow| drop(follow.reply.send(Ok(()))));
        if open.segment.len() >= FOLLOWED_BYTES {
            self.close_followed(|open| open.log.tenant == *tenant);
        }
    }

    fn close_old_followed(&mut self) {
        self.close_followed(|open| open.since.elapsed() >= FOLLOWED_AGE);
    }

    fn close_followed(&mut self, which: impl Fn(&OpenFollowed) -> bool) {
        for (tenant, mut open) in self.followed.extract_if(|_, open| which(open)) {
            if let Err(error) = open.segment.sync() {
                tracing::error!(%tenant, %error, "could not put followed batches on disk; their leaders have them");
            }
            open.shared.close();
        }
    }

    fn close_old(&mut self) {
        let longest = self.shared.options.max_block_duration;
        self.close_where(|open| open.since.elapsed() >= longest);
    }

    fn close_largest(&mut self) {
        let largest = self.open.iter().max_by_key(|(_, open)| open.segment.len());
        if let Some(tenant) = largest.map(|(tenant, _)| tenant.clone()) {
            tracing::warn!(%tenant, "memory is short: a block is cut before its time");
            self.close(&tenant);
        }
    }

    fn close_where(&mut self, which: impl Fn(&Open) -> bool) {
        let tenants: Vec<TenantId> =
            self.open.iter().filter(|(_, open)| which(open)).map(|(tenant, _)| tenant.clone()).collect();
        for tenant in tenants {
            self.close(&tenant);
        }
    }

    /// Ends the tenant's open segment. Its index is written beside it by another thread, so that
    /// writes go on meanwhile.
    fn close(&mut self, tenant: &TenantId) {
        let Some(mut open) = self.open.remove(tenant) else { return };
        open.log.close(&open.shared);
        let shared = Arc::clone(&self.shared);
        let tenant = tenant.clone();
        let id = open.segment.paths().id();
        let sealing = self.shared.runtime.spawn_blocking(move || {
            if let Err(error) = open.segment.sync() {
                tracing::error!(%tenant, segment = %id, %error, "could not put the log on disk; a block is made of it now");
            }
            let length = open.segment.len();
            let index = DiskIndex::create(open.segment.paths(), &open.shared.index(), length);
            let batches = open.shared.index().batches.clone();
            let (paths, reader) = (open.segment.paths().clone(), open.shared.reader.clone());
            let sealed = SealedSegment {
                _held: open.shared.release(index.memory()),
                ..SealedSegment::new(tenant, paths, reader, index, batches)
            };
            open.log.seal(sealed);
            shared.flush_due.notify_one();
        });
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            if let Err(error) = sealing.await {
                shared.fail(format!("segment {id} could not be sealed: {error}"));
            }
        });
    }
}

fn by_tenant<T>(all: Vec<T>, tenant: impl Fn(&T) -> &TenantId) -> Vec<(TenantId, Vec<T>)> {
    let mut by_tenant: Vec<(TenantId, Vec<T>)> = Vec::new();
    for one in all {
        match by_tenant.iter_mut().find(|(known, _)| known == tenant(&one)) {
            Some((_, of_tenant)) => of_tenant.push(one),
            None => by_tenant.push((tenant(&one).clone(), vec![one])),
        }
    }
    by_tenant
}
