//! The backlog falls whatever lies in the way: bad blocks are set aside, and what crashes left behind goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::{ObjectStore, ObjectStoreExt as _};
use tempoform_block::{BlockPath, BlockStore, StoreOptions};
use tempoform_core::{Account, MemoryBudget, TenantId};
use uuid::Uuid;

use super::troubled_store::{Trouble, TroubledStore};
use super::{bucket, compactor, key, live, now, options, read, write};
use crate::{Compactor, Options, Overview, TenantStatus};

/// Most cycles until nothing is left to do.
const CYCLES: usize = 12;

fn blocks_of(count: u16) -> impl Iterator<Item = BTreeMap<u8, Vec<u8>>> {
    // Traces that are in several blocks, too.
    (0..count).map(|number| BTreeMap::from([((number % 251) as u8, vec![(number / 251) as u8 + 1])]))
}

/// Cycles until the backlog is at rest; what it was after each.
async fn backlogs(compactor: &mut Compactor) -> Vec<u64> {
    let mut seen = Vec::new();
    for _ in 0..CYCLES {
        compactor.cycle().await.expect("a cycle");
        seen.push(compactor.status().overview().backlog_blocks);
        if seen.last() == Some(&0) {
            break;
        }
    }
    seen
}

fn of_single(overview: &Overview) -> &TenantStatus {
    &overview.tenants[TenantId::single().as_str()]
}

