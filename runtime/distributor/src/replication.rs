//! One request on its way to the owners of its traces.

use std::sync::Arc;
use std::time::Duration;

use tempoform_core::{
    BatchId, BatchIds, Compressed, Error, ErrorKind, Followed, Led, Push, PushOutcome, Reservation, Result,
    SpanBatch, TenantId, off_thread,
};
use tokio::sync::mpsc;

use crate::placement::Placement;

/// Share of the time for a write after which others stand in for an ingester that has not answered.
const HEDGE_SHARE: f64 = 0.1;

/// What a request holds of the memory budgets, as long as a write of it is under way.
pub(crate) type Held = Arc<[Reservation; 2]>;

/// The spans of a request and how far each is.
///
/// Each span goes to all owners of its trace. The first owner leads: it gets one batch of all the spans it leads, and
/// makes a block of them; the others follow, and only keep their part of the batch until the leader has it in storage.
///
/// A member that fails, or does not answer for a while, is stood in for. The batch of a leader then goes, whole and
/// under its name, to another one. So a span may end on more members than it needs, and in more than one block; readers
/// and the compactor drop the copies.
pub(crate) struct Replication {
    placement: Arc<Placement>,
    tenant: TenantId,
    batch: SpanBatch,
    held: Held,
    /// How long a member may take at all: then what is held for it is given back.
    timeout: Duration,
    /// How long a member may take before others stand in for it.
    hedge_after: Duration,
    groups: Vec<Group>,
    spans: Vec<Copies>,
    /// Orders of members, each as long as there are members.
    orders: Vec<u32>,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer: mpsc::UnboundedSender<Answer>,
    /// Members that have not answered yet, each as often as it was asked.
    waiting: Vec<usize>,
    last_error: Option<Error>,
}

/// The spans of one leader.
struct Group {
    /// Without a meaning where nobody follows.
    id: BatchId,
    /// Ascending.
    spans: Vec<u32>,
    batch: SpanBatch,
    /// Where it goes to several.
    compressed: Option<Compressed>,
    /// Which of `orders` says who leads: that of the first span.
    order: u32,
    /// Members asked to lead: a prefix of that order.
    asked: u32,
    /// Whether one of them may still answer in time.
    hopeful: bool,
    led: bool,
    /// Whether one of them refused nothing.
    led_whole: bool,
    /// What of it was refused for good, where none of them took all.
    rejected: PushOutcome,
}

/// Where a span is. Members are bits: their positions in the span's order.
#[derive(Clone, Copy, Default)]
struct Copies {
    order: u32,
    /// Members that may still answer in time, or have it.
    hopeful: u64,
    /// Members that have it on disk.
    durable: u64,
    /// Of those, leaders that refused some of the batch, and maybe this span.
    unsure: u64,
    /// Members asked to follow: up to this position of its order, unless they lead.
    asked: u32,
}

/// What one member is asked to take.
#[derive(Default)]
struct Share {
    groups: Vec<u32>,
    /// Spans to follow, by group.
    followed: Vec<(u32, Vec<u32>)>,
}

/// What became of a member's share.
struct Answer {
    member: usize,
    share: Share,
    outcome: Result<Vec<PushOutcome>>,
}

impl Replication {
    /// Memory that the parts of `batch` take, beside itself, bytes: counted from its spans, as small ones take more to keep
    /// track of than they have bytes.
    pub(crate) fn memory(placement: &Placement, batch: &SpanBatch) -> u64 {
        let (members, copies) = (placement.members().len(), placement.replication_factor());
        let spans = batch.spans.len();
        let orders =
            batch.spans.chunk_by(|a, b| a.trace_id == b.trace_id).count() * members * size_of::<u32>();
        // In a group, and in the shares of those that follow.
        let positions = spans * copies * size_of::<u32>();
        // Lists that grow may have twice the room that they need.
        let lists = (orders + positions + spans * size_of::<Copies>()) * 2;
        // The parts of leaders, and all that is sent: compressed where it goes to several.
        let payloads = batch.payload.len() * 2;
        (lists + payloads) as u64 + batch.references_bytes() * 2
    }

