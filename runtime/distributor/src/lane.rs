//! One ingester's lane: what waits while a write is under way goes together in the next, as in a group commit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempoform_core::{Error, ErrorKind, Push, PushOutcome, Result, SpanSink, TenantId};
use tokio::sync::oneshot;

/// Writes under way at once: one is durable at the ingester while the next is on its way.
const UNDER_WAY: usize = 2;
/// Bytes of spans that one write takes at most, unless a single request has more; well below what ingesters accept.
const WRITE_BYTES: u64 = 2 << 20;

/// Writes to a sink, few and large instead of many and small. An error is that of all requests in a write.
///
/// What waits is bounded by what its requests hold of the distributor's budgets.
#[derive(Clone)]
pub struct Lane(Arc<Inner>);

struct Inner {
    sink: Arc<dyn SpanSink>,
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
    reply: oneshot::Sender<Result<Vec<PushOutcome>>>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl Lane {
    /// A lane to `sink`.
    pub fn new(sink: Arc<dyn SpanSink>) -> Self {
        Self(Arc::new(Inner { sink, state: Mutex::default() }))
    }
}

#[async_trait::async_trait]
impl SpanSink for Lane {
    async fn push(&self, tenant: &TenantId, push: Push) -> Result<Vec<PushOutcome>> {
        let (reply, answer) = oneshot::channel();
        let starts = {
            let mut state = self.0.lock();
            state.waiting.push_back(Waiting { tenant: tenant.clone(), push, reply });
            let starts = state.under_way < UNDER_WAY;
            state.under_way += usize::from(starts);
            starts
        };
        if starts {
            tokio::spawn(Arc::clone(&self.0).drive());
        }
        answer
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "a write to an ingester was given up")))
    }
}

impl Inner {
    /// A lock whose holder panicked guards a queue that is still whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing waits.
    async fn drive(self: Arc<Self>) {
        // Ends this task's turn also when the sink panics.
        let turn = Turn(&self);
        while let Some(group) = turn.next() {
            self.write(group).await;
        }
    }

    async fn write(&self, group: Vec<Waiting>) {
        let Some(tenant) = group.first().map(|first| first.tenant.clone()) else { return };
        let mut all = Push::default();
        let mut replies = Vec::with_capacity(group.len());
        for Waiting { push, reply, .. } in group {
            // Its request may have been given up meanwhile.
            if !reply.is_closed() {
                replies.push((push.led.len(), reply));
                all.led.extend(push.led);
                all.followed.extend(push.followed);
            }
        }
        if replies.is_empty() {
            return;
        }
        match self.sink.push(&tenant, all).await {
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

/// One of the writes that may be under way.
struct Turn<'a>(&'a Inner);

impl Turn<'_> {
    /// What goes together: of the tenant that waits longest, in order. `None` once nothing waits.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut state = self.0.lock();
        let first = state.waiting.pop_front()?;
        let mut bytes = first.push.bytes();
        let mut group = vec![first];
        let mut at = 0;
        while at < state.waiting.len() && bytes < WRITE_BYTES {
            if state.waiting[at].tenant != group[0].tenant {
                at += 1;
                continue;
            }
            bytes += state.waiting[at].push.bytes();
            if bytes <= WRITE_BYTES {
                group.extend(state.waiting.remove(at));
            }
        }
        Some(group)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempoform_core::{Led, SpanBatch};

    use super::*;

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
            let rejected = |led: Led| PushOutcome { rejected_spans: led.spans.longest_attribute as u64 };
            Ok(push.led.into_iter().map(rejected).collect())
        }
    }

    /// A push of one batch that can be told by its answer.
    fn push(number: usize) -> Push {
        SpanBatch { longest_attribute: number, ..SpanBatch::default() }.into()
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_goes_together_and_each_gets_its_own_answer() {
        let slow = Arc::new(Slow::default());
        let lane = Lane::new(Arc::clone(&slow) as _);
        let (good, bad): (TenantId, TenantId) =
            ("good".parse().expect("a name"), "bad".parse().expect("a name"));
        let pushes = (0..20).map(|number| {
            let (lane, tenant) = (lane.clone(), if number % 5 == 4 { bad.clone() } else { good.clone() });
            async move { lane.push(&tenant, push(number)).await }
        });
        for (number, answer) in futures::future::join_all(pushes).await.into_iter().enumerate() {
            match answer {
                Ok(outcomes) => assert_eq!(outcomes, [PushOutcome { rejected_spans: number as u64 }]),
                Err(error) => assert_eq!((error.kind(), number % 5), (ErrorKind::Exhausted, 4)),
            }
        }
        let writes = slow.0.lock().expect("not poisoned").clone();
        assert_eq!(writes.iter().sum::<usize>(), 20);
        assert!(writes.len() <= 5, "{writes:?}");
        assert_eq!(lane.0.lock().under_way, 0);
        lane.push(&good, push(7)).await.expect("works again after it was idle");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_given_up_is_not_written() {
        let slow = Arc::new(Slow::default());
        let lane = Lane::new(Arc::clone(&slow) as _);
        let tenant = TenantId::single();
        let write = |number| {
            let (lane, tenant) = (lane.clone(), tenant.clone());
            tokio::spawn(async move { lane.push(&tenant, push(number)).await })
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
}
