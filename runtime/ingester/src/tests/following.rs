//! What is kept for leaders: it goes once they have it in storage, and is never lost with them.

use std::time::Instant;

use tempoform_core::{BatchId, Compressed, ErrorKind, Followed, Led, Push};
use tempoform_wire::internal::{SettleRequest, SettleResponse};
use tokio::sync::OnceCell;

use super::*;
use crate::OtherIngesters;

/// Another ingester, if it is there.
#[derive(Default)]
struct Other(OnceCell<std::sync::Weak<Ingester>>);

#[async_trait::async_trait]
impl OtherIngesters for Other {
    async fn settle(&self, tenant: &TenantId, request: SettleRequest) -> Vec<SettleResponse> {
        match self.0.get().and_then(std::sync::Weak::upgrade) {
            Some(other) => vec![other.settle(tenant, request).await.expect("an answer")],
            None => Vec::new(),
        }
    }
}

const fn id(number: u64) -> BatchId {
    BatchId { origin: 1, number }
}

async fn lead(ingester: &Ingester, traces: &[u8], number: u8) {
    let spans = batch(&request(traces, number));
    let led = Led { id: Some(id(number.into())), spans, compressed: None };
    let push = Push { led: vec![led], followed: Vec::new() };
    ingester.push(&TenantId::single(), push).await.expect("acknowledged");
}

async fn follow(ingester: &Ingester, traces: &[u8], number: u8) {
    follow_some(ingester, traces, number, true).await;
}

/// All of a batch, if it is the `whole` of it.
async fn follow_some(ingester: &Ingester, traces: &[u8], number: u8, whole: bool) {
    let spans = Compressed::new(&batch(&request(traces, number)).payload);
    let push = Push { led: Vec::new(), followed: vec![Followed { id: id(number.into()), whole, spans }] };
    ingester.push(&TenantId::single(), push).await.expect("acknowledged");
}

async fn followed_spans(ingester: &Ingester, trace: u8) -> usize {
    let request =
        FindTraceRequest { trace_id: vec![trace; 16].into(), with_followed: true, ..Default::default() };
    let found = ingester.find_trace(&TenantId::single(), request).await.expect("an answer");
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    let decoded = found.pieces.iter().map(|piece| TracesData::decode(&piece[..]).expect("a piece"));
    decoded.map(|data| count(&data.resource_spans)).sum()
}

/// Two ingesters with a log each and one store.
struct Two {
    leader: Place,
    follower: Place,
}

impl Two {
    fn new() -> Self {
        let leader = Place::new();
        let follower =
            Place { store: leader.store.clone(), moody: Arc::clone(&leader.moody), ..Place::new() };
        Self { leader, follower }
    }

    /// Starts both; they know each other.
    async fn start(&self, take_over_after: Duration) -> (Arc<Ingester>, Arc<Ingester>) {
        self.start_in(&tokio::runtime::Handle::current(), take_over_after).await
    }

    /// The same with the leader's work in a runtime of its own.
    async fn start_in(
        &self,
        leaders: &tokio::runtime::Handle,
        take_over_after: Duration,
    ) -> (Arc<Ingester>, Arc<Ingester>) {
        let (to_leader, to_follower) = (Arc::new(Other::default()), Arc::new(Other::default()));
        let options = |place: &Place, others: &Arc<Other>| Options {
            others: Some(Arc::clone(others) as _),
            take_over_after,
            ..place.options()
        };
        let memory = || MemoryBudget::new(1 << 30);
        let starting =
            Ingester::start(options(&self.leader, &to_follower), self.leader.store.clone(), memory());
        let leader = leaders.spawn(starting).await.expect("no panic").expect("started");
        let follower = self.follower.start_with(options(&self.follower, &to_leader), memory()).await;
        to_leader.0.set(Arc::downgrade(&leader)).expect("set once");
        to_follower.0.set(Arc::downgrade(&follower)).expect("set once");
        (leader, follower)
    }
}

