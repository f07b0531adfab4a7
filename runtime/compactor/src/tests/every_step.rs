//! A compactor that is killed, held up, or refused at any of its requests: no span is ever missing, and the next finishes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use tempoform_block::{BlockStore, combine_traces};
use tempoform_core::{Account, TenantId, TraceId};
use tempoform_wire::otlp::TracesData;

use super::troubled_store::{Trouble, TroubledStore};
use super::{bucket, live, now, options, read, write};
use crate::{Compactor, Options};

type Traces = BTreeMap<TraceId, TracesData>;

/// Blocks to be merged, and what they come to.
async fn filled() -> (BlockStore, Arc<InMemory>, Traces) {
    let (store, objects) = bucket();
    for block in [
        BTreeMap::from([(1, vec![1, 2]), (2, vec![1]), (9, vec![9])]),
        BTreeMap::from([(1, vec![2, 3]), (3, vec![1, 2, 3])]),
        BTreeMap::from([(2, vec![1]), (4, vec![1])]),
    ] {
        write(&store, &block, now()).await;
    }
    let expected = readable(&store).await;
    (store, objects, expected)
}

/// Everything that live blocks have.
async fn readable(store: &BlockStore) -> Traces {
    let mut pieces: BTreeMap<TraceId, Vec<TracesData>> = BTreeMap::new();
    for block in live(store).await {
        for (id, piece) in read(store, block).await {
            pieces.entry(id).or_default().push(piece);
        }
    }
    pieces.into_iter().map(|(id, pieces)| (id, combine_traces(pieces))).collect()
}

/// Marked blocks are deleted at once, so that what was marked too early is gone.
fn hasty() -> Options {
    Options { compacted_retention: Duration::ZERO, ..options() }
}

/// What a compactor without trouble leaves: one block.
async fn finish(store: &BlockStore, expected: &Traces, what: &str) {
    tokio::time::sleep(Duration::from_millis(2)).await;
    for _ in 0..2 {
        Compactor::new(store.clone(), hasty()).cycle().await.expect("a cycle");
    }
    let listed = store.blocks(&TenantId::single(), &Account::default()).await.expect("listed");
    assert_eq!((listed.live.len(), listed.compacted.len()), (1, 0), "{what}");
    assert_eq!(&readable(store).await, expected, "{what}");
}

async fn at_every_request(trouble: Trouble) -> usize {
    for at in 1.. {
        let (store, objects, expected) = filled().await;
        let troubled = TroubledStore::new(&objects, trouble, at);
        let mut compactor = Compactor::new(troubled.store(), hasty());
        // Whether it fails or not, and says so or not: what counts is what is in the bucket.
        for _ in 0..2 {
            drop(compactor.cycle().await);
        }
        drop(compactor);
        let what = format!("{trouble:?} at request {at}");
        assert_eq!(readable(&store).await, expected, "{what}");
        finish(&store, &expected, &what).await;
        if !troubled.was_met() {
            return at - 1;
        }
    }
    unreachable!("two cycles end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_killed_at_any_request_loses_nothing() {
    let requests = at_every_request(Trouble::Killed).await;
    println!("killed at each of {requests} requests");
    assert!(requests > 20, "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_may_fail_alone() {
    let requests = at_every_request(Trouble::Fails).await;
    println!("each of {requests} requests failed alone");
    assert!(requests > 20, "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_compactor_may_do_the_same_at_any_moment() {
    for at in 1.. {
        let (store, objects, expected) = filled().await;
        let troubled = TroubledStore::new(&objects, Trouble::Waits, at);
        let mut held_up = Compactor::new(troubled.store(), options());
        let running = tokio::spawn(async move { drop(held_up.cycle().await) });
        let ended = tokio::select! {
            () = troubled.waits() => false,
            () = async { while !running.is_finished() { tokio::time::sleep(Duration::from_millis(1)).await } } => true,
        };
        // The other one's blocks have other row groups: its bytes are not the same.
        let other = Options { row_group_bytes: 64, ..options() };
        Compactor::new(store.clone(), other).cycle().await.expect("a cycle");
        troubled.go_on();
        running.await.expect("no panic");
        let what = format!("held up at request {at}");
        assert_eq!(readable(&store).await, expected, "{what}");
        finish(&store, &expected, &what).await;
        if ended {
            println!("held up at each of {} requests", at - 1);
            assert!(at > 15, "{at}");
            return;
        }
    }
}
