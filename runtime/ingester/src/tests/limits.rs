//! What is refused, and that the rest is not.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn traces_over_their_limits_are_refused_by_the_span() {
    let place = Place::new();
    let one_span = batch(&request(&[1], 1)).spans[0].span.len() as u64;
    let options = Options {
        // Two spans with their tags and lengths, and not a third.
        max_trace_bytes: Arc::new(move |_| one_span * 2 + 16),
        max_live_traces: Arc::new(|_| 2),
        ..place.options()
    };
    let ingester = place.start_with(options, MemoryBudget::new(1 << 30)).await;
    let rejected = async |traces: &[u8], id| {
        let outcome = push(&ingester, traces, id).await.expect("taken");
        (outcome.over_live_traces, outcome.over_trace_bytes)
    };
    assert_eq!(rejected(&[1, 2], 1).await, (0, 0));
    assert_eq!(rejected(&[1, 2, 3], 2).await, (1, 0), "a third live trace");
    assert_eq!(rejected(&[1], 3).await, (0, 1), "a third span of a trace that may have two");
    let live =
        [live_spans(&ingester, 1).await, live_spans(&ingester, 2).await, live_spans(&ingester, 3).await];
    assert_eq!(live, [2, 2, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn short_memory_cuts_a_block_and_takes_writes_again() {
    let place = Place::new();
    let memory = MemoryBudget::new(40 << 20);
    let options = Options { row_group_bytes: 1 << 20, max_block_bytes: 1 << 20, ..place.options() };
    let ingester = place.start_with(options, memory.clone()).await;
    push(&ingester, &[1], 1).await.expect("acknowledged");
    let hog = memory.reserve(memory.limit() - memory.used(), "a test").expect("all that is left");
    let refused = push(&ingester, &[2], 2).await.expect_err("no memory");
    assert_eq!(refused.kind(), tempoform_core::ErrorKind::Exhausted);
    drop(hog);
    push(&ingester, &[2], 2).await.expect("there is memory again");
    assert_eq!(
        (live_spans(&ingester, 1).await + place.stored_spans(1).await, live_spans(&ingester, 2).await),
        (1, 1)
    );
    ingester.flush(std::time::Duration::from_secs(10)).await.expect("flushed");
    let started = std::time::Instant::now();
    while memory.used() > 0 && started.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(memory.used(), 0, "everything that was held is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_places_of_a_traces_spans_are_paid_for() {
    let place = Place::new();
    let memory = MemoryBudget::new(1 << 30);
    let ingester = place.start_with(place.options(), memory.clone()).await;
    // Spans that do not follow each other have a place each.
    push(&ingester, &[1, 2].repeat(10_000), 1).await.expect("acknowledged");
    push(&ingester, &[3], 1).await.expect("acknowledged");
    assert_eq!(searched(&ingester, "{}").await, 3);
    // Room for what a search has from its beginning, and not for 10000 places of 28 bytes.
    let left = (32 << 20) + 20_001 * 28 + 100_000;
    let hog = memory.reserve(memory.limit() - memory.used() - left, "a test").expect("all but that");
    let request = SearchRequest { query: "{}".to_owned(), limit: 1000, ..Default::default() };
    let found = ingester.search(&TenantId::single(), request).await.expect("an answer");
    assert_eq!((found.traces.len(), found.failures.len()), (1, 2), "{:?}", found.failures);
    assert!(found.failures[0].message.contains("the places of a trace's spans"), "{:?}", found.failures);

    let most = memory.reserve(memory.limit() - memory.used() - 100_000, "a test").expect("the rest");
    let request = FindTraceRequest { trace_id: vec![1; 16].into(), ..Default::default() };
    let refused = ingester.find_trace(&TenantId::single(), request).await.expect_err("no room");
    assert!(refused.message().contains("the places of a trace's spans"), "{refused}");
    assert_eq!(live_spans(&ingester, 3).await, 1);
    drop((hog, most));
    assert_eq!(searched(&ingester, "{}").await, 3, "all is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_write_its_log_is_not_ready_until_it_can() {
    let place = Place::new();
    let ingester = place.start().await;
    let folder = place.folder.path().join(TenantId::single().as_str());
    std::fs::write(&folder, "in the way").expect("written");
    push(&ingester, &[1], 1).await.expect_err("no place for a log");
    let why = ingester.check().expect_err("not ready");
    assert!(why.contains("write-ahead log") && why.contains("cannot be written"), "{why}");
    // Without a client that tries.
    std::fs::remove_file(&folder).expect("removed");
    while ingester.check().is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(std::fs::read_dir(&folder).expect("made").count(), 0, "nothing of the trial stays");
    push(&ingester, &[1], 1).await.expect("taken again");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_stop_and_go_on_as_told() {
    let place = Place::new();
    let ingester = place.start().await;
    assert_eq!(ingester.check(), Ok(()));
    ingester.stop_writes();
    let refused = push(&ingester, &[1], 1).await.expect_err("stopped");
    assert_eq!(refused.kind(), tempoform_core::ErrorKind::Unavailable);
    assert!(ingester.check().is_err());
    ingester.resume_writes();
    push(&ingester, &[1], 1).await.expect("taken again");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_kept_apart_and_written_in_one_go() {
    let place = Place::new();
    let ingester = place.start().await;
    let tenants: Vec<TenantId> = (0..40).map(|n| format!("tenant-{n}").parse().expect("a name")).collect();
    let pushes = tenants.iter().map(|tenant| ingester.push(tenant, batch(&request(&[1], 1)).into()));
    for pushed in futures::future::join_all(pushes).await {
        pushed.expect("acknowledged");
    }
    for tenant in &tenants {
        let request = FindTraceRequest { trace_id: vec![1; 16].into(), ..Default::default() };
        let found = ingester.find_trace(tenant, request).await.expect("an answer");
        assert_eq!(found.pieces.len(), 1, "{tenant}");
    }
    assert_eq!(live_spans(&ingester, 1).await, 0, "another tenant");
}