fn followed_files(place: &Place) -> usize {
    let folder = place.folder.path().join(TenantId::single().as_str()).join("followed");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(10), "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_batch_is_read_only_when_asked_for_and_goes_once_it_is_in_storage() {
    let two = Two::new();
    let (leader, follower) = two.start(Duration::from_secs(3600)).await;
    lead(&leader, &[1, 2], 1).await;
    follow(&follower, &[1], 1).await;
    assert_eq!((live_spans(&follower, 1).await, followed_spans(&follower, 1).await), (0, 1));
    assert_eq!(searched(&follower, "{}").await, 0);
    follow(&follower, &[3], 2).await;
    assert_eq!(followed_spans(&follower, 3).await, 1, "what came after the index was made");

    // Nobody leads the second; the leader of the first is told to hurry.
    follower.hand_over(Duration::from_secs(10)).await.expect("settled");
    assert_eq!((two.leader.stored_spans(1).await, two.leader.stored_spans(3).await), (1, 1));
    assert_eq!(followed_files(&two.follower), 0, "one batch is stored by its leader, the other was nobody's");
    let found = find(&follower, 1).await;
    assert_eq!(found.fresh_blocks.len(), 2, "readers hear of the leader's block from the follower too");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_a_leader_that_is_gone_are_taken_over_and_only_once() {
    let two = Two::new();
    // Its runtime is the leader's process, which can be killed.
    let leader_runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (leader, follower) = two.start_in(leader_runtime.handle(), Duration::ZERO).await;
    lead(&leader, &[1], 1).await;
    follow(&follower, &[1], 1).await;
    // While the leader has it, nobody else makes a block of it.
    two.leader.moody.refuse(true);
    follower.hand_over(Duration::from_millis(300)).await.expect_err("the leader cannot bring it to storage");
    assert_eq!((live_spans(&leader, 1).await, live_spans(&follower, 1).await), (1, 0));
    two.leader.moody.refuse(false);

    leader_runtime.shutdown_background();
    drop(leader);
    until("the batch", async || live_spans(&follower, 1).await == 1).await;
    assert_eq!(followed_files(&two.follower), 0, "it is in the own log now");
    follower.flush(Duration::from_secs(10)).await.expect("flushed");
    assert_eq!(two.leader.stored_spans(1).await, 1);

    // The leader comes back with its log and makes a block as well: copies, which readers and the compactor drop.
    let leader = two.leader.start().await;
    assert_eq!((live_spans(&leader, 1).await, live_spans(&follower, 1).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_part_of_a_batch_does_not_speak_for_the_rest() {
    let two = Two::new();
    // Both follow; their leader is gone for ever.
    let (one, other) = two.start(Duration::from_millis(100)).await;
    follow_some(&one, &[1], 1, false).await;
    follow_some(&other, &[2], 1, false).await;
    one.hand_over(Duration::from_secs(10)).await.expect("its part is in storage");
    assert_eq!((two.leader.stored_spans(1).await, two.leader.stored_spans(2).await), (1, 0));
    other.hand_over(Duration::from_secs(10)).await.expect("its part is in storage");
    assert_eq!((two.leader.stored_spans(1).await, two.leader.stored_spans(2).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_over_was_admitted_before() {
    let place = Place::new();
    let options = Options {
        max_live_traces: Arc::new(|_| 1),
        max_trace_bytes: Arc::new(|_| 1),
        take_over_after: Duration::ZERO,
        ..place.options()
    };
    let ingester = place.start_with(options, MemoryBudget::new(1 << 30)).await;
    follow(&ingester, &[1, 2, 3], 1).await;
    ingester.hand_over(Duration::from_secs(10)).await.expect("in storage");
    for trace in [1, 2, 3] {
        assert_eq!(place.stored_spans(trace).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_does_not_hide_those_behind_it() {
    let two = Two::new();
    let (leader, follower) = two.start(Duration::from_secs(3600)).await;
    follow(&follower, &[1], 1).await;
    follow(&follower, &[2], 2).await;
    follow(&follower, &[3], 3).await;
    drop((leader, follower));
    let folder = two.follower.folder.path().join(TenantId::single().as_str()).join("followed");
    let file = std::fs::read_dir(&folder).expect("a folder").next().expect("a file").expect("read").path();
    let mut bytes = std::fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&file, bytes).expect("written");

    let (_leader, follower) = two.start(Duration::from_secs(3600)).await;
    let request =
        FindTraceRequest { trace_id: vec![3; 16].into(), with_followed: true, ..Default::default() };
    let found = follower.find_trace(&TenantId::single(), request).await.expect("an answer");
    assert_eq!((found.pieces.len(), found.failures.len()), (1, 1), "the damage is named, the rest is there");
    follower.hand_over(Duration::from_secs(10)).await.expect("what is whole is in storage");
    let stored = [1, 2, 3].map(|trace| two.leader.stored_spans(trace));
    assert_eq!(futures::future::join_all(stored).await, [1, 0, 1]);
    let left = std::fs::read_dir(folder).expect("a folder").next().expect("a file").expect("read").path();
    assert!(extension_of(&left).starts_with("damaged-"), "{}", left.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_neither_what_is_followed_nor_what_is_stored() {
    let two = Two::new();
    let (leader, follower) = two.start(Duration::from_secs(3600)).await;
    lead(&leader, &[1], 1).await;
    follow(&follower, &[1], 1).await;
    follow(&follower, &[2], 2).await;
    drop(follower);
    leader.flush(Duration::from_secs(10)).await.expect("flushed while the follower was away");
    drop(leader);

    // A torn record at the end, as a crash leaves it.
    let folder = two.follower.folder.path().join(TenantId::single().as_str()).join("followed");
    let file = std::fs::read_dir(folder).expect("a folder").next().expect("a file").expect("read").path();
    let mut bytes = std::fs::read(&file).expect("read");
    bytes.extend([7; 40]);
    std::fs::write(&file, bytes).expect("written");

    let (_leader, follower) = two.start(Duration::from_secs(3600)).await;
    assert_eq!((followed_spans(&follower, 1).await, followed_spans(&follower, 2).await), (1, 1));
    until("the answer of the leader", async || find(&follower, 1).await.fresh_blocks.len() == 1).await;
    assert_eq!(followed_spans(&follower, 2).await, 1, "what is not in storage stays");
    follower.hand_over(Duration::from_secs(10)).await.expect("taken over");
    assert_eq!((two.leader.stored_spans(1).await, two.leader.stored_spans(2).await), (1, 1));
    assert_eq!(followed_files(&two.follower), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_log_was_damaged_does_not_answer_alone() {
    let two = Two::new();
    let (leader, follower) = two.start(Duration::from_secs(3600)).await;
    lead(&leader, &[1], 1).await;
    lead(&leader, &[2], 2).await;
    follow(&follower, &[2], 2).await;
    drop((leader, follower));
    let folder = two.leader.folder.path().join(TenantId::single().as_str());
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("read").path());
    let log = files.into_iter().find(|path| path.extension().is_some_and(|e| e == "wal")).expect("a log");
    let bytes = std::fs::read(&log).expect("read");
    std::fs::write(&log, &bytes[..bytes.len() - 1]).expect("written");

    // After a second start too, which finds nothing wrong with the log any more.
    for start in ["first", "second"] {
        let (leader, follower) = two.start(Duration::from_secs(3600)).await;
        let request = FindTraceRequest { trace_id: vec![2; 16].into(), ..Default::default() };
        let alone = leader.find_trace(&TenantId::single(), request.clone()).await;
        assert_eq!(alone.expect_err(start).kind(), ErrorKind::Unavailable);
        let with_followed = FindTraceRequest { with_followed: true, ..request };
        let found = leader.find_trace(&TenantId::single(), with_followed).await.expect("an answer");
        assert!(!found.failures.is_empty(), "it says that something may be missing");
        assert_eq!(followed_spans(&follower, 2).await, 1, "the follower has it");
    }
    // Where nobody else has a copy, what is left is all there is.
    let leader = two.leader.start().await;
    let left = live_spans(&leader, 1).await.max(two.leader.stored_spans(1).await);
    assert_eq!((left, live_spans(&leader, 2).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_tells_its_followers_at_once() {
    let two = Two::new();
    let slow = |place: &Place| Options { flush_check_period: Duration::from_secs(3600), ..place.options() };
    let to_follower = Arc::new(Other::default());
    let follower = two.follower.start_with(slow(&two.follower), MemoryBudget::new(1 << 30)).await;
    to_follower.0.set(Arc::downgrade(&follower)).expect("set once");
    let options = Options { others: Some(to_follower as _), ..slow(&two.leader) };
    let leader = two.leader.start_with(options, MemoryBudget::new(1 << 30)).await;
    lead(&leader, &[1], 1).await;
    follow(&follower, &[1], 1).await;
    leader.flush(Duration::from_secs(10)).await.expect("flushed");
    until("the news", async || find(&follower, 1).await.fresh_blocks.len() == 1).await;
}
