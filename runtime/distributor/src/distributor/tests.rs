use std::collections::BTreeMap;
use std::sync::Mutex;

use prost::Message as _;
use tempoform_core::{BatchId, Push, SpanSink, TraceId};
use tempoform_wire::otlp::{ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Span};

use super::*;
use crate::placement::Member;

/// Stands where an ingester would: remembers spans, fails, or hangs.
#[derive(Default)]
pub(crate) struct Recorder {
    fails_with: Option<ErrorKind>,
    hangs: bool,
    /// It answers this much later, and then refuses so many spans of each batch that it leads.
    late_refusal: Option<(Duration, u64)>,
    spans: Mutex<Vec<Vec<u8>>>,
    /// By batch: spans that it leads, and spans that it follows.
    led: Mutex<BTreeMap<BatchId, Vec<Vec<u8>>>>,
    followed: Mutex<BTreeMap<BatchId, Vec<Vec<u8>>>>,
}

#[async_trait::async_trait]
impl SpanSink for Recorder {
    async fn push(&self, _: &TenantId, push: Push) -> Result<Vec<PushOutcome>> {
        let mut outcomes = vec![PushOutcome::default(); push.led.len()];
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some((late, over_trace_bytes)) = self.late_refusal {
            tokio::time::sleep(late).await;
            outcomes.fill(PushOutcome { over_trace_bytes, over_live_traces: 0 });
        }
        if let Some(kind) = self.fails_with {
            return Err(Error::new(kind, "refused on purpose"));
        }
        for led in push.led {
            let spans = self.add(led.spans.payload);
            if let Some(id) = led.id {
                assert!(self.led.lock().expect("not poisoned").insert(id, spans).is_none(), "led once");
            }
        }
        for followed in push.followed {
            let spans = self.add(followed.spans.expand().expect("whole"));
            self.followed.lock().expect("not poisoned").entry(followed.id).or_default().extend(spans);
        }
        Ok(outcomes)
    }
}

impl Recorder {
    fn add(&self, payload: Bytes) -> Vec<Vec<u8>> {
        let batch = scan_export_request(payload).expect("a valid request");
        let spans: Vec<_> = batch.spans.iter().map(|span| batch.bytes(&span.span).to_vec()).collect();
        let mut all = self.spans.lock().expect("not poisoned");
        spans
            .iter()
            .filter(|span| !all.contains(span))
            .cloned()
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|span| all.push(span));
        spans
    }
}

/// Every batch is led whole, by whoever leads it: nothing that is followed is missing there.
fn assert_led_whole(sinks: &[Arc<Recorder>]) {
    let mut led: BTreeMap<BatchId, Vec<Vec<u8>>> = BTreeMap::new();
    for sink in sinks {
        for (id, spans) in &*sink.led.lock().expect("not poisoned") {
            let known = led.entry(*id).or_insert_with(|| spans.clone());
            assert_eq!(known, spans, "leaders of a batch have the same");
        }
    }
    for sink in sinks {
        for (id, spans) in &*sink.followed.lock().expect("not poisoned") {
            let led = led.get(id).expect("a batch without a leader");
            assert!(spans.iter().all(|span| led.contains(span)));
        }
    }
}