async fn damage(objects: &dyn ObjectStore, data: &object_store::path::Path, at: impl Fn(usize) -> usize) {
    let mut bytes = objects.get(data).await.expect("there").bytes().await.expect("read").to_vec();
    let at = at(bytes.len());
    bytes[at] ^= 0x5a;
    objects.put(data, bytes.into()).await.expect("damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_blocks_are_merged_past_bad_ones() {
    let (store, objects) = bucket();
    let mut ids = Vec::new();
    for block in blocks_of(1000) {
        ids.push(write(&store, &block, now()).await);
    }
    let [page, missing, short, empty, meta] = [3, 250, 500, 700, 999].map(|at| ids[at]);
    // Four bytes of magic come before the first page.
    damage(objects.as_ref(), &key(page, "data.parquet"), |_| 40).await;
    objects.delete(&key(missing, "data.parquet")).await.expect("deleted");
    let data = objects.get(&key(short, "data.parquet")).await.expect("there").bytes().await.expect("read");
    objects.put(&key(short, "data.parquet"), data.slice(..data.len() / 2).into()).await.expect("cut");
    objects.put(&key(empty, "data.parquet"), Vec::new().into()).await.expect("emptied");
    objects.put(&key(meta, "meta.json"), "{\"format\": 7".into()).await.expect("damaged");
    let bad = [page, missing, short, empty, meta];

    // As by a process that is stopped after each cycle, so that there is more than one.
    let little = Options { max_time_per_tenant: Duration::from_millis(300), ..options() };
    let mut first = Compactor::new(store.clone(), little);
    first.cycle().await.expect("a cycle");
    println!(
        "blocks that are too many, after a first short cycle: {}",
        first.status().overview().backlog_blocks
    );
    let mut one = compactor(&store);
    let seen = backlogs(&mut one).await;
    let overview = one.status().overview();
    println!("and after each other: {seen:?}, {} of 1000 set aside", overview.set_aside_blocks);
    assert_eq!(seen.last(), Some(&0), "{seen:?}");
    for aside in &of_single(&overview).set_aside {
        println!("{}: {}", aside.block, aside.why);
    }
    let mut aside: Vec<Uuid> = of_single(&overview).set_aside.iter().map(|aside| aside.block).collect();
    let mut expected = bad.to_vec();
    aside.sort();
    expected.sort();
    assert_eq!(aside, expected);

    let mut left = live(&store).await;
    left.retain(|block| !bad.contains(block));
    // Those merged equally often, and in a window that is written to still; the hour may change in the test.
    assert!(left.len() <= 8, "{left:?}");
    let mut spans = 0;
    for block in &left {
        spans += read(&store, *block).await.values().map(|trace| trace.resource_spans.len()).sum::<usize>();
    }
    println!("blocks left: {} whole ones with {spans} spans, {} set aside", left.len(), bad.len());
    assert_eq!(spans, 1000 - bad.len(), "all that can be read");

    // A restart, and another compactor, know it without another merge that fails.
    let account = Account::default();
    for block in bad {
        let note =
            store.why_aside(&BlockPath::new(TenantId::single(), block), &account).await.expect("a note");
        assert!(!note.why.is_empty());
    }
    let another = write(&store, &BTreeMap::from([(252, vec![1])]), now()).await;
    let watched = TroubledStore::new(&objects, Trouble::Fails, usize::MAX);
    let mut second = compactor(&watched.store());
    assert_eq!(backlogs(&mut second).await, [0]);
    let read = watched.read();
    let has_read = |block, name| read.contains(&key(block, name));
    // A merge with the new block would begin with them.
    assert!(!bad.iter().any(|block| has_read(*block, "data.parquet")), "{read:?}");
    assert!(bad.iter().all(|block| has_read(*block, "tempoform.aside.json")), "{read:?}");
    assert_eq!(second.status().overview().set_aside_blocks, bad.len() as u64);
    assert!(live(&store).await.contains(&another), "one of level 0 has no equal");
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_deletes_blocks_that_are_set_aside() {
    let (store, objects) = bucket();
    let [bad_data, bad_meta] = [
        write(&store, &BTreeMap::from([(1, vec![1])]), now()).await,
        write(&store, &BTreeMap::from([(2, vec![1])]), now()).await,
    ];
    for id in 3..6 {
        write(&store, &BTreeMap::from([(id, vec![1])]), now()).await;
    }
    objects.delete(&key(bad_data, "data.parquet")).await.expect("deleted");
    objects.put(&key(bad_meta, "meta.json"), "no meta".into()).await.expect("damaged");
    let mut merging = compactor(&store);
    assert_eq!(backlogs(&mut merging).await, [0]);
    assert_eq!(merging.status().overview().set_aside_blocks, 2);

    let forgetful = Options {
        retention: Arc::new(|_| Duration::from_millis(1)),
        compacted_retention: Duration::ZERO,
        ..options()
    };
    let mut expiring = Compactor::new(store.clone(), forgetful);
    let (tenant, account) = (TenantId::single(), Account::default());
    for _ in 0..100 {
        expiring.cycle().await.expect("a cycle");
        if store.tenants(&account).await.expect("listed").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(store.block_folders(&tenant, &account).await.expect("listed").is_empty(), "and their notes");
    expiring.cycle().await.expect("a cycle");
    assert_eq!(expiring.status().overview(), Overview::default(), "a tenant without blocks is forgotten");
}

/// Merges pairs of blocks in six windows. Each writes its data once `at` merges are about to, or after `patience`. Gives the
/// most that were about to at once.
async fn merge_pairs(at: usize, patience: Duration, options: Options) -> usize {
    let (store, objects) = bucket();
    let ended = now() - Duration::from_secs(7200);
    for window in 0..6 {
        for id in 1..3 {
            let end = ended - Duration::from_secs(3600 * window);
            write(&store, &BTreeMap::from([(id, vec![1])]), end).await;
        }
    }
    let watched = TroubledStore::new(&objects, Trouble::Meets(patience), at);
    let memory = options.memory.clone();
    let mut compactor = Compactor::new(watched.store(), options);
    assert_eq!(backlogs(&mut compactor).await.last(), Some(&0));
    assert_eq!(live(&store).await.len(), 6, "a block for each window");
    assert_eq!(memory.used(), 0, "everything that was held is given back");
    watched.most_writing()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_merges_run_at_once_and_memory_bounds_them() {
    let long = Duration::from_secs(60);
    let two = Options { concurrent_merges: 2, ..options() };
    assert_eq!(merge_pairs(2, long, two).await, 2, "as many as there are slots");
    // With a third of it, two merges of two blocks fit: of each 25 MiB an input, 32 MiB for the upload, and a row group.
    let memory = MemoryBudget::new(600 << 20);
    let narrow = Options { memory, concurrent_merges: 8, ..options() };
    let most = merge_pairs(3, Duration::from_millis(300), narrow).await;
    assert!(most <= 2, "{most} merges at once");
}

/// A block's files in a folder, as if written that long ago.
fn age(folder: &Path, by: Duration) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let file = std::fs::File::open(entry.expect("an entry").path()).expect("opened");
        file.set_modified(SystemTime::now() - by).expect("aged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crashes_left_behind_goes_after_a_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = BlockStore::local(folder.path(), StoreOptions::default(), None).expect("a store");
    let tenant = folder.path().join(TenantId::single().as_str());
    let whole = write(&store, &BTreeMap::from([(1, vec![1])]), now()).await;
    let [old, young, staged_old, staged_young] = [1, 2, 3, 4].map(Uuid::from_u128);
    for (block, name, is_old) in [
        (old, "data.parquet", true),
        (young, "data.parquet", false),
        (staged_old, "data.parquet#1", true),
        (staged_young, "data.parquet#1", false),
    ] {
        std::fs::create_dir(tenant.join(block.to_string())).expect("made");
        std::fs::write(tenant.join(block.to_string()).join(name), "PAR1").expect("written");
        if is_old {
            age(&tenant.join(block.to_string()), Duration::from_secs(25 * 3600));
        }
    }
    age(&tenant.join(whole.to_string()), Duration::from_secs(25 * 3600));
    let kept = Options { retention: Arc::new(|_| Duration::ZERO), ..options() };
    let mut compactor = Compactor::new(store.clone(), kept);
    compactor.cycle().await.expect("a cycle");
    let is_there = |block: Uuid, name: &str| tenant.join(block.to_string()).join(name).exists();
    assert!(!is_there(old, "data.parquet") && !is_there(staged_old, "data.parquet#1"));
    assert!(is_there(young, "data.parquet") && is_there(staged_young, "data.parquet#1"));
    assert!(is_there(whole, "data.parquet") && is_there(whole, "meta.json"));
}
