//! Followed batches: they go once a leader has them in storage, and are taken over from a leader that does not bring them
//! there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tempoform_block::BlockMeta;
use tempoform_core::{
    BatchId, BatchSet, Compressed, Error, ErrorKind, Led, Result, SpanBatch, scan_export_request,
};
use tempoform_wire::internal::{SettleRequest, SettleResponse};
use tokio::sync::mpsc;

use crate::followed::FollowedSegment;
use crate::ingester::{Shared, blocking, lead};
use crate::metrics;
use crate::tenant_log::TenantLog;
use crate::wal::Record;
use crate::writer::Command;

/// A leader that has not brought a batch to storage after so many times the age at which blocks are cut has stalled.
const STALLED_AFTER: u32 = 3;

/// How often leaders are told to hurry by one that leaves: what they got since the last time is then in it.
const HURRY_PERIOD: Duration = Duration::from_secs(2);
/// Batches that are taken over at once, so that they share a sync.
const TAKEN_OVER_AT_ONCE: usize = 16;
/// Between looks whether they have.
const HAND_OVER_PAUSE: Duration = Duration::from_millis(50);

/// Looks after followed batches now and then, until the ingester is gone.
pub(crate) async fn run(commands: mpsc::WeakSender<Command>, shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(shared.options.flush_check_period);
    loop {
        interval.tick().await;
        let Some(commands) = commands.upgrade() else { return };
        for log in shared.all_logs() {
            if let Err(error) = settle(&shared, &commands, &log, shared.options.take_over_after, false).await
            {
                tracing::warn!(tenant = %log.tenant, %error, "followed batches could not be taken over; they stay in the log");
            }
            log.followed.forget_expanded();
        }
    }
}

/// Asks the others about all followed batches. Those that nobody leads for `take_over_after` are led here from now on;
/// those that somebody leads come to storage before their time, if there is a `hurry`.
pub(crate) async fn settle(
    shared: &Arc<Shared>,
    commands: &mpsc::Sender<Command>,
    log: &Arc<TenantLog>,
    take_over_after: Duration,
    hurry: bool,
) -> Result<()> {
    let unsettled = log.followed.unsettled();
    metrics::FOLLOWED_BATCHES.with_label_values(&[log.tenant.as_str()]).set(unsettled.len() as i64);
    // What is led here too, since its leader did not answer in time, is as durable there.
    let mut safe = log.led();
    safe.add(&log.stored());
    let mut led_elsewhere = BatchSet::default();
    if let Some(others) = shared.options.others.as_ref().filter(|_| !unsettled.is_empty()) {
        let request = SettleRequest { batches: unsettled.to_wire(), hurry, ..SettleRequest::default() };
        for answer in others.settle(&log.tenant, request).await {
            safe.add(&BatchSet::from_wire(&answer.stored)?);
            led_elsewhere.add(&BatchSet::from_wire(&answer.led)?);
            remember(log, &answer.fresh_blocks, shared.options.fresh_for);
        }
    }
    let settling = Arc::clone(log);
    // Files may go by it.
    let settled = blocking(move || {
        settling.followed.settle(&safe);
        Ok(())
    });
    settled.await?;
    let mut failure = None;
    for segment in log.followed.segments() {
        let Some(age) = segment.closed_for() else { continue };
        let mut orphans = segment.unsettled();
        if age < stalled_after(shared) || shared.has_failing_flush() {
            orphans.remove(&led_elsewhere);
        }
        if age >= take_over_after && !orphans.is_empty() {
            tracing::warn!(tenant = %log.tenant, batches = orphans.len(), ?age, "nobody brings these followed batches to storage; a block is made of them here");
            // One file that cannot be taken over does not keep the others back.
            failure = take_over(shared, commands, log, &segment, orphans).await.err().or(failure);
        }
    }
    failure.map_or(Ok(()), Err)
}

fn stalled_after(shared: &Shared) -> Duration {
    let options = &shared.options;
    options.max_block_duration.saturating_mul(STALLED_AFTER).saturating_add(options.flush_timeout)
}

/// What became of a followed record.
enum Taken {
    /// All of a batch is led here.
    Whole(BatchId),
    /// A part of a batch is in the own log. It is not led under its name: others may have the rest.
    Part(BatchId),
    Unreadable,
}

