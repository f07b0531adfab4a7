//! What stands where an ingester would: a disk that survives crashes, and everything that can go wrong before it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tempoform_core::{
    BatchId, Error, ErrorKind, Push, PushOutcome, Result, SpanSink, TenantId, mix, scan_export_request,
};

/// Chance, the same for the same seed.
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(mix(seed)))
    }

    pub(super) fn roll(&self) -> u64 {
        mix(self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    pub(super) fn below(&self, end: u64) -> u64 {
        self.roll() % end
    }

    /// Waits for some milliseconds.
    pub(super) async fn pause(&self, milliseconds: Range<u64>) {
        let pause = milliseconds.start + self.below(milliseconds.end - milliseconds.start);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// How often, in a hundred writes, an ingester that is up does not do as it should.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    refuses: u64,
    hangs: u64,
    slow: u64,
}

impl Faults {
    pub(super) const NONE: Self = Self { refuses: 0, hangs: 0, slow: 0 };
    pub(super) const ALL: Self = Self { refuses: 6, hangs: 3, slow: 8 };
}

/// Spans by batch.
pub(super) type Batches = BTreeMap<BatchId, BTreeSet<Vec<u8>>>;

#[derive(Default)]
struct Disk {
    led: Batches,
    /// Spans of batches that nobody follows.
    led_alone: BTreeSet<Vec<u8>>,
    followed: Batches,
    /// Of those, what is told to be all of its batch.
    followed_whole: Batches,
}

pub(super) struct SimulatedIngester {
    name: String,
    zone: String,
    dice: Arc<Dice>,
    faults: Faults,
    is_up: AtomicBool,
    crashes: AtomicU64,
    disk: Mutex<Disk>,
}

impl SimulatedIngester {
    pub(super) fn new(name: String, zone: String, dice: Arc<Dice>, faults: Faults) -> Self {
        let (is_up, crashes, disk) = (AtomicBool::new(true), AtomicU64::new(0), Mutex::default());
        Self { name, zone, dice, faults, is_up, crashes, disk }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn zone(&self) -> &str {
        &self.zone
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// Loses what is not on disk, and answers nobody until it is started again.
    pub(super) fn crash(&self) {
        self.is_up.store(false, Ordering::Relaxed);
        self.crashes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn restart(&self) {
        self.is_up.store(true, Ordering::Relaxed);
    }

    /// Whether the span is on its disk.
    pub(super) fn has(&self, span: &[u8]) -> bool {
        let disk = self.disk.lock().expect("not poisoned");
        self.leads_on(&disk, span) || disk.followed.values().any(|spans| spans.contains(span))
    }

    /// Whether the span is on its disk in a batch that it leads.
    pub(super) fn leads(&self, span: &[u8]) -> bool {
        self.leads_on(&self.disk.lock().expect("not poisoned"), span)
    }

    fn leads_on(&self, disk: &Disk, span: &[u8]) -> bool {
        disk.led_alone.contains(span) || disk.led.values().any(|spans| spans.contains(span))
    }

    pub(super) fn led(&self) -> Batches {
        self.disk.lock().expect("not poisoned").led.clone()
    }

    pub(super) fn followed(&self) -> Batches {
        self.disk.lock().expect("not poisoned").followed.clone()
    }

    pub(super) fn followed_whole(&self) -> Batches {
        self.disk.lock().expect("not poisoned").followed_whole.clone()
    }

    /// Time passes; an error if it crashed meanwhile.
    async fn work(&self, life: u64) -> Result<()> {
        let is_slow = self.dice.below(100) < self.faults.slow;
        self.dice.pause(if is_slow { 0..4000 } else { 0..15 }).await;
        if self.crashes.load(Ordering::Relaxed) == life { Ok(()) } else { Err(self.gone()) }
    }

    fn gone(&self) -> Error {
        Error::new(ErrorKind::Unavailable, format!("{} crashed", self.name))
    }

    fn write(&self, Push { led, followed }: Push) {
        let mut disk = self.disk.lock().expect("not poisoned");
        for led in led {
            match led.id {
                Some(id) => disk.led.entry(id).or_default().extend(spans(led.spans.payload)),
                None => disk.led_alone.extend(spans(led.spans.payload)),
            }
        }
        for followed in followed {
            let spans = spans(followed.spans.expand().expect("whole"));
            if followed.whole {
                disk.followed_whole.insert(followed.id, spans.clone());
            }
            disk.followed.entry(followed.id).or_default().extend(spans);
        }
    }

    /// The crash may come between two records: an end of what was written is lost.
    fn write_some(&self, mut push: Push) {
        push.led.truncate(self.dice.below(push.led.len() as u64 + 1) as usize);
        push.followed.truncate(self.dice.below(push.followed.len() as u64 + 1) as usize);
        self.write(push);
    }
}

#[async_trait::async_trait]
impl SpanSink for SimulatedIngester {
    async fn push(&self, _: &TenantId, push: Push) -> Result<Vec<PushOutcome>> {
        let outcomes = vec![PushOutcome::default(); push.led.len()];
        let life = self.crashes.load(Ordering::Relaxed);
        if !self.is_up() {
            // A machine that is gone answers nothing, a process that is gone has its port closed.
            if self.dice.below(2) == 0 {
                std::future::pending::<()>().await;
            }
            return Err(self.gone());
        }
        let luck = self.dice.below(100);
        if luck < self.faults.refuses {
            return Err(Error::new(ErrorKind::Exhausted, format!("{} refuses on purpose", self.name)));
        }
        if luck < self.faults.refuses + self.faults.hangs {
            std::future::pending::<()>().await;
        }
        // Under way.
        self.work(life).await?;
        // Written, but not synced.
        if let Err(error) = self.work(life).await {
            self.write_some(push);
            return Err(error);
        }
        self.write(push);
        // Durable, but the answer is under way.
        self.work(life).await?;
        Ok(outcomes)
    }
}

fn spans(payload: Bytes) -> BTreeSet<Vec<u8>> {
    let batch = scan_export_request(payload).expect("what a distributor hands over is valid");
    batch.spans.iter().map(|span| batch.bytes(&span.span).to_vec()).collect()
}
