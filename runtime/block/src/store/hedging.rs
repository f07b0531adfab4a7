//! When a slow read is sent a second time.
//!
//! Source: J. Dean, L. A. Barroso, "The Tail at Scale", 2013: hedged requests after a high percentile of the expected
//! latency, which bounds the additional load.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempoform_core::RequestKind;

/// Latencies remembered of each kind.
const REMEMBERED: usize = 256;
/// No hedge before this many are known.
const ENOUGH: usize = 32;
/// A read slower than this part of those before it is hedged.
const QUANTILE: f64 = 0.95;
/// No read is hedged before this: nothing is won.
const MIN_DELAY: Duration = Duration::from_millis(5);
/// Hedges that may be saved up.
const MAX_SAVED: f64 = 10.0;

/// Latencies, and how many hedges may be sent.
#[derive(Debug)]
pub(super) struct Hedging {
    share: f64,
    saved: Mutex<f64>,
    latencies: [Mutex<Latencies>; RequestKind::ALL.len()],
}

/// The last ones.
#[derive(Debug, Default)]
struct Latencies {
    recent: Vec<Duration>,
    next: usize,
}

impl Hedging {
    /// At most `share` hedges for each request.
    pub(super) fn new(share: f64) -> Self {
        Self { share, saved: Mutex::new(0.0), latencies: Default::default() }
    }

    /// A request, no hedge, is sent.
    pub(super) fn sent(&self) {
        let mut saved = lock(&self.saved);
        *saved = (*saved + self.share).min(MAX_SAVED);
    }

    /// A request took this long, or was given up after it.
    pub(super) fn took(&self, kind: RequestKind, latency: Duration) {
        if self.share > 0.0 {
            lock(&self.latencies[kind as usize]).add(latency);
        }
    }

    /// After how long a read of this kind is hedged; `None` = not at all.
    pub(super) fn delay(&self, kind: RequestKind) -> Option<Duration> {
        if self.share <= 0.0 {
            return None;
        }
        Some(lock(&self.latencies[kind as usize]).quantile()?.max(MIN_DELAY))
    }

    /// Takes the right to send a hedge.
    pub(super) fn take(&self) -> bool {
        let mut saved = lock(&self.saved);
        let may = *saved >= 1.0;
        if may {
            *saved -= 1.0;
        }
        may
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        if self.recent.len() < REMEMBERED {
            self.recent.push(latency);
        } else {
            self.recent[self.next] = latency;
            self.next = (self.next + 1) % REMEMBERED;
        }
    }

    fn quantile(&self) -> Option<Duration> {
        if self.recent.len() < ENOUGH {
            return None;
        }
        let mut sorted = self.recent.clone();
        let at = ((sorted.len() - 1) as f64 * QUANTILE) as usize;
        Some(*sorted.select_nth_unstable(at).1)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_delay_follows_what_was_seen_of_the_kind() {
        let hedging = Hedging::new(0.1);
        for millis in 1..=100 {
            assert_eq!(hedging.delay(RequestKind::Bloom).is_some(), millis > ENOUGH as u64);
            hedging.took(RequestKind::Bloom, Duration::from_millis(millis));
        }
        assert_eq!(hedging.delay(RequestKind::Bloom), Some(Duration::from_millis(95)));
        assert_eq!(hedging.delay(RequestKind::Range), None);
        (0..REMEMBERED).for_each(|_| hedging.took(RequestKind::Bloom, Duration::from_micros(3)));
        assert_eq!(hedging.delay(RequestKind::Bloom), Some(MIN_DELAY));
    }

    #[test]
    fn no_share_no_hedge() {
        let hedging = Hedging::new(0.0);
        for _ in 0..1000 {
            hedging.sent();
            hedging.took(RequestKind::Bloom, Duration::from_secs(1));
        }
        assert!(hedging.delay(RequestKind::Bloom).is_none() && !hedging.take());
    }

    proptest! {
        #[test]
        fn hedges_stay_within_the_share(share in 0.0..0.5, tries in prop::collection::vec(0..4_u8, 0..2000)) {
            let hedging = Hedging::new(share);
            let (mut sent, mut hedged) = (0.0, 0.0);
            for wanted in tries {
                hedging.sent();
                sent += 1.0;
                hedged += (0..wanted).filter(|_| hedging.take()).count() as f64;
                prop_assert!(hedged <= sent * share + 1e-6);
            }
        }
    }
}
