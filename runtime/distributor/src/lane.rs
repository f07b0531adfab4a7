//! One ingester's lane: what waits while a write is under way goes together in the next, as in a group commit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempoform_core::{Error, ErrorKind, Push, PushOutcome, Result, SpanSink, TenantId};
use tokio::sync::oneshot;

use crate::replication::Held;

/// Writes under way at once: one is durable at the ingester while the next is on its way.
const UNDER_WAY: usize = 2;
/// Bytes of spans that one write takes at most, unless a single request has more; well below what ingesters accept.
const WRITE_BYTES: u64 = 2 << 20;

/// Writes to a sink, few and large instead of many and small. An error is that of all requests in a write.
///
/// *Invariant: what is in a lane is paid for.* Each request's share holds the request's room in the distributor's budgets
/// until it was written or left out, and no write takes longer than the lane's timeout, however the ingester hangs.
#[derive(Clone)]
pub(crate) struct Lane(Arc<Inner>);

struct Inner {
    sink: Arc<dyn SpanSink>,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    under_way: usize,
}

struct Waiting {
    tenant: TenantId,
    push: Push,
    held: Held,
    reply: oneshot::Sender<Result<Vec<PushOutcome>>>,
}

impl Lane {
    /// A lane to `sink`, which may take `timeout` for a write.
    pub(crate) fn new(sink: Arc<dyn SpanSink>, timeout: Duration) -> Self {
        Self(Arc::new(Inner { sink, timeout, state: Mutex::default() }))
    }

    /// As [`SpanSink::push`]. `held` is given back when the push is written or was given up, which may be after this
    /// future is gone.
    pub(crate) async fn push(&self, tenant: &TenantId, push: Push, held: Held) -> Result<Vec<PushOutcome>> {
        let (reply, answer) = oneshot::channel();
        let starts = {
            let mut state = self.0.lock();
            state.drop_given_up();
            state.waiting.push_back(Waiting { tenant: tenant.clone(), push, held, reply });
            let starts = state.under_way < UNDER_WAY;
            state.under_way += usize::from(starts);
            starts
        };
        if starts {
            tokio::spawn(Arc::clone(&self.0).drive());
        }
        answer.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Unavailable, "a write to an ingester was given up"))
        })
    }
}

impl Inner {
    /// A lock whose holder panicked guards a queue that is still whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing waits.
    async fn drive(self: Arc<Self>) {
        let mut turn = Turn { lane: &self, has_ended: false };
        while let Some(group) = turn.next() {
            self.write(group).await;
        }
    }

    async fn write(&self, group: Vec<Waiting>) {
        let Some(tenant) = group.first().map(|first| first.tenant.clone()) else { return };
        let mut all = Push::default();
        let mut replies = Vec::with_capacity(group.len());
        let mut paid = Vec::with_capacity(group.len());
        for Waiting { push, held, reply, .. } in group {
            // Its request may have been given up meanwhile.
            if !reply.is_closed() {
                replies.push((push.led.len(), reply));
                paid.push(held);
                all.led.extend(push.led);
                all.followed.extend(push.followed);
            }
        }
        if replies.is_empty() {
            return;
        }
        let timeout = self.timeout;
        let written =
            tokio::time::timeout(timeout, self.sink.push(&tenant, all)).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Unavailable, format!("no answer to a write within {timeout:?}")))
            });
        // The spans of this write are gone by now.
        drop(paid);
        match written {
            Ok(outcomes) => {
                let mut outcomes = outcomes.into_iter();
                for (led, reply) in replies {
                    // Nobody may wait any more.
                    drop(reply.send(Ok(outcomes.by_ref().take(led).collect())));
                }
            }
            Err(error) => replies.into_iter().for_each(|(_, reply)| drop(reply.send(Err(error.clone())))),
        }
    }
}

impl State {
    /// Drops what nobody waits for any more from the head. All have the same patience, so what is given up is there, but
    /// for requests whose client went away, and those come to the head within that time.
    fn drop_given_up(&mut self) {
        while self.waiting.front().is_some_and(|first| first.reply.is_closed()) {
            self.waiting.pop_front();
        }
    }

    /// What goes together: of the tenant that waits longest, in order. `None` once nothing waits.
    fn next_group(&mut self) -> Option<Vec<Waiting>> {
        self.drop_given_up();
        let first = self.waiting.pop_front()?;
        let mut bytes = first.push.bytes();
        let mut group = vec![first];
        let mut at = 0;
        while at < self.waiting.len() && bytes < WRITE_BYTES {
            if self.waiting[at].tenant != group[0].tenant {
                at += 1;
                continue;
            }
            bytes += self.waiting[at].push.bytes();
            if bytes <= WRITE_BYTES {
                group.extend(self.waiting.remove(at));
            }
        }
        Some(group)
    }
}

/// One of the writes that may be under way.
struct Turn<'a> {
    lane: &'a Inner,
    has_ended: bool,
}

impl Turn<'_> {
    /// The next write. `None` once nothing waits: the turn is over then, under the lock under which that was seen, so that
    /// a push that comes right after starts another.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut state = self.lane.lock();
        let group = state.next_group();
        if group.is_none() {
            state.under_way -= 1;
            self.has_ended = true;
        }
        group
    }
}

