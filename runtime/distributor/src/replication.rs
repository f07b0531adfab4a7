//! One request on its way to the owners of its traces.

use std::sync::Arc;
use std::time::Duration;

use tempoform_core::{Error, ErrorKind, PushOutcome, Reservation, Result, SpanBatch, TenantId};
use tokio::sync::mpsc;

use crate::metrics;
use crate::placement::Placement;

/// Share of the time for a write after which others stand in for an ingester that has not answered.
const HEDGE_SHARE: f64 = 0.1;

/// What a request holds of the memory budgets, as long as a write of it is under way.
pub(crate) type Held = Arc<[Reservation; 2]>;

/// The spans of a request and how far each is.
///
/// First all owners are written to. A span whose owner fails, or does not answer for a while, is written to the member
/// that stands in; so it may end on more members than it needs, and readers drop the copies.
pub(crate) struct Replication {
    placement: Arc<Placement>,
    tenant: TenantId,
    batch: SpanBatch,
    held: Held,
    /// How long a member may take at all: then what is held for it is given back.
    timeout: Duration,
    /// How long a member may take before others stand in for it.
    hedge_after: Duration,
    /// By span: members in order of preference, as an index into `orders`.
    order_of: Vec<u32>,
    /// Orders, each as long as there are members.
    orders: Vec<u32>,
    progress: Vec<Progress>,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer: mpsc::UnboundedSender<Answer>,
    under_way: usize,
    rejected: u64,
    last_error: Option<Error>,
}

/// How far a span is.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Members asked so far: a prefix of its order.
    asked: u32,
    /// Of these, members that may still answer in time.
    hopeful: u32,
    /// Of these, members that have it on disk.
    durable: u32,
}

/// What became of a member's share.
struct Answer {
    member: usize,
    share: Vec<u32>,
    outcome: Result<PushOutcome>,
}

impl Replication {
    pub(crate) fn new(
        placement: Arc<Placement>,
        tenant: TenantId,
        batch: SpanBatch,
        held: Held,
        timeout: Duration,
    ) -> Self {
        let mut orders = Vec::new();
        let mut order_of = Vec::with_capacity(batch.spans.len());
        let (mut previous, mut number) = (None, 0);
        let mut order = Vec::with_capacity(placement.members().len());
        for span in &batch.spans {
            // Spans of a trace mostly follow each other.
            if previous != Some(span.trace_id) {
                placement.preference(&span.trace_id, &mut order);
                number = (orders.len() / order.len().max(1)) as u32;
                orders.extend_from_slice(&order);
                previous = Some(span.trace_id);
            }
            order_of.push(number);
        }
        // Holds one message a member asked at most.
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            progress: vec![Progress::default(); batch.spans.len()],
            placement,
            tenant,
            batch,
            held,
            timeout,
            hedge_after: timeout.mul_f64(HEDGE_SHARE),
            order_of,
            orders,
            answers,
            answer,
            under_way: 0,
            rejected: 0,
            last_error: None,
        }
    }

    /// Returns once every span is durable on a quorum; what is under way then goes on by itself.
    pub(crate) async fn run(mut self) -> Result<PushOutcome> {
        self.send(self.placement.replication_factor() as u32);
        let mut patience = Box::pin(tokio::time::sleep(self.hedge_after));
        loop {
            if self.is_durable() {
                return Ok(PushOutcome { rejected_spans: self.rejected_spans() });
            }
            if self.under_way == 0 {
                break;
            }
            tokio::select! {
                biased;
                answer = self.answers.recv() => {
                    let Some(answer) = answer else { break };
                    self.take(answer);
                }
                () = &mut patience => {
                    // Whoever has not answered by now is not waited for alone.
                    self.progress.iter_mut().for_each(|span| span.hopeful = span.durable);
                    patience = Box::pin(tokio::time::sleep(self.hedge_after));
                }
            }
            self.send(self.placement.quorum() as u32);
        }
        Err(self
            .last_error
            .unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no ingester took the spans")))
    }

    fn is_durable(&self) -> bool {
        let quorum = self.placement.quorum() as u32;
        self.progress.iter().all(|span| span.durable >= quorum)
    }

    /// Members refuse by the same limits, so a span refused at all is refused by about all of its owners.
    fn rejected_spans(&self) -> u64 {
        let copies: u64 = self.progress.iter().map(|span| u64::from(span.durable)).sum();
        let spans = self.batch.spans.len() as u64;
        (self.rejected * spans).div_ceil(copies.max(1)).min(spans)
    }

    fn take(&mut self, answer: Answer) {
        let Answer { member, share, outcome } = answer;
        self.under_way -= 1;
        match outcome {
            Ok(PushOutcome { rejected_spans }) => {
                self.rejected += rejected_spans;
                for at in share {
                    let span = &mut self.progress[at as usize];
                    span.durable += 1;
                    // It may have been given up.
                    span.hopeful = span.hopeful.max(span.durable);
                }
            }
            Err(error) => {
                let name = self.placement.members()[member].name();
                metrics::INGESTER_FAILURES.with_label_values(&[name]).inc();
                tracing::warn!(ingester = name, %error, spans = share.len(), "an ingester refused a write");
                self.last_error = Some(error.context(format_args!("ingester {name}")));
                for at in share {
                    let span = &mut self.progress[at as usize];
                    span.hopeful = span.hopeful.saturating_sub(1).max(span.durable);
                }
            }
        }
    }

    /// Writes to further members so that each span has `wanted` copies, if all goes well.
    fn send(&mut self, wanted: u32) {
        let members = self.placement.members().len();
        let mut shares = vec![Vec::new(); members];
        for (at, (span, order)) in self.progress.iter_mut().zip(&self.order_of).enumerate() {
            let order = &self.orders[*order as usize * members..][..members];
            while span.hopeful < wanted {
                let Some(member) = order.get(span.asked as usize) else { break };
                shares[*member as usize].push(at as u32);
                span.asked += 1;
                span.hopeful += 1;
            }
        }
        for (member, share) in shares.into_iter().enumerate().filter(|(_, share)| !share.is_empty()) {
            let whole = share.len() == self.batch.spans.len();
            let batch = if whole { self.batch.clone() } else { self.batch.subset(&share) };
            let (placement, tenant) = (Arc::clone(&self.placement), self.tenant.clone());
            let (held, answer, timeout) = (Arc::clone(&self.held), self.answer.clone(), self.timeout);
            self.under_way += 1;
            tokio::spawn(async move {
                let _held = held;
                let push = placement.members()[member].sink().push(&tenant, batch);
                let outcome = tokio::time::timeout(timeout, push).await.unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::Unavailable, format!("no answer within {timeout:?}")))
                });
                // Nobody waits any more once there is a quorum.
                drop(answer.send(Answer { member, share, outcome }));
            });
        }
    }
}
