//! From the log to storage: nothing goes before it is there.

use std::fs;
use std::time::{Duration, Instant};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_found_at_every_stage() {
    let place = Place::new();
    let ingester = place.start().await;
    push(&ingester, &[1, 2], 1).await.expect("acknowledged");
    push(&ingester, &[1], 2).await.expect("acknowledged");
    assert_eq!((live_spans(&ingester, 1).await, live_spans(&ingester, 2).await), (2, 1));
    assert_eq!(live_spans(&ingester, 9).await, 0);
    assert_eq!((searched(&ingester, "{}").await, searched(&ingester, "{ name = `span 2` }").await), (2, 1));

    ingester.flush(Duration::from_secs(10)).await.expect("flushed");
    assert_eq!((live_spans(&ingester, 1).await, place.stored_spans(1).await), (0, 2), "moved to storage");
    assert_eq!(find(&ingester, 1).await.fresh_blocks.len(), 1, "readers are told of the new block");
    assert!(place.files("wal").is_empty() && place.files("idx").is_empty(), "the log went");

    push(&ingester, &[1], 3).await.expect("acknowledged");
    assert_eq!((live_spans(&ingester, 1).await, place.stored_spans(1).await), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_storage_refuses_the_log_stays_and_a_restart_loses_nothing() {
    let place = Place::new();
    let ingester = place.start().await;
    place.moody.refuse(true);
    push(&ingester, &[1, 2], 1).await.expect("acknowledged");
    let failed = ingester.flush(Duration::from_millis(300)).await.expect_err("storage refuses");
    assert!(failed.message().contains("stay on disk"), "{failed}");
    assert!(place.moody.refused() > 0);
    assert_eq!((live_spans(&ingester, 1).await, searched(&ingester, "{}").await), (1, 2), "still readable");
    push(&ingester, &[3], 2).await.expect("writes go on");
    drop(ingester);

    let ingester = place.start().await;
    assert_eq!((live_spans(&ingester, 1).await, live_spans(&ingester, 3).await), (1, 1));
    place.moody.refuse(false);
    ingester.flush(Duration::from_secs(10)).await.expect("storage works again");
    assert_eq!((place.stored_spans(1).await, place.stored_spans(3).await), (1, 1));
    assert!(place.files("wal").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_log_went_repeats_the_upload_and_doubles_nothing() {
    let place = Place::new();
    let ingester = place.start().await;
    push(&ingester, &[1], 1).await.expect("acknowledged");
    let segment = place.files("wal").pop().expect("a segment");
    let kept = fs::read(&segment).expect("readable");
    ingester.flush(Duration::from_secs(10)).await.expect("flushed");
    drop(ingester);

    // As if the process had died before it removed the log, once without and once with its note of the upload.
    fs::write(&segment, &kept).expect("written");
    let note = place.files("flushed").pop().expect("a note");
    let noted = fs::read(&note).expect("readable");
    fs::remove_file(&note).expect("removed");
    let ingester = place.start().await;
    assert_eq!(live_spans(&ingester, 1).await, 1);
    ingester.flush(Duration::from_secs(10)).await.expect("flushed again");
    assert_eq!(place.stored_spans(1).await, 1, "the same block, not a second one");
    drop(ingester);

    fs::write(&segment, &kept).expect("written");
    fs::write(&note, &noted).expect("written");
    let ingester = place.start().await;
    assert_eq!(live_spans(&ingester, 1).await, 0, "it is known to be in storage");
    assert!(!segment.exists());
    assert_eq!(find(&ingester, 1).await.fresh_blocks.len(), 1, "readers are told of it still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_does_not_wait_for_what_comes_after_it() {
    let place = Place::new();
    let ingester = place.start().await;
    push(&ingester, &[1], 1).await.expect("acknowledged");
    let writer = Arc::clone(&ingester);
    let writes = tokio::spawn(async move {
        for id in 2..=200 {
            push(&writer, &[2], id).await.expect("acknowledged");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let started = Instant::now();
    ingester.flush(Duration::from_secs(10)).await.expect("flushed under load");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(place.stored_spans(1).await, 1);
    writes.await.expect("all acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_a_sealed_segment_is_found_and_costs_only_itself() {
    let place = Place::new();
    let ingester = place.start().await;
    place.moody.refuse(true);
    for id in 1..=4 {
        push(&ingester, &[id], id).await.expect("acknowledged");
    }
    ingester.flush(Duration::from_millis(200)).await.expect_err("storage refuses");
    drop(ingester);
    assert_eq!(place.files("idx").len(), 1, "sealed");
    let segment = place.files("wal").pop().expect("a segment");
    let mut bytes = fs::read(&segment).expect("readable");
    let last = bytes.len() - 4;
    bytes[last] ^= 0x55;
    fs::write(&segment, bytes).expect("written");

    place.moody.refuse(false);
    let ingester = place.start().await;
    let started = Instant::now();
    while !place.files("wal").is_empty() && started.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stored = [
        place.stored_spans(1).await,
        place.stored_spans(2).await,
        place.stored_spans(3).await,
        place.stored_spans(4).await,
    ];
    assert_eq!(stored, [1, 1, 1, 0], "what is whole is in storage, the damaged record is not passed on");
    assert_eq!(place.files("damaged").len(), 1, "it is set aside");
    drop(ingester);
}