/// Leads `orphans`: each is settled once it is durable in the own log. What is damaged is given up, since its leader and
/// other followers have it or nobody does.
async fn take_over(
    shared: &Arc<Shared>,
    commands: &mpsc::Sender<Command>,
    log: &Arc<TenantLog>,
    segment: &Arc<FollowedSegment>,
    orphans: BatchSet,
) -> Result<()> {
    let unreadable =
        |error: std::io::Error| Error::new(ErrorKind::Unavailable, format!("the followed log: {error}"));
    // Another one may be at it, at the end of a process.
    let Ok(mut taken_over) = segment.taken_over.try_lock() else { return Ok(()) };
    let opening = Arc::clone(segment);
    let mut records = blocking(move || opening.records().map_err(unreadable)).await?;
    let (mut whole, mut parts) = (BatchSet::default(), BatchSet::default());
    let known = taken_over.clone();
    // What an error comes between is not taken over again.
    let mut note = |(at, taken): (u32, Taken)| {
        match taken {
            Taken::Whole(id) => whole.insert(id),
            Taken::Part(id) => parts.insert(id),
            Taken::Unreadable => return,
        }
        taken_over.insert(at);
    };
    let mut under_way = FuturesUnordered::new();
    loop {
        let read = blocking(move || {
            let record = records.next_readable().map_err(unreadable)?;
            Ok((records, record))
        });
        let (rest, record) = read.await?;
        records = rest;
        match record {
            Some(Ok(record)) if record.id.is_some_and(|id| orphans.contains(id)) => {
                under_way.push(take_record_over(shared, commands, log, record, &known));
            }
            Some(_) => {}
            None => break,
        }
        if under_way.len() >= TAKEN_OVER_AT_ONCE
            && let Some(taken) = under_way.next().await
        {
            note(taken?);
        }
    }
    while let Some(taken) = under_way.next().await {
        note(taken?);
    }
    // A batch may stand in several records, so it is settled after the last.
    let mut lost = orphans;
    lost.remove(&whole);
    lost.remove(&parts);
    if !lost.is_empty() {
        tracing::error!(tenant = %log.tenant, batches = lost.len(), "followed batches are damaged on disk and nobody leads them; their file is set aside");
        log.note_damage(Duration::ZERO);
    }
    let (log, segment) = (Arc::clone(log), Arc::clone(segment));
    let settled = blocking(move || {
        log.followed.settle(&whole);
        log.followed.settle_in(&segment, &parts);
        log.followed.give_up(&segment, &lost);
        Ok(())
    });
    settled.await
}

async fn take_record_over(
    shared: &Shared,
    commands: &mpsc::Sender<Command>,
    log: &TenantLog,
    Record { id, part, payload, payload_at }: Record,
    known: &HashSet<u32>,
) -> Result<(u32, Taken)> {
    let Some(id) = id else { return Ok((payload_at, Taken::Unreadable)) };
    let taken = if part { Taken::Part(id) } else { Taken::Whole(id) };
    if known.contains(&payload_at) {
        return Ok((payload_at, taken));
    }
    let compressed = Compressed::from_bytes(payload);
    let expanded = compressed.length().unwrap_or_default() as u64;
    let needed = expanded + SpanBatch::references_bytes_at_most(expanded);
    let _held = shared.memory.reserve(needed, "a followed batch that is taken over")?;
    let expanded = blocking(move || Ok(scan_export_request(compressed.expand()?)?));
    let spans = match expanded.await {
        Ok(spans) => spans,
        Err(error) => {
            tracing::error!(tenant = %log.tenant, ?id, %error, "a followed batch is not what a distributor sends");
            return Ok((payload_at, Taken::Unreadable));
        }
    };
    let count = spans.spans.len() as u64;
    let name = (!part).then_some(id);
    lead(shared, commands, &log.tenant, Led { id: name, spans, compressed: None }, true).await?;
    metrics::TAKEN_OVER_SPANS.inc_by(count);
    Ok((payload_at, taken))
}

/// Answers another ingester, and takes note of what it tells.
pub(crate) fn answer(
    log: &TenantLog,
    request: &SettleRequest,
    fresh_for: Duration,
) -> Result<SettleResponse> {
    // In this order: what is settled is read from its block.
    let stored = BatchSet::from_wire(&request.stored)?;
    remember(log, &request.fresh_blocks, fresh_for);
    log.followed.settle(&stored);
    let asked = BatchSet::from_wire(&request.batches)?;
    if asked.is_empty() {
        return Ok(SettleResponse::default());
    }
    // In this order: a batch that comes to storage meanwhile is in both rather than in none.
    let led = log.led().common(&asked);
    let stored = log.stored().common(&asked);
    let fresh_blocks = if stored.is_empty() { Vec::new() } else { log.fresh() };
    Ok(SettleResponse {
        stored: stored.to_wire(),
        led: led.to_wire(),
        fresh_blocks: fresh_blocks.iter().map(|meta| meta.to_json().into()).collect(),
    })
}

/// A settled batch is read from its block, so readers must be told of that as long as they may not know it.
fn remember(log: &TenantLog, metas: &[bytes::Bytes], fresh_for: Duration) {
    for meta in metas {
        match BlockMeta::from_json(meta) {
            Ok(meta) => log.remember(meta, fresh_for),
            Err(error) => {
                tracing::warn!(tenant = %log.tenant, %error, "another ingester sent a meta that is none")
            }
        }
    }
}

/// Until nothing is followed any more: what somebody leads comes to storage before its time, what nobody leads is led
/// here.
pub(crate) async fn hand_over(shared: &Arc<Shared>, commands: &mpsc::Sender<Command>) {
    let mut hurried: Option<Instant> = None;
    loop {
        let hurry = hurried.is_none_or(|at| at.elapsed() >= HURRY_PERIOD);
        if hurry {
            hurried = Some(Instant::now());
        }
        let mut unsettled = 0;
        for log in shared.all_logs() {
            if let Err(error) = settle(shared, commands, &log, Duration::ZERO, hurry).await {
                tracing::warn!(tenant = %log.tenant, %error, "followed batches could not be handed over; they are tried again");
            }
            unsettled += log.followed.unsettled().len();
        }
        if unsettled == 0 {
            return;
        }
        tokio::time::sleep(HAND_OVER_PAUSE).await;
    }
}
