//! Getting an object, or a part of it, from the store: bounded, tried again, hedged, counted.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use rand::RngExt as _;
use tempoform_core::{Account, RequestKind};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use super::StoreOptions;
use super::budget::RequestBudget;
use super::hedging::Hedging;
use super::metrics::Metrics;
use super::transient::{cut_short, is_transient};
use crate::error::{BlockError, Result};

/// Longest pause before the first retry; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Reads of more are not hedged: they are slow because they are long, and cost the most.
const MAX_HEDGED_BYTES: u64 = 4 << 20;
const GET: &str = "GET";

/// What to get.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) kind: RequestKind,
    /// As errors name it.
    pub(super) path: Path,
    /// In the bucket.
    pub(super) key: Path,
    /// `None`: all of it.
    pub(super) range: Option<Range<u64>>,
}

/// The part of the store that reads go through.
#[derive(Debug)]
pub(super) struct Reads {
    /// Does not try again by itself: here that is counted, and ends with the query.
    objects: Arc<dyn ObjectStore>,
    slots: Semaphore,
    budget: RequestBudget,
    hedging: Hedging,
    metrics: Metrics,
    timeout: Duration,
    max_retries: u32,
}

impl Reads {
    pub(super) fn new(
        objects: Arc<dyn ObjectStore>,
        options: &StoreOptions,
        budget: RequestBudget,
        metrics: Metrics,
    ) -> Self {
        Self {
            objects,
            slots: Semaphore::new(options.max_requests.clamp(1, Semaphore::MAX_PERMITS)),
            budget,
            hedging: Hedging::new(options.hedge_share),
            metrics,
            timeout: options.timeout,
            max_retries: options.max_retries,
        }
    }

    /// The bytes. Tried again, with growing pauses, as long as the query has time.
    ///
    /// # Errors
    /// [`BlockError::NotFound`], [`BlockError::TooManyRequests`], [`BlockError::Timeout`] or what the store says.
    pub(super) async fn get(&self, read: &Read, account: &Account) -> Result<Bytes> {
        let until = account.deadline().unwrap_or_else(|| Instant::now() + self.timeout);
        let mut retries = 0;
        loop {
            let error = match self.hedged(read, until, account, retries > 0).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            let pause = pause_before(retries);
            if retries == self.max_retries || !is_transient(&error) || Instant::now() + pause >= until {
                return Err(error);
            }
            tracing::debug!(path = %read.path, error = %tempoform_core::Error::from(error), "reading is tried again");
            sleep(pause).await;
            retries += 1;
        }
    }

    /// One try, of two requests if the first is slow.
    async fn hedged(&self, read: &Read, until: Instant, account: &Account, is_retry: bool) -> Result<Bytes> {
        let Ok(slot) = timeout_at(until, self.slots.acquire()).await else {
            return Err(timed_out(read, self.timeout));
        };
        self.admit(read, account)?;
        self.hedging.sent();
        if is_retry {
            account.retried();
            self.metrics.retried(read.kind);
        }
        let started = Instant::now();
        let mut first = pin!(self.request(read, until, account, slot));
        let Some(delay) = self.hedging.delay(read.kind).filter(|_| read.may_be_hedged()) else {
            return first.await;
        };
        tokio::select! {
            biased;
            outcome = &mut first => return outcome,
            () = sleep(delay) => {}
        }
        let Some(slot) = self.hedge(read, account) else { return first.await };
        let mut second = pin!(self.request(read, until, account, slot));
        tokio::select! {
            biased;
            outcome = &mut first => match outcome {
                Err(error) if is_transient(&error) => second.await,
                outcome => outcome,
            },
            outcome = &mut second => match outcome {
                Err(error) if is_transient(&error) => first.await,
                outcome => {
                    self.metrics.hedge_won(read.kind);
                    // It would have taken longer still; unknown to the quantile, the delay would only ever shrink.
                    self.hedging.took(read.kind, started.elapsed());
                    outcome
                }
            },
        }
    }

