//! A trace that is too large to be worked on in one piece.

use std::time::Duration;

use tempoform_core::ErrorKind;

use super::*;

/// Requests with a span each, of this many bytes: two fit into the smallest part that there is, of 4 MiB.
const SPAN_BYTES: usize = 1_500_000;
const SPANS: u8 = 8;

async fn push_large(ingester: &Ingester, trace: u8) {
    for id in 1..=SPANS {
        let mut request = request(&[trace], id);
        request.resource_spans[0].scope_spans[0].spans[0].name = "n".repeat(SPAN_BYTES);
        ingester.push(&TenantId::single(), batch(&request).into()).await.expect("acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_stored_in_parts_and_no_block_has_it_twice() {
    let place = Place::new();
    let ingester = place.start_with(place.options(), MemoryBudget::new(64 << 20)).await;
    push_large(&ingester, 2).await;
    push(&ingester, &[1, 2, 3], 100).await.expect("acknowledged");
    let segment = place.files("wal").pop().expect("a segment");
    let kept = std::fs::read(&segment).expect("readable");
    ingester.flush(Duration::from_secs(30)).await.expect("flushed");
    let stored = [place.stored_spans(1).await, place.stored_spans(2).await, place.stored_spans(3).await];
    assert_eq!(stored, [1, usize::from(SPANS) + 1, 1]);
    let blocks = place.store.blocks(&TenantId::single(), &Account::default()).await.expect("listed").live;
    assert_eq!(blocks.len(), 4, "two spans a part, and the small one with the last");
    assert_eq!(find(&ingester, 2).await.fresh_blocks.len(), 4, "readers are told of all");
    assert!(place.files("wal").is_empty() && place.files("idx").is_empty(), "the log went");
    drop(ingester);

    // As if the process had died before it removed the log: the same blocks are written again, or it just goes.
    std::fs::write(&segment, &kept).expect("written");
    let ingester = place.start_with(place.options(), MemoryBudget::new(64 << 20)).await;
    assert!(place.files("wal").is_empty(), "the note of the last block says that all are there");
    assert_eq!(find(&ingester, 2).await.fresh_blocks.len(), 4);
    drop(ingester);
    place.files("flushed").iter().for_each(|note| std::fs::remove_file(note).expect("removed"));
    std::fs::write(&segment, &kept).expect("written");
    let ingester = place.start_with(place.options(), MemoryBudget::new(64 << 20)).await;
    ingester.flush(Duration::from_secs(30)).await.expect("flushed");
    let again = place.store.blocks(&TenantId::single(), &Account::default()).await.expect("listed").live;
    assert_eq!((again.len(), place.stored_spans(2).await), (4, usize::from(SPANS) + 1), "nothing is doubled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_refused_and_named_and_the_rest_is_answered() {
    let place = Place::new();
    let ingester = place.start_with(place.options(), MemoryBudget::new(40 << 20)).await;
    push_large(&ingester, 2).await;
    push(&ingester, &[1], 100).await.expect("acknowledged");
    let lookup = FindTraceRequest { trace_id: vec![2; 16].into(), ..Default::default() };
    let refused = ingester.find_trace(&TenantId::single(), lookup).await.expect_err("more than an eighth");
    assert_eq!(refused.kind(), ErrorKind::Exhausted);
    assert!(refused.message().contains("0202"), "it names the trace: {refused}");
    assert_eq!(live_spans(&ingester, 1).await, 1);

    let request = SearchRequest { query: "{}".to_owned(), limit: 10, ..Default::default() };
    let found = ingester.search(&TenantId::single(), request).await.expect("an answer");
    assert_eq!((found.traces.len(), found.failures.len()), (1, 1));
    assert!(found.failures[0].source.contains("0202"), "{:?}", found.failures);
}
