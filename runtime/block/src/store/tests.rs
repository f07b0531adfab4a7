use jiff::Timestamp;
use object_store::memory::InMemory;

use super::*;
use crate::meta::BlockVersion;
use crate::test_blocks::test_blocks;

fn block() -> BlockPath {
    BlockPath::new("team-a".parse().unwrap(), uuid::Uuid::from_u128(0x24 << 64))
}

fn meta_for(size: u64) -> BlockMeta {
    BlockMeta { size, bloom_shards: 1, ..BlockMeta::new(BlockVersion::VParquet4, block().block(), "team-a") }
}

fn content() -> Content {
    Content::from(&meta_for(1))
}

fn objects() -> BlockObjects {
    BlockObjects {
        blooms: vec![Bytes::from_static(b"bloom")],
        index: Some(Bytes::from_static(b"index")),
        sidecars: vec![("rows.tfm", Bytes::from_static(b"side"))],
    }
}

fn open(objects: Arc<dyn ObjectStore>) -> BlockStore {
    BlockStore::new(objects, "some/prefix", StoreOptions::default(), None).unwrap()
}

#[test]
fn near_ranges_are_fetched_together() {
    assert_eq!(coalesce(&[10..20, 0..5, 25..30, 100..110, 30..30], 5), [0..30, 100..110]);
    assert_eq!(coalesce(&[0..5, 3..4, 9..10], 0), [0..5, 9..10]);
    assert!(coalesce(&[7..7, 3..3], 9).is_empty());
}

#[test]
fn no_more_is_fetched_in_vain_than_is_wanted() {
    const K: u64 = 1 << 10;
    let pages: Vec<_> = (0..100).map(|i| i * 50 * K..i * 50 * K + 10 * K).collect();
    assert_eq!(coalesce(&pages, 64 * K), pages);
    let near: Vec<_> = (0..100).map(|i| i * 12 * K..i * 12 * K + 10 * K).collect();
    assert_eq!(coalesce(&near, 64 * K).as_slice(), std::slice::from_ref(&(0..1198 * K)));
    assert_eq!(
        coalesce(&[0..100 * K, 130 * K..131 * K, 231 * K..240 * K], 64 * K),
        [0..131 * K, 231 * K..240 * K]
    );
}

fn ids(list: &BlockList) -> Vec<uuid::Uuid> {
    list.live.iter().map(|live| live.block).collect()
}

#[tokio::test]
async fn ranges_come_back_in_the_order_asked_for() {
    let store = open(Arc::new(InMemory::new()));
    let account = Account::default();
    let data: Vec<u8> = (0..=255).collect();
    store.put(&block().object(&BlockObject::Data), data.into(), &account).await.unwrap();
    let read = |ranges: Vec<Range<u64>>| {
        let store = store.clone();
        async move {
            store.read_ranges(RequestKind::Range, &block(), content(), &ranges, &Account::default()).await
        }
    };
    let parts = read(vec![200..203, 0..2, 7..7, 1..4]).await.unwrap();
    assert_eq!(
        parts.iter().map(|part| part.to_vec()).collect::<Vec<_>>(),
        [vec![200, 201, 202], vec![0, 1], vec![], vec![1, 2, 3]]
    );
    assert!(read(vec![0..1, 250..300]).await.is_err());
}

#[tokio::test]
async fn reads_are_accounted_and_immutable_objects_cached() {
    let store = open(Arc::new(InMemory::new()));
    let account = Account::default();
    store.put(&block().object(&BlockObject::Bloom(0)), Bytes::from(vec![1; 1000]), &account).await.unwrap();
    let before = account.snapshot();
    store.read_cached(&block(), &BlockObject::Bloom(0), content(), &account).await.unwrap();
    store.read_cached(&block(), &BlockObject::Bloom(0), content(), &account).await.unwrap();
    let after = account.snapshot();
    assert_eq!(after.requests - before.requests, 1);
    assert_eq!(after.bytes - before.bytes, 1000);
    assert_eq!((after.cache_hits, after.cache_bytes), (1, 1000));
    assert!(store.cached_bytes() >= 1000);
}

#[tokio::test]
async fn block_is_there_once_its_upload_is_finished_and_not_before() {
    let memory = Arc::new(InMemory::new());
    let store = open(memory.clone());
    let account = Account::default();
    let mut upload = store.upload(block());
    for _ in 0..5 {
        upload.write(Bytes::from(vec![7; 4 << 20]), &account).await.unwrap();
    }
    assert_eq!(store.blocks(block().tenant(), &account).await.unwrap(), BlockList::default());
    let meta = meta_for(upload.written());
    upload.finish(objects(), &meta, &account).await.unwrap();

    assert_eq!(ids(&store.blocks(block().tenant(), &account).await.unwrap()), [block().block()]);
    assert_eq!(store.read_meta(&block(), &account).await.unwrap(), meta);
    assert_eq!(store.size(&block(), &BlockObject::Data, &account).await.unwrap(), 20 << 20);
    let key = Path::parse(format!("some/prefix/team-a/{}/rows.tfm", block().block())).unwrap();
    assert_eq!(memory.get(&key).await.unwrap().bytes().await.unwrap(), "side");
}

