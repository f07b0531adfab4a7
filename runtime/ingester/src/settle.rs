//! Followed batches: they go once a leader has them in storage, and are taken over from a leader that does not bring them
//! there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempoform_block::BlockMeta;
use tempoform_core::{BatchSet, Compressed, Error, ErrorKind, Led, Result, scan_export_request};
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
    log.followed.settle(&safe);
    for segment in log.followed.segments() {
        let Some(age) = segment.closed_for() else { continue };
        let mut orphans = segment.unsettled();
        if age < stalled_after(shared) || shared.has_failing_flush() {
            orphans.remove(&led_elsewhere);
        }
        if age >= take_over_after && !orphans.is_empty() {
            tracing::warn!(tenant = %log.tenant, batches = orphans.len(), ?age, "nobody brings these followed batches to storage; a block is made of them here");
            take_over(shared, commands, log, &segment, orphans).await?;
        }
    }
    Ok(())
}

fn stalled_after(shared: &Shared) -> Duration {
    let options = &shared.options;
    options.max_block_duration.saturating_mul(STALLED_AFTER).saturating_add(options.flush_timeout)
}

/// Leads `orphans`, batch by batch: each is settled once it is durable in the own log.
async fn take_over(
    shared: &Arc<Shared>,
    commands: &mpsc::Sender<Command>,
    log: &Arc<TenantLog>,
    segment: &Arc<FollowedSegment>,
    orphans: BatchSet,
) -> Result<()> {
    let unreadable =
        |error: std::io::Error| Error::new(ErrorKind::Unavailable, format!("the followed log: {error}"));
    let mut records = segment.records().map_err(unreadable)?;
    let mut seen = BatchSet::default();
    loop {
        let read = blocking(move || {
            let record = records.next().map_err(unreadable)?;
            Ok((records, record))
        });
        let (rest, record) = read.await?;
        records = rest;
        let Some(Record { id: Some(id), payload, .. }) = record else { break };
        if orphans.contains(id) {
            let spans = scan_export_request(Compressed::from_bytes(payload).expand()?)?;
            metrics::TAKEN_OVER_SPANS.inc_by(spans.spans.len() as u64);
            lead(shared, commands, &log.tenant, Led { id: Some(id), spans, compressed: None }).await?;
            seen.insert(id);
        }
    }
    // A batch may stand in several records, so it is settled after the last.
    log.followed.settle(&seen);
    let mut damaged = orphans;
    damaged.remove(&seen);
    if !damaged.is_empty() {
        tracing::error!(tenant = %log.tenant, batches = damaged.len(), "followed batches are damaged on disk and nobody leads them");
    }
    Ok(())
}

/// Answers another ingester, and takes note of what it tells.
pub(crate) fn answer(
    log: &TenantLog,
    request: &SettleRequest,
    fresh_for: Duration,
) -> Result<SettleResponse> {
    log.followed.settle(&BatchSet::from_wire(&request.stored)?);
    remember(log, &request.fresh_blocks, fresh_for);
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
pub(crate) async fn hand_over(shared: &Arc<Shared>, commands: &mpsc::Sender<Command>) -> Result<()> {
    let mut hurried: Option<Instant> = None;
    loop {
        let hurry = hurried.is_none_or(|at| at.elapsed() >= HURRY_PERIOD);
        if hurry {
            hurried = Some(Instant::now());
        }
        let mut unsettled = 0;
        for log in shared.all_logs() {
            settle(shared, commands, &log, Duration::ZERO, hurry)
                .await
                .map_err(|error| error.context(format_args!("tenant {}", log.tenant)))?;
            unsettled += log.followed.unsettled().len();
        }
        if unsettled == 0 {
            return Ok(());
        }
        tokio::time::sleep(HAND_OVER_PAUSE).await;
    }
}