    /// A slot for a hedge, if one may be sent: within the share and the query's limit, and not in the way of others.
    fn hedge(&self, read: &Read, account: &Account) -> Option<SemaphorePermit<'_>> {
        let slot = self.slots.try_acquire().ok().filter(|_| !self.budget.is_short())?;
        if !self.hedging.take() || account.admit(read.kind).is_err() {
            return None;
        }
        account.hedged();
        self.metrics.hedged(read.kind);
        Some(slot)
    }

    fn admit(&self, read: &Read, account: &Account) -> Result<()> {
        account.admit(read.kind).map_err(|max| BlockError::TooManyRequests { path: read.path.clone(), max })
    }

    /// One request. It may take half of the time that is left, so that there is time for another one.
    async fn request(
        &self,
        read: &Read,
        until: Instant,
        account: &Account,
        _slot: impl Sized,
    ) -> Result<Bytes> {
        let mut sent = Sent { reads: self, kind: read.kind, account, since: Instant::now(), is_over: false };
        let patience = until.saturating_duration_since(sent.since) / 2;
        let outcome = tokio::time::timeout(patience, self.fetch(read)).await;
        let Ok(outcome) = outcome else {
            sent.over("408", 0);
            return Err(timed_out(read, patience));
        };
        let bytes = outcome.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let took = sent.over(status(outcome.as_ref().err()), bytes);
        if outcome.is_ok() {
            self.hedging.took(read.kind, took);
        }
        outcome
    }

    async fn fetch(&self, read: &Read) -> Result<Bytes> {
        let failed = |source| match source {
            object_store::Error::NotFound { .. } => BlockError::NotFound { path: read.path.clone() },
            source => BlockError::Store { operation: GET, path: read.path.clone(), source },
        };
        let options =
            GetOptions { range: read.range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let answer = self.objects.get_opts(&read.key, options).await.map_err(failed)?;
        let promised = answer.range.end - answer.range.start;
        if let Some(range) = &read.range
            && promised < range.end - range.start
        {
            let what = format!("ends before byte {}", range.end);
            return Err(BlockError::CorruptObject { path: read.path.clone(), what });
        }
        let bytes = answer.bytes().await.map_err(failed)?;
        if (bytes.len() as u64) < promised {
            return Err(failed(cut_short(bytes.len() as u64, promised)));
        }
        Ok(bytes)
    }
}

impl Read {
    fn may_be_hedged(&self) -> bool {
        self.range.as_ref().is_none_or(|range| range.end - range.start <= MAX_HEDGED_BYTES)
    }
}

/// A request under way, which counts also when it is given up.
struct Sent<'a> {
    reads: &'a Reads,
    kind: RequestKind,
    account: &'a Account,
    since: Instant,
    is_over: bool,
}

impl Sent<'_> {
    fn over(&mut self, status: &str, bytes: u64) -> Duration {
        let took = self.since.elapsed();
        self.is_over = true;
        self.account.answered(bytes, took);
        self.reads.metrics.answered(GET, self.kind, status, took, bytes);
        took
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.over("499", 0);
        }
    }
}

/// What an outcome counts as in metrics, as an HTTP status.
pub(super) fn status(error: Option<&BlockError>) -> &'static str {
    match error {
        None => "200",
        Some(BlockError::NotFound { .. }) => "404",
        Some(BlockError::Store { source: object_store::Error::PermissionDenied { .. }, .. }) => "403",
        Some(BlockError::Store { source: object_store::Error::Unauthenticated { .. }, .. }) => "401",
        Some(BlockError::Timeout { .. }) => "408",
        Some(_) => "500",
    }
}

fn timed_out(read: &Read, after: Duration) -> BlockError {
    BlockError::Timeout { operation: GET, path: read.path.clone(), after }
}

/// Doubling, with jitter, so that readers that failed together do not come back together.
fn pause_before(retries: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << retries.min(10)).min(MAX_PAUSE);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
