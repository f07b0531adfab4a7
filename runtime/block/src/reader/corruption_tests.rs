//! Damaged blocks: an error that names the block, or an answer; never a panic.

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use proptest::prelude::*;
use tempoform_core::{Account, TraceId};
use tempoform_traceql::Query;

use super::*;
use crate::meta::BlockMeta;
use crate::store::StoreOptions;
use crate::test_blocks::{TestBlock, test_blocks};

/// What [`BlockReader::compute`] makes of a panic.
const PANICKED: &str = "could not be decoded";

/// Reads a block in every way; collects the errors.
async fn read_all(block: &TestBlock, data: Vec<u8>, meta: &BlockMeta) -> Vec<BlockError> {
    let objects = Arc::new(InMemory::new());
    let data_path = block.path().object(&BlockObject::Data);
    objects.put(&data_path, Bytes::from(data).into()).await.unwrap();
    let objects: Arc<dyn ObjectStore> = objects;
    let store = BlockStore::new(objects, "", StoreOptions::default(), None).unwrap();
    let account = Account::default();
    let reader = match BlockReader::open(&store, block.path(), meta, &account).await {
        Ok(reader) => reader,
        Err(error) => return vec![error],
    };
    let id: TraceId = "0102030405060708".parse().unwrap();
    let query = r#"{ span.a.str = "x" || resource.a.int = 1 || event:name = "e" || name = "n" }"#;
    let fields = Query::parse(query).unwrap().fields();
    let mut errors = Vec::new();
    errors.extend(reader.find_trace(id, &account).await.err());
    errors.extend(reader.tag_names(&TagScope::ALL, &account).await.err());
    for row_group in 0..reader.row_groups().min(2) {
        errors.extend(reader.traces(row_group, &account).await.err());
        errors.extend(reader.batch(row_group, &fields, &account).await.err());
        errors.extend(reader.summaries(row_group, &[0, 5], &account).await.err());
    }
    errors
}

fn check(block: &TestBlock, how: &str, errors: &[BlockError]) {
    for error in errors {
        let text = tempoform_core::Error::from(match error {
            BlockError::Corrupt { block, object, what } => {
                BlockError::Corrupt { block: block.clone(), object: object.clone(), what: what.clone() }
            }
            other => panic!("{}: {how}: {other:?}", block.name),
        })
        .to_string();
        assert!(!text.contains(PANICKED), "{}: {how}: a panic", block.name);
        assert!(text.contains(&block.meta.block_id.to_string()) && text.contains("data.parquet"), "{text}");
    }
}

/// One block of each format.
fn samples() -> Vec<(TestBlock, Vec<u8>)> {
    let names = ["v2.10.8-vp3-default", "v2.10.8-vp4-shards", "v2.10.8-vp5-blob"];
    let blocks = test_blocks().into_iter().filter(|block| names.contains(&block.name.as_str()));
    blocks
        .map(|block| {
            let data = std::fs::read(block.folder.join("data.parquet")).unwrap();
            (block, data)
        })
        .collect()
}

#[tokio::test]
async fn flipped_bytes_are_told_and_harmless() {
    for (block, data) in samples() {
        let mut told = 0;
        let step = data.len() / 300;
        for i in 0..300 {
            let at = i * step + i % 7;
            let mut damaged = data.clone();
            damaged[at] ^= [0xff, 0x01, 0x80][i % 3];
            let errors = read_all(&block, damaged, &block.meta).await;
            told += usize::from(!errors.is_empty());
            check(&block, &format!("byte {at} flipped"), &errors);
        }
        assert!(told > 50, "{}: only {told} of 300 damages were seen", block.name);
    }
}

#[tokio::test]
async fn damaged_footers_are_told_and_harmless() {
    for (block, data) in samples() {
        let footer = data.len() - 8 - block.meta.footer_size as usize;
        let step = (block.meta.footer_size as usize / 400).max(1);
        for at in (footer..data.len()).step_by(step) {
            let mut damaged = data.clone();
            damaged[at] = damaged[at].wrapping_add(0x5b);
            let errors = read_all(&block, damaged, &block.meta).await;
            // A changed length may point beyond the file's pages: the store then says where it ends.
            let ours: Vec<_> =
                errors.into_iter().filter(|e| matches!(e, BlockError::Corrupt { .. })).collect();
            check(&block, &format!("footer byte {at} changed"), &ours);
        }
    }
}

#[tokio::test]
async fn truncated_files_are_told() {
    for (block, data) in samples() {
        for i in 0..40 {
            let length = data.len() * i / 40;
            let meta = BlockMeta { size: length as u64, ..block.meta.clone() };
            let errors = read_all(&block, data[..length].to_vec(), &meta).await;
            assert!(!errors.is_empty(), "{}: cut to {length} bytes", block.name);
            check(&block, &format!("cut to {length} bytes"), &errors);
        }
    }
}

#[tokio::test]
async fn file_shorter_than_its_meta_says_is_an_error() {
    for (block, data) in samples() {
        let errors = read_all(&block, data[..data.len() / 2].to_vec(), &block.meta).await;
        assert!(!errors.is_empty(), "{}", block.name);
    }
}

proptest! {
    #[test]
    fn random_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parquet::footer::Footer::parse(&bytes, 1 << 20);
        let _ = parquet::page_index::offset_index(&bytes);
        let _ = parquet::page_index::column_index(&bytes);
    }
}