    /// Splits `batch` and sends its parts to all owners.
    pub(crate) async fn start(
        placement: Arc<Placement>,
        ids: Arc<BatchIds>,
        tenant: TenantId,
        batch: SpanBatch,
        held: Held,
        timeout: Duration,
    ) -> Result<Self> {
        let (bytes, copies) = (batch.payload.len(), placement.replication_factor() as u32);
        off_thread(bytes, move || {
            let mut replication = Self::new(placement, &ids, tenant, batch, held, timeout);
            let shares = replication.shares(copies);
            replication.send(shares);
            Ok(replication)
        })
        .await
    }

    fn new(
        placement: Arc<Placement>,
        ids: &BatchIds,
        tenant: TenantId,
        batch: SpanBatch,
        held: Held,
        timeout: Duration,
    ) -> Self {
        let (orders, spans) = orders(&placement, &batch);
        let has_followers = placement.replication_factor() > 1;
        let groups = group(&batch, &orders, placement.members().len(), &spans, has_followers, ids);
        // Holds one message a member asked at most.
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            placement,
            tenant,
            batch,
            held,
            timeout,
            hedge_after: timeout.mul_f64(HEDGE_SHARE),
            groups,
            spans,
            orders,
            answers,
            answer,
            waiting: Vec::new(),
            last_error: None,
        }
    }

    /// Returns once every span is led and durable on a quorum; what is under way then goes on by itself.
    pub(crate) async fn run(mut self) -> Result<PushOutcome> {
        let mut patience = Box::pin(tokio::time::sleep(self.hedge_after));
        loop {
            if self.is_durable() {
                return Ok(self.groups.iter().map(|group| group.rejected).sum());
            }
            if self.waiting.is_empty() {
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
                    self.waiting.iter().for_each(|member| self.placement.members()[*member].suspect());
                    self.spans.iter_mut().for_each(|span| span.hopeful = span.durable);
                    self.groups.iter_mut().for_each(|group| group.hopeful = group.led);
                    patience = Box::pin(tokio::time::sleep(self.hedge_after));
                }
            }
            let shares = self.shares(self.placement.quorum() as u32);
            if shares.iter().any(|share| !share.is_empty()) {
                self = off_thread(self.batch.payload.len(), move || {
                    self.send(shares);
                    Ok(self)
                })
                .await?;
            }
        }
        Err(self
            .last_error
            .unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no ingester took the spans")))
    }

    fn is_durable(&self) -> bool {
        let quorum = self.placement.quorum() as u32;
        self.groups.iter().all(|group| group.led)
            && self.spans.iter().all(|span| span.durable.count_ones() >= quorum)
    }

    fn take(&mut self, answer: Answer) {
        let Answer { member, share, outcome } = answer;
        if let Some(at) = self.waiting.iter().position(|waiting| *waiting == member) {
            self.waiting.swap_remove(at);
        }
        match outcome {
            Ok(outcomes) => {
                for at in share.followed.iter().flat_map(|(_, spans)| spans) {
                    let bit = self.bit(*at, member);
                    self.spans[*at as usize].add(bit);
                }
                for (group, outcome) in share.groups.iter().zip(outcomes) {
                    self.take_led(*group as usize, member, outcome);
                }
            }
            Err(error) => {
                let spans = share.spans(&self.groups);
                let member_asked = &self.placement.members()[member];
                member_asked.failed(&error);
                self.last_error = Some(error.context(format_args!("ingester {}", member_asked.name())));
                for at in spans {
                    let bit = self.bit(at, member);
                    let span = &mut self.spans[at as usize];
                    span.hopeful &= !bit | span.durable;
                }
                for group in &share.groups {
                    let group = &mut self.groups[*group as usize];
                    group.hopeful = group.led;
                }
            }
        }
    }

    /// A member leads a group.
    ///
    /// Spans that one leader refused for a limit count as durable there only if all leaders refused some: a client is told
    /// of refused spans once, and not of those that another leader took.
    fn take_led(&mut self, group: usize, member: usize, outcome: PushOutcome) {
        let rejected_spans = outcome.rejected_spans();
        let spans = std::mem::take(&mut self.groups[group].spans);
        let state = &mut self.groups[group];
        let was_led_whole = state.led_whole;
        state.led_whole |= rejected_spans == 0;
        state.rejected = match (state.led_whole, state.led) {
            (true, _) => PushOutcome::default(),
            (false, true) => state.rejected,
            (false, false) => outcome,
        };
        (state.led, state.hopeful) = (true, true);
        for at in &spans {
            let bit = self.bit(*at, member);
            let span = &mut self.spans[*at as usize];
            match (was_led_whole, rejected_spans) {
                (_, 0) => {
                    span.forget_unsure();
                    span.add(bit);
                }
                (true, _) => span.hopeful &= !bit | span.durable,
                (false, _) => {
                    span.add(bit);
                    span.unsure |= bit;
                }
            }
        }
        self.groups[group].spans = spans;
    }

    /// The bit of a member in the order of a span. 0 for a member so far behind that it need not be told apart; what
    /// it has counts for nothing.
    fn bit(&self, span: u32, member: usize) -> u64 {
        let order = self.order(self.spans[span as usize].order);
        let at = order.iter().take(u64::BITS as usize).position(|other| *other as usize == member);
        at.map_or(0, |at| 1 << at)
    }

    fn order(&self, order: u32) -> &[u32] {
        let members = self.placement.members().len();
        &self.orders[order as usize * members..][..members]
    }

    /// What further members are to take, by member, so that each batch has a leader and each span `wanted` copies, if all
    /// goes well.
    fn shares(&mut self, wanted: u32) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        shares.resize_with(self.placement.members().len(), Share::default);
        self.find_leaders(&mut shares);
        self.find_followers(wanted, &mut shares);
        shares
    }

    /// Writes to them. Compresses what goes to several.
    fn send(&mut self, shares: Vec<Share>) {
        for (member, share) in shares.into_iter().enumerate().filter(|(_, share)| !share.is_empty()) {
            let push = self.push_of(&share);
            let (placement, tenant) = (Arc::clone(&self.placement), self.tenant.clone());
            let (held, answer, timeout) = (Arc::clone(&self.held), self.answer.clone(), self.timeout);
            self.waiting.push(member);
            tokio::spawn(async move {
                let push = placement.members()[member].push(&tenant, push, held);
                let outcome = tokio::time::timeout(timeout, push).await.unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::Unavailable, format!("no answer within {timeout:?}")))
                });
                // Nobody waits any more once there is a quorum.
                drop(answer.send(Answer { member, share, outcome }));
            });
        }
    }

    fn find_leaders(&mut self, shares: &mut [Share]) {
        for at in 0..self.groups.len() {
            let group = &self.groups[at];
            let next = self.order(group.order).get(group.asked as usize).copied();
            let Some(member) = next.filter(|_| !group.hopeful) else { continue };
            shares[member as usize].groups.push(at as u32);
            for span in 0..self.groups[at].spans.len() {
                let span = self.groups[at].spans[span];
                let bit = self.bit(span, member as usize);
                self.spans[span as usize].hopeful |= bit;
            }
            let group = &mut self.groups[at];
            group.asked += 1;
            group.hopeful = true;
        }
    }

    fn find_followers(&mut self, wanted: u32, shares: &mut [Share]) {
        let members = self.placement.members().len();
        for (group_at, group) in self.groups.iter().enumerate() {
            for at in &group.spans {
                let span = &mut self.spans[*at as usize];
                let order = &self.orders[span.order as usize * members..][..members.min(u64::BITS as usize)];
                while span.hopeful.count_ones() < wanted {
                    let Some(member) = order.get(span.asked as usize) else { break };
                    let bit = 1 << span.asked;
                    span.asked += 1;
                    if span.hopeful & bit == 0 {
                        span.hopeful |= bit;
                        shares[*member as usize].follow(group_at as u32, *at);
                    }
                }
            }
        }
    }

    fn push_of(&self, share: &Share) -> Push {
        let has_followers = self.placement.replication_factor() > 1;
        let led = share.groups.iter().map(|group| {
            let group = &self.groups[*group as usize];
            Led {
                id: has_followers.then_some(group.id),
                spans: group.batch.clone(),
                compressed: group.compressed.clone(),
            }
        });
        let followed = share.followed.iter().map(|(group, spans)| {
            let group = &self.groups[*group as usize];
            let all = group.compressed.clone().filter(|_| spans.len() == group.spans.len());
            let whole = all.is_some();
            let spans = all.unwrap_or_else(|| Compressed::new(&self.batch.subset(spans).payload));
            Followed { id: group.id, whole, spans }
        });
        Push { led: led.collect(), followed: followed.collect() }
    }
}