impl Drop for Turn<'_> {
    /// Ends the turn also when the sink panics.
    fn drop(&mut self) {
        if !self.has_ended {
            self.lane.lock().under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use tempoform_core::{Led, MemoryBudget, SpanBatch};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);
    const ROOM: u64 = 10;

    /// Takes a while for each write, and remembers how many batches each had. Batches of tenant `bad` are refused.
    #[derive(Default)]
    struct Slow(Mutex<Vec<usize>>);

    #[async_trait::async_trait]
    impl SpanSink for Slow {
        async fn push(&self, tenant: &TenantId, push: Push) -> Result<Vec<PushOutcome>> {
            self.0.lock().expect("not poisoned").push(push.led.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
            if tenant.as_str() == "bad" {
                return Err(Error::new(ErrorKind::Exhausted, "refused on purpose"));
            }
            let rejected = |led: Led| PushOutcome {
                over_live_traces: led.spans.longest_attribute as u64,
                ..PushOutcome::default()
            };
            Ok(push.led.into_iter().map(rejected).collect())
        }
    }

    /// Never answers.
    struct Hangs;

    #[async_trait::async_trait]
    impl SpanSink for Hangs {
        async fn push(&self, _: &TenantId, _: Push) -> Result<Vec<PushOutcome>> {
            std::future::pending().await
        }
    }

    fn held(budget: &MemoryBudget) -> Held {
        let room = || budget.reserve(ROOM / 2, "a test").expect("room");
        Arc::new([room(), room()])
    }

    /// A push of one batch that can be told by its answer.
    fn push(number: usize) -> Push {
        SpanBatch { longest_attribute: number, ..SpanBatch::default() }.into()
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_goes_together_and_each_gets_its_own_answer() {
        let (slow, budget) = (Arc::new(Slow::default()), MemoryBudget::new(1000));
        let lane = Lane::new(Arc::clone(&slow) as _, TIMEOUT);
        let (good, bad): (TenantId, TenantId) =
            ("good".parse().expect("a name"), "bad".parse().expect("a name"));
        let pushes = (0..20).map(|number| {
            let (lane, tenant) = (lane.clone(), if number % 5 == 4 { bad.clone() } else { good.clone() });
            let held = held(&budget);
            async move { lane.push(&tenant, push(number), held).await }
        });
        for (number, answer) in futures::future::join_all(pushes).await.into_iter().enumerate() {
            match answer {
                Ok(outcomes) => assert_eq!(outcomes[0].rejected_spans(), number as u64),
                Err(error) => assert_eq!((error.kind(), number % 5), (ErrorKind::Exhausted, 4)),
            }
        }
        let writes = slow.0.lock().expect("not poisoned").clone();
        assert_eq!(writes.iter().sum::<usize>(), 20);
        assert!(writes.len() <= 5, "{writes:?}");
        assert_eq!(lane.0.lock().under_way, 0);
        lane.push(&good, push(7), held(&budget)).await.expect("works again after it was idle");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_given_up_is_not_written() {
        let (slow, budget) = (Arc::new(Slow::default()), MemoryBudget::new(1000));
        let lane = Lane::new(Arc::clone(&slow) as _, TIMEOUT);
        let tenant = TenantId::single();
        let write = |number| {
            let (lane, tenant, held) = (lane.clone(), tenant.clone(), held(&budget));
            tokio::spawn(async move { lane.push(&tenant, push(number), held).await })
        };
        let mut under_way = Vec::new();
        for number in 1..=UNDER_WAY {
            under_way.push(write(number));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let given_up = write(3);
        tokio::time::sleep(Duration::from_millis(1)).await;
        given_up.abort();
        for write in under_way {
            write.await.expect("no panic").expect("written");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(slow.0.lock().expect("not poisoned").iter().sum::<usize>(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn before_an_ingester_that_hangs_only_what_is_paid_for_waits() {
        let budget = MemoryBudget::new(1 << 20);
        let lane = Lane::new(Arc::new(Hangs), TIMEOUT);
        let tenant = TenantId::single();
        let send = || {
            let (lane, tenant, held) = (lane.clone(), tenant.clone(), held(&budget));
            let pushed = async move { lane.push(&tenant, push(1), held).await };
            tokio::spawn(tokio::time::timeout(TIMEOUT, pushed))
        };
        // Far longer than anybody waits.
        for _ in 0..100 {
            for _ in 0..10 {
                send();
            }
            tokio::time::sleep(TIMEOUT / 10).await;
            let kept = lane.0.lock().waiting.len() as u64;
            assert!(kept <= 100 + 10, "{kept} wait, of which 100 at most may still be waited for");
            assert!(budget.used() >= kept * ROOM, "{kept} wait, {} bytes are paid for", budget.used());
        }
        tokio::time::sleep(TIMEOUT * 3).await;
        let state = lane.0.lock();
        assert_eq!((state.waiting.len(), state.under_way, budget.used()), (0, 0, 0));
    }

    #[test]
    fn a_turn_is_over_when_it_finds_nothing_and_not_later() {
        let lane = Lane::new(Arc::new(Hangs), TIMEOUT);
        lane.0.lock().under_way = 1;
        let mut turn = Turn { lane: &lane.0, has_ended: false };
        assert!(turn.next().is_none());
        // A push at this moment starts a write of its own.
        assert_eq!(lane.0.lock().under_way, 0);
        drop(turn);
        assert_eq!(lane.0.lock().under_way, 0, "and ends once");
    }
}
