use std::path::Path;

use tempoform_core::{Account, TenantId};

use super::*;
use crate::paths::{BlockObject, BlockPath};
use crate::store::faults::FaultyStore;
use crate::store::{BlockStore, Content, StoreOptions};
use object_store::{ObjectStoreExt as _, PutPayload};

const CONTENT: Content = Content { size: 1, footer_size: 2, traces: 3 };
const SHARDS: u32 = 20;

fn block() -> BlockPath {
    BlockPath::new(TenantId::single(), uuid::Uuid::from_u128(7))
}

fn shard(number: u32) -> Vec<u8> {
    vec![number as u8; 50_000]
}

/// A process: a store without memory cache, over a bucket, with the disk cache in `folder`.
async fn process(folder: &Path) -> BlockStore {
    let objects = FaultyStore::new([]);
    for number in 0..SHARDS {
        let path = block().object(&BlockObject::Bloom(number));
        objects.put(&path, PutPayload::from(shard(number))).await.unwrap();
    }
    let options = StoreOptions { cache_bytes: 0, ..StoreOptions::default() };
    let store = BlockStore::new(objects, "", options, None).unwrap();
    let disk = DiskCacheOptions { path: folder.to_owned(), bytes: DiskCacheOptions::MIN_BYTES };
    store.use_disk_cache(&disk).await.unwrap();
    store
}

/// Reads all shards of the block of this content, and checks them.
async fn read_all(store: &BlockStore, content: Content) -> (u64, u64) {
    let account = Account::default();
    for number in 0..SHARDS {
        let bytes =
            store.read_cached(&block(), &BlockObject::Bloom(number), content, &account).await.unwrap();
        assert_eq!(bytes, shard(number), "shard {number}");
    }
    let spent = account.snapshot();
    assert_eq!((spent.cache_hits, spent.cache_bytes), (spent.disk_hits, spent.disk_hits * 50_000));
    (spent.disk_hits, spent.requests)
}

async fn written(store: &BlockStore) {
    store.0.caches.disk.get().unwrap().written().await;
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_finds_what_was_kept_and_only_of_the_same_upload() {
    let folder = tempfile::tempdir().unwrap();
    let store = process(folder.path()).await;
    assert_eq!(read_all(&store, CONTENT).await, (0, SHARDS.into()));
    written(&store).await;
    assert_eq!(read_all(&store, CONTENT).await, (SHARDS.into(), 0));
    drop(store);

    let next = process(folder.path()).await;
    assert_eq!(read_all(&next, CONTENT).await, (SHARDS.into(), 0));
    let written_again = Content { size: 2, ..CONTENT };
    assert_eq!(read_all(&next, written_again).await, (0, SHARDS.into()));
    let taken: u64 = files(folder.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(taken <= DiskCacheOptions::MIN_BYTES, "{taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_entries_are_read_from_the_store_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = process(folder.path()).await;
    read_all(&store, CONTENT).await;
    written(&store).await;
    let mut damaged = 0;
    for file in files(folder.path()) {
        let mut bytes = std::fs::read(&file).unwrap();
        // Every entry has 50,000 equal bytes; some in the middle of each become others.
        for at in (0..bytes.len()).step_by(10_007).filter(|at| bytes[*at] != 0).collect::<Vec<_>>() {
            bytes[at] ^= 0x55;
            damaged += 1;
        }
        std::fs::write(&file, bytes).unwrap();
    }
    assert!(damaged >= SHARDS, "{damaged}");
    // In the process that wrote them, and in the next. Each answer is checked.
    let (_, requests) = read_all(&store, CONTENT).await;
    assert!(requests > 0);
    drop(store);
    read_all(&process(folder.path()).await, CONTENT).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let store = BlockStore::in_memory();
    let options = DiskCacheOptions { path: file, bytes: DiskCacheOptions::MIN_BYTES };
    let error = store.use_disk_cache(&options).await.unwrap_err().to_string();
    assert!(error.contains("retriever.disk_cache.path") && error.contains("/file"), "{error}");
}
