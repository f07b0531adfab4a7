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

/// What reading a block in every way gives: answers, and errors.
struct Reading {
    answers: Vec<String>,
    errors: Vec<BlockError>,
}

impl Reading {
    fn add<T: std::fmt::Debug>(&mut self, answer: Result<T>) {
        match answer {
            Ok(answer) => self.answers.push(format!("{answer:?}")),
            Err(error) => self.errors.push(error),
        }
    }
}

async fn read_all(path: BlockPath, data: Vec<u8>, meta: &BlockMeta, ids: &[TraceId]) -> Reading {
    let objects = Arc::new(InMemory::new());
    objects.put(&path.object(&BlockObject::Data), Bytes::from(data).into()).await.unwrap();
    let objects: Arc<dyn ObjectStore> = objects;
    let store = BlockStore::new(objects, "", StoreOptions::default(), None).unwrap();
    let account = Account::default();
    let mut reading = Reading { answers: Vec::new(), errors: Vec::new() };
    let reader = match BlockReader::open(&store, path, meta, &account).await {
        Ok(reader) => reader,
        Err(error) => {
            reading.errors.push(error);
            return reading;
        }
    };
    let query = r#"{ span.a.str = "x" || resource.a.int = 1 || event:name = "e" || name = "n" }"#;
    let query = Query::parse(query).unwrap();
    for id in ids {
        reading.add(reader.find_trace(*id, &account).await);
    }
    for row_group in 0..reader.row_groups() {
        reading.add(reader.traces(row_group, &account).await);
        reading.add(reader.tag_names(row_group, &TagScope::ALL, &TagNames::new(), &account).await);
        let found = reader.evaluate(row_group, &query, &[], &account).await;
        reading.add(found.map(|found| found.matches).map_err(|error| match error {
            crate::SearchError::Block(error) => error,
            crate::SearchError::Evaluate(error) => panic!("{error}"),
        }));
        let shown = reader.shown(row_group, &[0, 5], &query.fields(), &account).await;
        reading.add(shown.map(|shown| (shown.summary(0), shown.summary(1), shown.facts(0))));
    }
    reading
}

async fn read(block: &TestBlock, data: Vec<u8>, meta: &BlockMeta) -> Reading {
    read_all(block.path(), data, meta, &["0102030405060708".parse().unwrap()]).await
}

fn check(name: &str, meta: &BlockMeta, how: &str, errors: &[BlockError]) {
    for error in errors {
        let text = tempoform_core::Error::from(match error {
            BlockError::Corrupt { block, object, what } => {
                BlockError::Corrupt { block: block.clone(), object: object.clone(), what: what.clone() }
            }
            other => panic!("{name}: {how}: {other:?}"),
        })
        .to_string();
        assert!(!text.contains(PANICKED), "{name}: {how}: a panic");
        assert!(text.contains(&meta.block_id.to_string()) && text.contains("data.parquet"), "{text}");
    }
}

/// One block of each format.
fn samples() -> Vec<(TestBlock, Vec<u8>)> {
    let names = ["v2.10.8-vp3-default", "v2.10.8-vp4-default", "v2.10.8-vp5-blob"];
    let blocks = test_blocks().into_iter().filter(|block| names.contains(&block.name.as_str()));
    blocks
        .map(|block| {
            let data = std::fs::read(block.folder.join("data.parquet")).unwrap();
            (block, data)
        })
        .collect()
}

fn footer(data: &[u8], meta: &BlockMeta) -> parquet::footer::Footer {
    let footer = &data[data.len() - 8 - meta.footer_size as usize..data.len() - 8];
    parquet::footer::Footer::parse(footer, data.len() as u64).unwrap()
}

/// The column that a byte of the file is of, and where in it.
fn place(footer: &parquet::footer::Footer, at: usize) -> String {
    let chunks = footer.row_groups.iter().flat_map(|group| group.chunks.iter().zip(&footer.leaves));
    let found = chunks.filter(|(chunk, _)| chunk.range.contains(&(at as u64)));
    let places =
        found.map(|(chunk, leaf)| format!("{} + {}", leaf.path.join("."), at as u64 - chunk.range.start));
    places.collect()
}

