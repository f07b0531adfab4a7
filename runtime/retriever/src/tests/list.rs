//! Which blocks are known, and when.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use tempoform_block::{BlockMeta, BlockPath, BlockVersion, TenantIndex};
use tempoform_core::{Account, ErrorKind};
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::block_list::{BlockList, TenantBlocks};

fn store(bucket: &Path) -> BlockStore {
    BlockStore::local(bucket, StoreOptions::default(), None).unwrap()
}

fn meta(block: &Path) -> BlockMeta {
    BlockMeta::from_json(&std::fs::read(block.join("meta.json")).unwrap()).unwrap()
}

async fn blocks_searched(retriever: &Retriever) -> u32 {
    search(retriever, everything("{}")).await.blocks
}

#[tokio::test]
async fn nothing_is_said_before_the_first_poll() {
    let retriever = unpolled(&Bucket::named("v2.10.8-vp4-default").folder, options());
    assert!(!retriever.is_ready());
    let error = retriever.search(&tenant(), everything("{}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    retriever.poll().await.unwrap();
    assert!(retriever.is_ready());
    assert_eq!(blocks_searched(&retriever).await, 1);
    let stranger = retriever.search(&"stranger".parse().unwrap(), everything("{}")).await.unwrap();
    assert!(stranger.traces.is_empty() && stranger.failures.is_empty());
}

#[tokio::test]
async fn a_fresh_index_saves_reading_metas_and_hides_no_newer_block() {
    let (bucket, blocks) = bucket_of(&["v2.10.8-vp4-default", "v3.0.3-vp5-default"]);
    let write = async |age: i64| {
        let created_at = Timestamp::now() - age.seconds();
        let index = TenantIndex { created_at, live: vec![meta(&blocks[0])], compacted: Vec::new() };
        store(bucket.path()).write_tenant_index(&tenant(), &index, &Account::default()).await.unwrap();
    };
    let requests = async |max_index_age| {
        let retriever = unpolled(bucket.path(), RetrieverOptions { max_index_age, ..options() });
        retriever.poll().await.unwrap();
        let requests = retriever.account().snapshot().requests;
        assert_eq!(blocks_searched(&retriever).await, 2, "the index lists only one of them");
        requests
    };
    let ten_minutes = Some(Duration::from_secs(600));
    write(0).await;
    let with_index = requests(ten_minutes).await;
    write(3600).await;
    assert!(with_index < requests(ten_minutes).await, "the meta in the index need not be read");
    assert_eq!(with_index, requests(None).await, "any index will do");

    std::fs::write(bucket.path().join("single-tenant/index.pb.zst"), b"damaged").unwrap();
    assert!(with_index < requests(None).await, "a damaged index is passed over");
}

#[tokio::test]
async fn a_block_newer_than_the_index_and_compacted_since_is_still_read() {
    let (bucket, blocks) = bucket_of(&["v2.10.8-vp4-default", "v3.0.3-vp5-default"]);
    let (store, account) = (store(bucket.path()), Account::default());
    let index =
        TenantIndex { created_at: Timestamp::now(), live: vec![meta(&blocks[0])], compacted: Vec::new() };
    store.write_tenant_index(&tenant(), &index, &account).await.unwrap();
    // As if its folder had been listed before, and the merged block's had not.
    let path = BlockPath::new(tenant(), meta(&blocks[1]).block_id);
    store.mark_compacted(&path, &account).await.unwrap();
    let retriever = retriever(bucket.path()).await;
    assert_eq!(blocks_searched(&retriever).await, 2);
}

/// The age of the index of the tenant, as `/metrics` has it.
fn index_age(tenant: &str) -> Option<f64> {
    let families = prometheus::gather();
    let ages =
        families.iter().find(|family| family.name() == "tempodb_blocklist_tenant_index_age_seconds")?;
    let of_tenant = |metric: &&prometheus::proto::Metric| metric.get_label()[0].value() == tenant;
    Some(ages.get_metric().iter().find(of_tenant)?.get_gauge().get_value())
}

#[tokio::test]
async fn the_age_of_an_index_is_that_of_its_content() {
    let bucket = tempfile::tempdir().unwrap();
    let tenant: TenantId = "aged".parse().unwrap();
    let created_at = Timestamp::now() - 1000.seconds();
    let live = vec![BlockMeta::new(BlockVersion::VParquet4, Uuid::from_u128(1), "aged")];
    let index = TenantIndex { created_at, live, compacted: Vec::new() };
    store(bucket.path()).write_tenant_index(&tenant, &index, &Account::default()).await.unwrap();
    let retriever = retriever(bucket.path()).await;
    let age = index_age("aged").unwrap();
    assert!((1000.0..2000.0).contains(&age), "{age}");
    std::fs::remove_dir_all(bucket.path().join("aged")).unwrap();
    retriever.poll().await.unwrap();
    assert_eq!(index_age("aged"), None);
}

/// Makes the list as old as if polls had failed since.
fn age(retriever: &Retriever, age: Duration) {
    let mut list = BlockList::clone(retriever.list.read().unwrap().as_deref().unwrap());
    list.polled -= age;
    for blocks in list.tenants.values_mut() {
        *blocks = Arc::new(TenantBlocks::clone(blocks).polled_at(list.polled));
    }
    *retriever.list.write().unwrap() = Some(Arc::new(list));
}

#[tokio::test]
async fn a_list_that_others_do_not_wait_for_any_more_is_told() {
    let (bucket, _) = bucket_of(&["v2.10.8-vp4-default"]);
    let retriever = retriever(bucket.path()).await;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let failures = async |tenant: TenantId| {
        let found = find_of(&retriever, &tenant, TraceId::new([7; 16])).await.failures;
        assert_eq!(retriever.search(&tenant, everything("{}")).await.unwrap().failures, found);
        found
    };
    age(&retriever, minutes(11));
    assert_eq!(failures(tenant()).await, []);
    age(&retriever, minutes(2));
    for asked in [tenant(), "new".parse().unwrap()] {
        let found = failures(asked).await;
        let [failure] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(failure.source, "the block list");
        assert!(failure.message.starts_with("is 13 min old"), "{failure:?}");
    }
    retriever.poll().await.unwrap();
    assert_eq!(failures(tenant()).await, []);
}

#[tokio::test]
async fn polling_finds_what_comes_and_goes() {
    let (bucket, blocks) = bucket_of(&["v2.10.8-vp4-default", "v3.0.3-vp5-default"]);
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(&blocks[1], elsewhere.path().join("away")).unwrap();
    let retriever = retriever(bucket.path()).await;
    assert_eq!(blocks_searched(&retriever).await, 1);
    std::fs::rename(elsewhere.path().join("away"), &blocks[1]).unwrap();
    retriever.poll().await.unwrap();
    assert_eq!(blocks_searched(&retriever).await, 2);
    std::fs::remove_dir_all(&blocks[0]).unwrap();
    retriever.poll().await.unwrap();
    let answer = search(&retriever, everything("{}")).await;
    assert_eq!((answer.blocks, answer.failures.len()), (1, 0));
}

#[tokio::test]
async fn retrievers_share_the_blocks() {
    let (bucket, _) = bucket_of(&["v2.10.8-vp4-default", "v3.0.3-vp5-default"]);
    let retriever = retriever(bucket.path()).await;
    let whole = search(&retriever, everything("{}")).await;
    let ids = |answer: &SearchResponse| -> BTreeSet<String> {
        answer.traces.iter().map(|trace| trace.trace_id.clone()).collect()
    };
    let (mut blocks, mut found) = (Vec::new(), BTreeSet::new());
    let retrievers: Vec<String> = (0..4).map(|number| format!("retriever-{number}")).collect();
    for share_of in &retrievers {
        let (retrievers, share_of) = (retrievers.clone(), share_of.clone());
        let part = search(&retriever, SearchRequest { retrievers, share_of, ..everything("{}") }).await;
        blocks.push(part.blocks);
        found.extend(ids(&part));
    }
    assert_eq!(blocks.iter().sum::<u32>(), whole.blocks, "{blocks:?}");
    assert!(blocks.contains(&0), "two blocks for four retrievers: {blocks:?}");
    assert_eq!(found, ids(&whole));
}

#[tokio::test]
async fn a_listed_live_block_that_vanished_is_a_gap() {
    let (bucket, blocks) = bucket_of(&["v2.10.8-vp4-default"]);
    let retriever = retriever(bucket.path()).await;
    std::fs::remove_dir_all(&blocks[0]).unwrap();
    assert_eq!(search(&retriever, everything("{}")).await.failures.len(), 1);
}

#[tokio::test]
async fn a_block_uploaded_lately_is_read_before_it_is_listed() {
    let (bucket, blocks) = bucket_of(&["v2.10.8-vp4-default"]);
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(bucket.path().join("single-tenant"), elsewhere.path().join("away")).unwrap();
    let retriever = retriever(bucket.path()).await;
    std::fs::rename(elsewhere.path().join("away"), bucket.path().join("single-tenant")).unwrap();

    let (id, _) = Bucket::named("v2.10.8-vp4-default").golden().swap_remove(7);
    assert!(find(&retriever, id).await.pieces.is_empty());
    let fresh = meta(&blocks[0]).to_json();
    let request = FindTraceRequest {
        trace_id: id.as_bytes().to_vec().into(),
        fresh_blocks: vec![fresh.clone().into(), fresh.into(), b"noise".to_vec().into()],
        ..Default::default()
    };
    let answer = retriever.find_trace(&tenant(), request.clone()).await.unwrap();
    assert_eq!((answer.pieces.len(), answer.failures.len()), (1, 1), "{:?}", answer.failures);

    retriever.poll().await.unwrap();
    let answer = retriever.find_trace(&tenant(), request).await.unwrap();
    assert_eq!(answer.pieces.len(), 1, "a block that is listed and fresh is read once");
}

/// What a crash in the middle of a flush leads to: the block is there again under its id, with other bytes.
fn write_again(block: &Path) {
    let other = &Bucket::named("v3.0.3-vp4-default").block_folder();
    let id = block.file_name().unwrap().to_str().unwrap();
    let old_id = other.file_name().unwrap().to_str().unwrap();
    for object in ["data.parquet", "bloom-0"] {
        std::fs::copy(other.join(object), block.join(object)).unwrap();
    }
    let meta = std::fs::read_to_string(other.join("meta.json")).unwrap().replace(old_id, id);
    std::fs::write(block.join("meta.json"), meta).unwrap();
}

#[tokio::test]
async fn a_block_that_was_written_again_is_read_as_it_is() {
    let (bucket, blocks) = bucket_of(&["v2.10.8-vp4-default"]);
    let retriever = retriever(bucket.path()).await;
    let query = everything("{ status = error }");
    let before = search(&retriever, query.clone()).await;
    write_again(&blocks[0]);
    let fresh = vec![meta(&blocks[0]).to_json().into()];
    let named = search(&retriever, SearchRequest { fresh_blocks: fresh, ..query.clone() }).await;
    assert!(named.failures.is_empty(), "{:?}", named.failures);
    assert_eq!((named.traces.len(), named.blocks), (before.traces.len(), 1));
    retriever.poll().await.unwrap();
    let polled = search(&retriever, query).await;
    assert!(polled.failures.is_empty(), "{:?}", polled.failures);
    assert_eq!(polled.traces.len(), before.traces.len());
}

#[tokio::test]
async fn a_block_whose_meta_is_damaged_later_is_still_served() {
    let (bucket, blocks) = bucket_of(&["v2.10.8-vp4-default"]);
    let retriever = retriever(bucket.path()).await;
    std::fs::write(blocks[0].join("meta.json"), "{").unwrap();
    retriever.poll().await.unwrap();
    let answer = search(&retriever, everything("{}")).await;
    assert_eq!((answer.blocks, answer.failures.len()), (1, 0), "{:?}", answer.failures);
}

#[tokio::test]
async fn a_compacted_block_is_still_found_and_no_gap_once_it_is_deleted() {
    let (bucket, blocks) = bucket_of(&["v2.10.8-vp4-default"]);
    let (id, _) = Bucket::named("v2.10.8-vp4-default").golden().swap_remove(7);
    let path = BlockPath::new(tenant(), meta(&blocks[0]).block_id);
    let store = store(bucket.path());
    store.mark_compacted(&path, &Account::default()).await.unwrap();
    let retriever = retriever(bucket.path()).await;
    assert_eq!(find(&retriever, id).await.pieces.len(), 1);
    store.delete_block(&path, &Account::default()).await.unwrap();
    let answer = find(&*unwarmed(bucket.path(), &retriever).await, id).await;
    assert!(answer.pieces.is_empty() && answer.failures.is_empty(), "{:?}", answer.failures);
}

/// The same block list in a process that has read nothing yet.
async fn unwarmed(bucket: &Path, polled: &Retriever) -> Arc<Retriever> {
    let other = unpolled(bucket, options());
    *other.list.write().unwrap() = polled.list.read().unwrap().clone();
    other
}

#[tokio::test]
async fn the_loop_polls_and_stops_when_told() {
    let (bucket, _) = bucket_of(&["v2.10.8-vp4-default"]);
    let options = RetrieverOptions { poll_interval: Duration::from_millis(10), ..options() };
    let retriever = unpolled(bucket.path(), options);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(Arc::clone(&retriever).run(stopped));
    while !retriever.is_ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::remove_dir_all(bucket.path().join("single-tenant")).unwrap();
    while blocks_or_failures(&retriever).await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(true).unwrap();
    running.await.unwrap();
}

async fn blocks_or_failures(retriever: &Retriever) -> usize {
    let answer = search(retriever, everything("{ status = error }")).await;
    answer.blocks as usize + answer.failures.len()
}