impl Copies {
    fn add(&mut self, bit: u64) {
        self.durable |= bit;
        self.hopeful |= bit;
    }

    fn forget_unsure(&mut self) {
        self.durable &= !self.unsure;
        self.hopeful &= !self.unsure;
        self.unsure = 0;
    }
}

impl Share {
    fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.followed.is_empty()
    }

    /// Adds a span of the group that is the last so far, or comes after it.
    fn follow(&mut self, group: u32, span: u32) {
        match self.followed.last_mut() {
            Some((last, spans)) if *last == group => spans.push(span),
            _ => self.followed.push((group, vec![span])),
        }
    }

    fn spans(&self, groups: &[Group]) -> Vec<u32> {
        let led = self.groups.iter().flat_map(|group| &groups[*group as usize].spans);
        led.chain(self.followed.iter().flat_map(|(_, spans)| spans)).copied().collect()
    }
}

/// Who owns each trace, and which of these orders is that of each span.
fn orders(placement: &Placement, batch: &SpanBatch) -> (Vec<u32>, Vec<Copies>) {
    let suspects = placement.suspects();
    let mut orders = Vec::new();
    let mut spans = Vec::with_capacity(batch.spans.len());
    let (mut previous, mut number) = (None, 0);
    let mut order = Vec::with_capacity(placement.members().len());
    for span in &batch.spans {
        // Spans of a trace mostly follow each other.
        if previous != Some(span.trace_id) {
            placement.preference(&span.trace_id, &suspects, &mut order);
            number = (orders.len() / order.len().max(1)) as u32;
            orders.extend_from_slice(&order);
            previous = Some(span.trace_id);
        }
        spans.push(Copies { order: number, ..Copies::default() });
    }
    (orders, spans)
}

/// One group a leader.
fn group(
    batch: &SpanBatch,
    orders: &[u32],
    members: usize,
    copies: &[Copies],
    has_followers: bool,
    ids: &BatchIds,
) -> Vec<Group> {
    let mut by_leader: Vec<Vec<u32>> = vec![Vec::new(); members];
    for (at, span) in copies.iter().enumerate() {
        by_leader[orders[span.order as usize * members] as usize].push(at as u32);
    }
    let mut groups = Vec::new();
    for spans in by_leader.into_iter().filter(|spans| !spans.is_empty()) {
        let whole = spans.len() == batch.spans.len();
        let batch = if whole { batch.clone() } else { batch.subset(&spans) };
        groups.push(Group {
            id: ids.next(),
            compressed: has_followers.then(|| Compressed::new(&batch.payload)),
            batch,
            order: copies[spans[0] as usize].order,
            spans,
            asked: 0,
            hopeful: false,
            led: false,
            led_whole: false,
            rejected: PushOutcome::default(),
        });
    }
    groups
}