/// Where the pages end and the page index begins: the end of the last chunk.
fn end_of_pages(data: &[u8], meta: &BlockMeta) -> usize {
    let footer = footer(data, meta);
    let chunks = footer.row_groups.iter().flat_map(|group| &group.chunks);
    chunks.map(|chunk| chunk.range.end).max().unwrap() as usize
}

/// Every damage of a page is told, or changes nothing.
#[tokio::test]
async fn flipped_bytes_are_told_or_harmless() {
    for (block, data) in samples() {
        let whole = read(&block, data.clone(), &block.meta).await;
        assert!(whole.errors.is_empty(), "{:?}", whole.errors);
        let mut told = 0;
        let step = end_of_pages(&data, &block.meta) / 300;
        for i in 0..300 {
            let at = i * step + i % 7;
            let mut damaged = data.clone();
            damaged[at] ^= [0xff, 0x01, 0x80][i % 3];
            let reading = read(&block, damaged, &block.meta).await;
            told += usize::from(!reading.errors.is_empty());
            check(&block.name, &block.meta, &format!("byte {at} flipped"), &reading.errors);
            let is_same = reading.errors.is_empty() && reading.answers == whole.answers;
            assert!(is_same || !reading.errors.is_empty(), "{}: byte {at} changed an answer", block.name);
        }
        // The rest is in columns that are of no use.
        assert!(told > 150, "{}: only {told} of 300 damages were seen", block.name);
    }
}

#[tokio::test]
async fn every_flipped_bit_of_our_own_pages_is_told_or_harmless() {
    let traces: Vec<_> = (0..60).map(own_blocks_tests::trace).collect();
    let (meta, data) = own_blocks_tests::written(&traces);
    let path = BlockPath::new(tempoform_core::TenantId::single(), meta.block_id);
    let ids = [traces[7].0, traces[41].0];
    let whole = read_all(path.clone(), data.clone(), &meta, &ids).await;
    assert!(whole.errors.is_empty(), "{:?}", whole.errors);
    let end = end_of_pages(&data, &meta);
    let mut told = 0;
    let mut changed = Vec::new();
    // Every byte, one of its bits.
    for at in 4..end {
        let mut damaged = data.clone();
        damaged[at] ^= 1 << (at % 8);
        let reading = read_all(path.clone(), damaged, &meta, &ids).await;
        check("ours", &meta, &format!("byte {at} of {end} flipped"), &reading.errors);
        if reading.errors.is_empty() && reading.answers != whole.answers {
            changed.push(place(&footer(&data, &meta), at));
        }
        told += usize::from(!reading.errors.is_empty());
    }
    assert!(changed.is_empty(), "changed an answer: {changed:#?}");
    assert!(told > end / 2, "only {told} of {end} damages were seen");
}

#[tokio::test]
async fn damaged_footers_are_told_and_harmless() {
    for (block, data) in samples() {
        let footer = data.len() - 8 - block.meta.footer_size as usize;
        let step = (block.meta.footer_size as usize / 400).max(1);
        for at in (footer..data.len()).step_by(step) {
            let mut damaged = data.clone();
            damaged[at] = damaged[at].wrapping_add(0x5b);
            let errors = read(&block, damaged, &block.meta).await.errors;
            // A changed length may point beyond the file's pages: the store then says where it ends.
            let ours: Vec<_> =
                errors.into_iter().filter(|e| matches!(e, BlockError::Corrupt { .. })).collect();
            check(&block.name, &block.meta, &format!("footer byte {at} changed"), &ours);
        }
    }
}

#[tokio::test]
async fn truncated_files_are_told() {
    for (block, data) in samples() {
        for i in 0..40 {
            let length = data.len() * i / 40;
            let meta = BlockMeta { size: length as u64, ..block.meta.clone() };
            let errors = read(&block, data[..length].to_vec(), &meta).await.errors;
            assert!(!errors.is_empty(), "{}: cut to {length} bytes", block.name);
            check(&block.name, &meta, &format!("cut to {length} bytes"), &errors);
        }
    }
}

#[tokio::test]
async fn file_shorter_than_its_meta_says_is_an_error() {
    for (block, data) in samples() {
        let errors = read(&block, data[..data.len() / 2].to_vec(), &block.meta).await.errors;
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
