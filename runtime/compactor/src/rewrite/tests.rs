use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object_store::ObjectStoreExt as _;
use proptest::prelude::*;
use tempoform_block::{BlockReader, BlockVersion, DedicatedColumn, DedicatedScope, StoreOptions};
use tempoform_core::MemoryBudget;

use super::*;
use crate::tests::{bucket, key, live, now, read, write};
use crate::{erase, find};

fn settings() -> Settings {
    Settings {
        row_group_bytes: 1 << 20,
        bloom_false_positive: 0.01,
        bloom_shard_size_bytes: 100 << 10,
        memory: MemoryBudget::new(1 << 30),
        max_sidecar_bytes: tempoform_block::extra::MAX_BYTES,
    }
}

fn id(byte: u8) -> TraceId {
    TraceId::new([byte; 16])
}

fn path(block: Uuid) -> BlockPath {
    BlockPath::new(TenantId::single(), block)
}

fn without(ids: impl IntoIterator<Item = u8>) -> Changes {
    Changes { without: ids.into_iter().map(id).collect(), dedicated_columns: None }
}

/// Real blocks in copies of their buckets.
fn copies() -> Vec<(tempfile::TempDir, BlockStore, BlockMeta)> {
    let folder = std::env::var("TEMPOFORM_TEST_BLOCKS")
        .expect("set TEMPOFORM_TEST_BLOCKS to the folder with the real blocks (`cargo xtask test` does)");
    let children = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    };
    let buckets =
        children(Path::new(&folder)).into_iter().filter(|bucket| bucket.join("single-tenant").is_dir());
    buckets
        .map(|bucket| {
            let copy = tempfile::tempdir().expect("a folder");
            let tenant = bucket.join("single-tenant");
            let block = children(&tenant).into_iter().find(|path| path.is_dir()).expect("a block");
            let to = copy.path().join("single-tenant").join(block.file_name().expect("a name"));
            std::fs::create_dir_all(&to).expect("made");
            for file in children(&block) {
                let bytes = std::fs::read(&file).expect("read");
                std::fs::write(to.join(file.file_name().expect("a name")), bytes).expect("written");
            }
            for index in ["index.pb.zst", "index.json.gz"] {
                let bytes = std::fs::read(tenant.join(index)).expect("read");
                std::fs::write(copy.path().join("single-tenant").join(index), bytes).expect("written");
            }
            let meta = std::fs::read(to.join("meta.json")).expect("read");
            let meta = BlockMeta::from_json(&meta).expect("a meta");
            let store = BlockStore::local(copy.path(), StoreOptions::default(), None).expect("a store");
            (copy, store, meta)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_tempo_are_written_again_as_vparquet4_without_loss() {
    for (_copy, store, meta) in copies() {
        let account = Account::default();
        let columns = vec![
            DedicatedColumn::string(DedicatedScope::Resource, "a.str"),
            DedicatedColumn::string(DedicatedScope::Span, "a.str"),
        ];
        let changes = Changes { without: BTreeSet::new(), dedicated_columns: Some(columns.clone()) };
        let old = path(meta.block_id);
        let rewritten = rewrite(&store, &old, &changes, &settings(), &account).await.expect("rewritten");
        let new = rewritten.new.expect("a block");
        assert_eq!((&new.version, &new.dedicated_columns), (&BlockVersion::VParquet4, &columns));
        assert_eq!(
            (new.total_objects, new.start_time, new.end_time, new.compaction_level, new.replication_factor),
            (
                meta.total_objects,
                meta.start_time,
                meta.end_time,
                meta.compaction_level,
                meta.replication_factor
            )
        );
        assert_eq!((rewritten.dropped_spans, rewritten.verified.findings.len()), (0, 0));
        assert_eq!(live(&store).await.len(), 2, "the old one is as it was");

        let again = rewrite(&store, &old, &changes, &settings(), &account).await.expect("rewritten");
        assert_eq!(again.new.expect("a block"), new, "what a crash interrupted is taken up");
        store.mark_compacted(&old, &account).await.expect("marked");
        assert!(refresh_index(&store, &TenantId::single(), &account).await.expect("written"));
        let index =
            store.read_tenant_index(&TenantId::single(), &account).await.expect("read").expect("an index");
        assert_eq!((index.live.as_slice(), index.compacted.len()), ([new].as_slice(), 1));
        let refused = rewrite(&store, &old, &changes, &settings(), &account).await.expect_err("compacted");
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_block_that_is_not_equal_goes_again() {
    let (store, objects) = bucket();
    let account = Account::default();
    let old = write(&store, &BTreeMap::from([(1, vec![1, 2]), (2, vec![1])]), now()).await;
    let other = write(&store, &BTreeMap::from([(1, vec![1]), (2, vec![1])]), now()).await;
    // As if another block stood where the new one belongs.
    let changes = without([9]);
    let place = rewritten_id(old, &changes, 0);
    for object in store.folder(&path(other), &account).await.expect("listed").objects {
        let (from, to) = (key(other, &object.name), key(place, &object.name));
        objects.copy(&from, &to).await.expect("copied");
    }
    let error = rewrite(&store, &path(old), &changes, &settings(), &account).await.expect_err("not equal");
    assert!(error.to_string().contains("reads back differently"), "{error}");
    let mut left = [old, other];
    left.sort_unstable();
    assert_eq!(live(&store).await, left);
    let missing = rewrite(&store, &path(old), &without([2]), &settings(), &account).await.expect("rewritten");
    assert_eq!((missing.dropped_spans, missing.new.expect("a block").total_objects), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_live_compacted_and_abandoned_blocks() {
    let (store, objects) = bucket();
    let (tenant, account) = (TenantId::single(), Account::default());
    let shared = write(&store, &BTreeMap::from([(1, vec![1, 2]), (2, vec![1])]), now()).await;
    let alone = write(&store, &BTreeMap::from([(1, vec![3])]), now()).await;
    let compacted = write(&store, &BTreeMap::from([(1, vec![1, 2, 3]), (3, vec![1])]), now()).await;
    let fresh = write(&store, &BTreeMap::from([(1, vec![4])]), now()).await;
    let other = write(&store, &BTreeMap::from([(2, vec![2])]), now()).await;
    store.mark_compacted(&path(compacted), &account).await.expect("marked");
    objects.delete(&key(fresh, "meta.json")).await.expect("deleted");

    let found = find(&store, &tenant, id(1), false, &|_, _| {}, &account).await.expect("found");
    let mut holders: Vec<_> = found.holders.iter().map(|h| (h.block, h.state, h.holding.spans)).collect();
    holders.sort_unstable();
    let mut expected = vec![
        (shared, BlockState::Live, Some(2)),
        (alone, BlockState::Live, Some(1)),
        (compacted, BlockState::Compacted, Some(3)),
        (fresh, BlockState::HalfWritten, None),
    ];
    expected.sort_unstable();
    assert_eq!((holders, found.looked_at, found.unknown.len()), (expected, 5, 0));

    let erase = async |block| erase(&store, &path(block), id(1), true, &settings(), &account).await;
    let erased = erase(shared).await.expect("erased");
    let (new, _) = erased.new.expect("the other trace stays");
    assert_eq!(read(&store, new).await.keys().copied().collect::<Vec<_>>(), [id(2)]);
    assert!(erased.deleted.iter().any(|key| key.ends_with("/data.parquet")), "{erased:?}");
    assert_eq!(erased.spans, Some(2));
    assert!(erase(alone).await.expect("erased").new.is_none(), "nothing else was in it");
    assert_eq!(erase(compacted).await.expect("erased").spans, Some(3));
    let refused = erase(fresh).await.expect_err("it may be an upload");
    assert!(refused.to_string().contains("an upload may be under way"), "{refused}");

    let left = find(&store, &tenant, id(1), false, &|_, _| {}, &account).await.expect("found");
    assert_eq!(left.holders.iter().map(|holder| holder.block).collect::<Vec<_>>(), [fresh]);
    let mut stay = [other, new];
    stay.sort_unstable();
    assert_eq!(live(&store).await, stay);
}

#[tokio::test]
async fn a_block_that_its_writer_has_not_finished_with_is_left_alone() {
    let (store, objects) = bucket();
    let block = write(&store, &BTreeMap::from([(1, vec![1])]), now()).await;
    objects.put(&key(block, "nocompact.flg"), "".into()).await.expect("written");
    let error = rewrite(&store, &path(block), &without([1]), &settings(), &Account::default()).await;
    assert!(error.expect_err("flagged").to_string().contains("nocompact.flg"));
}

async fn read_all(store: &BlockStore, meta: &BlockMeta) -> BTreeMap<TraceId, TracesData> {
    let account = Account::default();
    let reader = BlockReader::open(store, path(meta.block_id), meta, &account).await.expect("opened");
    let mut traces = BTreeMap::new();
    for group in 0..reader.row_groups() {
        traces.extend(reader.traces(group, &account).await.expect("read"));
    }
    traces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is in a block and whatever is dropped: what is left reads back as it was.
    #[test]
    fn a_rewritten_block_is_its_input_without_the_dropped_traces(
        block in prop::collection::btree_map(0..12u8, prop::collection::vec(1..9u8, 1..6), 1..8),
        dropped in prop::collection::btree_set(0..12u8, 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (store, _) = bucket();
            let old = write(&store, &block, now()).await;
            let changes = without(dropped.iter().copied());
            let rewritten = rewrite(&store, &path(old), &changes, &settings(), &Account::default()).await.expect("rewritten");
            let expected: BTreeMap<TraceId, TracesData> = read(&store, old)
                .await
                .into_iter()
                .filter(|(id, _)| !changes.without.contains(id))
                .collect();
            let found = match &rewritten.new {
                Some(meta) => read_all(&store, meta).await,
                None => BTreeMap::new(),
            };
            assert_eq!(found, expected);
        });
    }
}