#[tokio::test]
async fn upload_whose_meta_does_not_fit_leaves_no_block() {
    let store = open(Arc::new(InMemory::new()));
    let account = Account::default();
    let mut upload = store.upload(block());
    upload.write(Bytes::from_static(b"12345"), &account).await.unwrap();
    let error = upload.finish(objects(), &meta_for(6), &account).await.unwrap_err();
    assert!(matches!(error, BlockError::Upload { .. }), "{error}");
    assert!(store.size(&block(), &BlockObject::Data, &account).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn compacted_blocks_move_to_the_other_list_and_can_be_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlockStore::local(&folder.path().join("traces"), StoreOptions::default(), None).unwrap();
    let account = Account::default();
    assert!(store.tenants(&account).await.unwrap().is_empty());
    let mut upload = store.upload(block());
    upload.write(Bytes::from_static(b"12345"), &account).await.unwrap();
    upload.finish(objects(), &meta_for(5), &account).await.unwrap();
    assert_eq!(store.tenants(&account).await.unwrap(), [block().tenant().clone()]);

    store.mark_compacted(&block(), &account).await.unwrap();
    let list = store.blocks(block().tenant(), &account).await.unwrap();
    assert!(list.live.is_empty());
    assert_eq!(list.compacted[0].block, block().block());
    assert!(list.compacted[0].since > Timestamp::UNIX_EPOCH);
    assert_eq!(store.read_compacted_meta(&block(), &account).await.unwrap().size, 5);

    store.delete_block(&block(), &account).await.unwrap();
    store.delete_block(&block(), &account).await.unwrap();
    assert_eq!(store.blocks(block().tenant(), &account).await.unwrap(), BlockList::default());
}

#[tokio::test]
async fn tenant_index_is_written_read_and_removed() {
    let store = open(Arc::new(InMemory::new()));
    let (tenant, account) = (block().tenant().clone(), Account::default());
    assert!(store.read_tenant_index(&tenant, &account).await.unwrap().is_none());
    let mut index =
        TenantIndex { created_at: Timestamp::UNIX_EPOCH, live: vec![meta_for(9)], compacted: Vec::new() };
    store.write_tenant_index(&tenant, &index, &account).await.unwrap();
    assert_eq!(store.read_tenant_index(&tenant, &account).await.unwrap().as_ref(), Some(&index));

    store.put(&paths::tenant_index(&tenant), Bytes::from_static(b"junk"), &account).await.unwrap();
    assert!(store.read_tenant_index(&tenant, &account).await.is_err(), "no fallback from a damaged index");
    store.delete(&paths::tenant_index(&tenant), &account).await.unwrap();
    assert_eq!(store.read_tenant_index(&tenant, &account).await.unwrap().as_ref(), Some(&index));

    index.live.clear();
    store.write_tenant_index(&tenant, &index, &account).await.unwrap();
    assert!(store.read_tenant_index(&tenant, &account).await.unwrap().is_none());
}

#[tokio::test]
async fn requests_are_measured_by_operation_and_status() {
    let registry = Registry::new();
    let store =
        BlockStore::new(Arc::new(InMemory::new()), "", StoreOptions::default(), Some(&registry)).unwrap();
    let error = store.read(&block(), &BlockObject::Data, &Account::default()).await.unwrap_err();
    assert!(error.is_not_found());
    let families = registry.gather();
    let tempos = families.iter().find(|one| one.name() == "tempodb_backend_request_duration_seconds");
    let labels: Vec<_> =
        tempos.unwrap().get_metric()[0].get_label().iter().map(|l| l.value().to_owned()).collect();
    assert_eq!(labels, ["GET", "404"]);
}

#[tokio::test]
async fn tempos_bucket_is_listed() {
    for block in test_blocks() {
        let (store, account) = (block.store(), Account::default());
        assert_eq!(store.tenants(&account).await.unwrap(), [TenantId::single()]);
        let list = store.blocks(&TenantId::single(), &account).await.unwrap();
        assert_eq!(ids(&list), [block.meta.block_id], "{}", block.name);
        assert_eq!(store.read_meta(&block.path(), &account).await.unwrap(), block.meta);
    }
}