fn request(traces: u8, spans_each: u8) -> Bytes {
    let span =
        |trace: u8, id: u8| Span { trace_id: vec![trace; 16], span_id: vec![id; 8], ..Default::default() };
    let spans = (1..=spans_each).flat_map(|id| (1..=traces).map(move |trace| span(trace, id))).collect();
    let resource_spans = vec![ResourceSpans {
        scope_spans: vec![ScopeSpans { spans, ..Default::default() }],
        ..Default::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

pub(crate) fn options() -> Options {
    Options {
        multi_tenant: false,
        tenants: None,
        limits: Arc::new(|_| TenantLimits {
            rate_limit_bytes: 1 << 20,
            burst_size_bytes: 1 << 20,
            max_attribute_bytes: 2048,
            retry_info: true,
            max_trace_bytes: 5000,
            max_live_traces: 10,
        }),
        push_timeout: Duration::from_secs(5),
        retry_after: Duration::from_secs(5),
        max_request_bytes: 1 << 20,
        max_inflight_bytes: 1 << 20,
    }
}

pub(crate) fn distributor(sinks: &[Arc<Recorder>], replication_factor: usize) -> Arc<Distributor> {
    let members = sinks
        .iter()
        .enumerate()
        .map(|(at, sink)| Member::new(format!("ingester-{at}"), "", Arc::clone(sink) as Arc<dyn SpanSink>));
    let placement = Arc::new(Placement::new(members.collect(), replication_factor));
    Distributor::new(options(), Arc::new(move || Arc::clone(&placement)), MemoryBudget::new(4 << 20))
}

fn sinks(fail: [Option<ErrorKind>; 3]) -> Vec<Arc<Recorder>> {
    fail.into_iter().map(|fails_with| Arc::new(Recorder { fails_with, ..Recorder::default() })).collect()
}

/// Copies of each span over all sinks.
fn copies(sinks: &[Arc<Recorder>]) -> BTreeMap<Vec<u8>, usize> {
    let mut copies = BTreeMap::new();
    for sink in sinks {
        for span in &*sink.spans.lock().expect("not poisoned") {
            *copies.entry(span.clone()).or_default() += 1;
        }
    }
    copies
}

async fn receive(sinks: &[Arc<Recorder>], replication_factor: usize) -> Result<PushOutcome> {
    export(&distributor(sinks, replication_factor), request(40, 2)).await
}

async fn export(distributor: &Distributor, request: Bytes) -> Result<PushOutcome> {
    let place = distributor.admit(request.len() as u64)?;
    distributor.receive(Source::OTLP_GRPC, &TenantId::single(), request, place).await
}

#[tokio::test]
async fn each_trace_goes_whole_to_one_of_three_ingesters() {
    let sinks = sinks([None; 3]);
    receive(&sinks, 1).await.expect("accepted");
    assert_eq!(copies(&sinks).len(), 80);
    assert!(copies(&sinks).values().all(|copies| *copies == 1));
    for sink in &sinks {
        let mut spans_of: BTreeMap<TraceId, usize> = BTreeMap::new();
        for span in &*sink.spans.lock().expect("not poisoned") {
            let span = Span::decode(span.as_slice()).expect("a span");
            *spans_of.entry(TraceId::from_slice(&span.trace_id).expect("16 bytes")).or_default() += 1;
        }
        assert!(!spans_of.is_empty(), "every ingester has a share");
        assert!(spans_of.values().all(|spans| *spans == 2), "both spans of a trace in one place");
    }
}

#[tokio::test]
async fn a_failing_owner_is_stood_in_for() {
    let sinks = sinks([None, Some(ErrorKind::Unavailable), None]);
    receive(&sinks, 1).await.expect("accepted by the others");
    assert_eq!(copies(&sinks).len(), 80);
}

#[tokio::test]
async fn two_of_three_copies_are_enough_and_one_is_not() {
    let one_fails = sinks([None, None, Some(ErrorKind::Unavailable)]);
    receive(&one_fails, 3).await.expect("a quorum");
    assert!(copies(&one_fails).values().all(|copies| *copies == 2));
    assert_led_whole(&one_fails);
    let led: usize = one_fails
        .iter()
        .flat_map(|sink| sink.led.lock().expect("not poisoned").clone())
        .map(|(_, spans)| spans.len())
        .sum();
    assert_eq!(led, 80, "each span is led once");

    let two_fail = sinks([None, Some(ErrorKind::Exhausted), Some(ErrorKind::Exhausted)]);
    let error = receive(&two_fail, 3).await.expect_err("no quorum");
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(error.message().contains("ingester ingester-"), "{error}");
}

#[tokio::test]
async fn each_span_has_one_leader_and_its_other_owners_follow() {
    for ingesters in [3, 7] {
        let sinks: Vec<_> = (0..ingesters).map(|_| Arc::<Recorder>::default()).collect();
        receive(&sinks, 3).await.expect("accepted");
        // The last copies are on their way when the request is acknowledged.
        tokio::task::yield_now().await;
        assert_eq!(copies(&sinks).len(), 80);
        assert!(copies(&sinks).values().all(|copies| *copies == 3));
        assert_led_whole(&sinks);
        let sum = |of: &dyn Fn(&Recorder) -> usize| sinks.iter().map(|sink| of(sink)).sum::<usize>();
        assert_eq!(sum(&|sink| sink.led.lock().expect("not poisoned").values().map(Vec::len).sum()), 80);
        assert_eq!(
            sum(&|sink| sink.followed.lock().expect("not poisoned").values().map(Vec::len).sum()),
            160
        );
        assert!(
            sinks.iter().all(|sink| sink.led.lock().expect("not poisoned").len() <= 1),
            "one batch a leader"
        );
    }
}

#[tokio::test]
async fn without_enough_ingesters_nothing_is_acknowledged() {
    let none = receive(&[], 1).await.expect_err("nobody to write to");
    assert_eq!(none.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn tenants_are_checked_before_anything_is_read() {
    let known: TenantId = "team-a".parse().expect("a name");
    let options =
        Options { multi_tenant: true, tenants: Some(Arc::new(BTreeSet::from([known.clone()]))), ..options() };
    let distributor =
        Distributor::new(options, Arc::new(|| Arc::new(Placement::new(Vec::new(), 1))), MemoryBudget::new(1));
    let kind = |header| distributor.tenant(header).map_err(|error| error.kind());
    assert_eq!(kind(Some("team-a")), Ok(known));
    assert_eq!(kind(None), Err(ErrorKind::Unauthenticated));
    assert_eq!(kind(Some("team-b")), Err(ErrorKind::Forbidden));
    assert_eq!(kind(Some("team-a|team-b")), Err(ErrorKind::Invalid));
    assert_eq!(kind(Some("../etc")), Err(ErrorKind::Invalid));
}

#[tokio::test]
async fn over_the_memory_ceiling_a_request_is_refused_with_a_hint() {
    let sinks = sinks([None; 3]);
    let placement = Arc::new(Placement::new(
        vec![Member::new("ingester-0", "", Arc::clone(&sinks[0]) as Arc<dyn SpanSink>)],
        1,
    ));
    let small = Distributor::new(options(), Arc::new(move || Arc::clone(&placement)), MemoryBudget::new(100));
    let error = export(&small, request(40, 2)).await.expect_err("too much");
    assert_eq!((error.kind(), error.retry_hint()), (ErrorKind::Exhausted, Some(Duration::from_secs(5))));
    assert!(copies(&sinks).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_ingester_holds_up_nobody() {
    let hangs = || Arc::new(Recorder { hangs: true, ..Recorder::default() });
    let works = Arc::<Recorder>::default;
    let sinks = [works(), hangs(), works()];
    let started = tokio::time::Instant::now();
    let distributor = distributor(&sinks, 3);
    export(&distributor, request(40, 2)).await.expect("a quorum without it");
    assert!(started.elapsed() <= Duration::from_millis(501), "a tenth of the time: {:?}", started.elapsed());
    assert_led_whole(&sinks);
    let started = tokio::time::Instant::now();
    export(&distributor, request(40, 3)).await.expect("a quorum without it");
    assert!(
        started.elapsed() < Duration::from_millis(10),
        "it leads nothing for a while: {:?}",
        started.elapsed()
    );

    let sinks = [works(), hangs(), works()];
    let started = tokio::time::Instant::now();
    receive(&sinks, 1).await.expect("others stand in");
    assert_eq!(copies(&sinks).len(), 80);
    assert!(started.elapsed() <= Duration::from_millis(501), "a tenth of the time: {:?}", started.elapsed());

    let error = receive(&[works(), hangs(), hangs()], 3).await.expect_err("no quorum");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn what_a_late_leader_refused_is_no_copy_of_what_another_took() {
    // One is down and one comes late and refuses spans for a limit: of some the third has the only copy.
    let late_refusal = Some((Duration::from_secs(1), 1));
    let late = Arc::new(Recorder { late_refusal, ..Recorder::default() });
    let down = Arc::new(Recorder { fails_with: Some(ErrorKind::Unavailable), ..Recorder::default() });
    let refused = receive(&[Arc::clone(&late), down, Arc::default()], 3).await;
    assert_eq!(refused.expect_err("one copy is no quorum").kind(), ErrorKind::Unavailable);

    // Where it leads alone, that is the tenant's limit at work.
    let outcome = receive(&[late], 1).await.expect("taken");
    assert_eq!(outcome, PushOutcome { over_trace_bytes: 1, over_live_traces: 0 });
}

#[tokio::test]
async fn a_refusal_for_want_of_room_says_when_to_try_again() {
    let full = sinks([Some(ErrorKind::Exhausted); 3]);
    let error = receive(&full, 1).await.expect_err("disks are full");
    assert_eq!((error.kind(), error.retry_hint()), (ErrorKind::Exhausted, Some(Duration::from_secs(5))));
    let crowded = distributor(&sinks([None; 3]), 1);
    let _others = crowded.admit(1 << 20).expect("fits exactly");
    let error = crowded.admit(1).expect_err("no room");
    assert_eq!((error.kind(), error.retry_hint()), (ErrorKind::Exhausted, Some(Duration::from_secs(5))));
}

#[tokio::test]
async fn what_goes_wrong_between_ingesters_and_us_is_no_reason_for_clients_to_drop_spans() {
    for kind in [ErrorKind::Invalid, ErrorKind::Internal, ErrorKind::Corrupt, ErrorKind::Timeout] {
        let fail = sinks([Some(kind); 3]);
        for (sinks, replication_factor) in [(&fail[..], 3), (&fail[..], 1), (&fail[..1], 1)] {
            let error = receive(sinks, replication_factor).await.expect_err("refused on purpose");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{kind:?} from {} ingesters", sinks.len());
            assert!(error.message().contains("refused on purpose"), "{error}");
        }
    }
}

/// Looks how much memory is reserved when a write comes, and does not answer.
struct Looks(MemoryBudget, Arc<Mutex<Vec<u64>>>);

#[async_trait::async_trait]
impl SpanSink for Looks {
    async fn push(&self, _: &TenantId, _: Push) -> Result<Vec<PushOutcome>> {
        self.1.lock().expect("not poisoned").push(self.0.used());
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_reserved_by_the_number_of_spans_too() {
    let (memory, seen) = (MemoryBudget::new(1 << 30), Arc::<Mutex<Vec<u64>>>::default());
    let sink = Arc::new(Looks(memory.clone(), Arc::clone(&seen)));
    let members = (0..5).map(|at| Member::new(format!("ingester-{at}"), "", Arc::clone(&sink) as _));
    let placement = Arc::new(Placement::new(members.collect(), 3));
    let distributor = Distributor::new(options(), Arc::new(move || Arc::clone(&placement)), memory.clone());
    // Each span is of another trace than the one before.
    let request = request(250, 20);
    let (bytes, spans) = (request.len() as u64, 250 * 20);
    export(&distributor, request).await.expect_err("nobody answers");
    let seen = seen.lock().expect("not poisoned").clone();
    // References of the request, its parts and messages; the order of five members for each span; its copies.
    let needed = bytes * 2 + spans * (3 * 32 + 5 * 4 + 32);
    assert!(seen.iter().all(|seen| *seen >= needed), "{needed} bytes are needed: {seen:?}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(memory.used(), 0, "given back");
}
