use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use tempoform_core::TraceId;

/// Which traces of a tenant got a span lately, to bound how many there are at once.
#[derive(Debug)]
pub(crate) struct LiveTraces {
    idle_period: Duration,
    since: Instant,
    /// Second, from `since`, of each live trace's last span.
    last_seen: HashMap<TraceId, u32>,
    /// By second: traces seen in it. One seen again later is in both, and counts in the later.
    seen: VecDeque<(u32, Vec<TraceId>)>,
}

impl LiveTraces {
    /// A trace is live for `idle_period` after its last span.
    pub(crate) fn new(idle_period: Duration) -> Self {
        Self { idle_period, since: Instant::now(), last_seen: HashMap::new(), seen: VecDeque::new() }
    }

    /// Notes a span of trace `id`; false when it would be one live trace more than `limit` (0 = no limit).
    pub(crate) fn admit(&mut self, id: TraceId, limit: u32, now: Instant) -> bool {
        let second = self.second(now);
        if limit > 0 && self.last_seen.len() >= limit as usize && !self.last_seen.contains_key(&id) {
            return false;
        }
        if self.last_seen.insert(id, second) == Some(second) {
            return true;
        }
        match self.seen.back_mut() {
            Some((last, ids)) if *last == second => ids.push(id),
            _ => self.seen.push_back((second, vec![id])),
        }
        true
    }

    /// Forgets traces that got no span for too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let second = self.second(now);
        let idle = u32::try_from(self.idle_period.as_secs().max(1)).unwrap_or(u32::MAX);
        while let Some((seen, _)) = self.seen.front()
            && second - seen > idle
        {
            let Some((seen, ids)) = self.seen.pop_front() else { return };
            for id in ids {
                if self.last_seen.get(&id) == Some(&seen) {
                    self.last_seen.remove(&id);
                }
            }
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.last_seen.len()
    }

    fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.since).as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> TraceId {
        TraceId::new(n.to_be_bytes())
    }

    #[test]
    fn a_trace_lives_as_long_as_spans_come() {
        let mut live = LiveTraces::new(Duration::from_secs(10));
        let at = |seconds| live_since(&live) + Duration::from_secs(seconds);
        let (t0, t6, t12, t30) = (at(0), at(6), at(12), at(30));
        assert!(live.admit(id(1), 2, t0) && live.admit(id(2), 2, t0));
        assert!(!live.admit(id(3), 2, t0), "one more than the limit");
        assert!(live.admit(id(1), 2, t6), "a span of a live trace is no new trace");
        live.expire(t12);
        assert_eq!(live.count(), 1, "the second got no span for more than ten seconds");
        assert!(live.admit(id(3), 2, t12) && !live.admit(id(4), 2, t12));
        live.expire(t30);
        assert_eq!((live.count(), live.seen.len()), (0, 0));
        assert!((5..5000).all(|n| live.admit(id(n), 0, t30)), "no limit");
    }

    fn live_since(live: &LiveTraces) -> Instant {
        live.since
    }
}
