//! Copied blocks, held against their inputs entry by entry: read with the `parquet` crate.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::try_join_all;
use proptest::prelude::*;
use tempoform_core::{Account, TenantId};
use tempoform_wire::otlp::{KeyValue, Span, TracesData};

use super::*;
use crate::reader::may_contain;
use crate::reader::own_blocks_tests::trace;
use crate::test_blocks::test_blocks;
use crate::writer::tests::columns::{Entry, read_columns};
use crate::writer::tests::model::{a_trace, options};
use crate::writer::{BlockWriter, EncodedTrace};
use crate::{BlockMeta, BlockPath, BlockReader, BlockStore, BlockVersion, DedicatedColumn, combine_traces};

type Traces = BTreeMap<TraceId, TracesData>;

/// A block in a store.
#[derive(Clone)]
struct Stored {
    path: BlockPath,
    meta: BlockMeta,
    data: Bytes,
}

impl Stored {
    async fn new(
        store: &BlockStore,
        data: Vec<u8>,
        written: WrittenBlock,
        columns: &[DedicatedColumn],
    ) -> Self {
        let (block, data) = (Uuid::new_v4(), Bytes::from(data));
        let meta = BlockMeta {
            total_objects: written.total_objects,
            size: written.size,
            total_records: written.total_records,
            bloom_shards: written.blooms.len() as u32,
            footer_size: written.footer_size,
            dedicated_columns: columns.to_vec(),
            ..BlockMeta::new(BlockVersion::VParquet4, block, "single-tenant")
        };
        let path = BlockPath::new(TenantId::single(), block);
        let account = Account::default();
        let mut upload = store.upload(path.clone());
        upload.write(data.clone(), &account).await.unwrap();
        upload.finish(written.into(), &meta, &account).await.unwrap();
        Self { path, meta, data }
    }

    async fn write(store: &BlockStore, traces: &Traces, options: &WriterOptions) -> Self {
        let mut data = Vec::new();
        let mut writer = BlockWriter::new(&mut data, options.clone()).unwrap();
        for (id, trace) in traces {
            writer.add_trace(*id, &EncodedTrace::of(trace).resources()).unwrap();
        }
        let written = writer.finish().unwrap();
        Self::new(store, data, written, &options.dedicated_columns).await
    }

    async fn open(&self, store: &BlockStore) -> BlockReader {
        BlockReader::open(store, self.path.clone(), &self.meta, &Account::default()).await.unwrap()
    }

    /// Its traces, with what the sidecar has.
    async fn traces(&self, store: &BlockStore) -> Traces {
        let reader = self.open(store).await;
        let mut traces = Traces::new();
        for group in 0..reader.row_groups() {
            traces.extend(reader.traces(group, &Account::default()).await.unwrap());
        }
        traces
    }

    /// The entries of each row, column by column.
    fn rows(&self) -> BTreeMap<TraceId, Vec<Vec<Entry>>> {
        let columns = read_columns(&self.data);
        let ids = columns[0].iter().map(|entry| match &entry.value {
            Some(crate::writer::tests::columns::Cell::Bytes(id)) => TraceId::from_slice(id).unwrap(),
            other => panic!("{other:?} is no id"),
        });
        let mut rows: Vec<_> = ids.map(|id| (id, Vec::new())).collect();
        for column in columns {
            let mut row = rows.iter_mut();
            let mut current = None;
            for entry in column {
                if entry.rep == 0 {
                    current = row.next().map(|(_, columns)| {
                        columns.push(Vec::new());
                        columns
                    });
                }
                current.as_mut().unwrap().last_mut().unwrap().push(entry);
            }
            assert!(row.next().is_none());
        }
        rows.into_iter().collect()
    }
}

async fn copy(
    store: &BlockStore,
    inputs: &[Stored],
    without: &BTreeSet<TraceId>,
    options: &WriterOptions,
) -> Result<Stored, CopyError> {
    let account = Account::default();
    let (mut reading, mut copied) = (Vec::new(), Vec::new());
    for input in inputs {
        let reader = input.open(store).await;
        let source = CopySource::open(reader, &options.dedicated_columns, &account).await.unwrap();
        let (reader, input) = source.expect("it can be copied").split();
        reading.push(reader.run(&account));
        copied.push(input);
    }
    let (without, columns, options) = (without.clone(), options.dedicated_columns.clone(), options.clone());
    let copying = tokio::task::spawn_blocking(move || {
        let mut data = Vec::new();
        copy_blocks(copied, &without, u64::MAX, &mut data, &options).map(|written| (data, written))
    });
    let (read, written) = tokio::join!(try_join_all(reading), copying);
    read.unwrap();
    let (data, written) = written.unwrap()?;
    Ok(Stored::new(store, data, written, &columns).await)
}

/// What is copied is as it was, entry by entry; what is in several inputs is as if it had been written combined.
async fn check(blocks: &[Traces], without: &BTreeSet<TraceId>, options: &WriterOptions) {
    let store = BlockStore::in_memory();
    let mut inputs = Vec::new();
    for block in blocks {
        inputs.push(Stored::write(&store, block, options).await);
    }
    let mut pieces: BTreeMap<TraceId, Vec<(usize, TracesData)>> = BTreeMap::new();
    for (at, input) in inputs.iter().enumerate() {
        for (id, trace) in input.traces(&store).await {
            pieces.entry(id).or_default().push((at, trace));
        }
    }
    pieces.retain(|id, _| !without.contains(id));
    let rows: Vec<_> = inputs.iter().map(Stored::rows).collect();
    let (mut expected_rows, mut expected) = (BTreeMap::new(), Traces::new());
    for (id, pieces) in pieces {
        let ids = pieces.iter().map(|(_, trace)| spans(trace)).collect::<Vec<_>>();
        let is_doubled = ids.iter().any(|spans| {
            let distinct: BTreeSet<_> = spans.iter().collect();
            distinct.len() < spans.len()
        });
        if let ([(at, trace)], false) = (pieces.as_slice(), is_doubled) {
            expected_rows.insert(id, rows[*at][&id].clone());
            expected.insert(id, trace.clone());
        } else {
            let combined = combine_traces(pieces.into_iter().map(|(_, trace)| trace).collect());
            let alone = Stored::write(&store, &BTreeMap::from([(id, combined)]), options).await;
            expected_rows.extend(alone.rows());
            expected.extend(alone.traces(&store).await);
        }
    }

    let output = copy(&store, &inputs, without, options).await.expect("copied");
    assert_eq!(output.rows(), expected_rows);
    assert_eq!(output.traces(&store).await, expected);
    assert_eq!(output.meta.total_objects, expected.len() as u64);
    for id in expected.keys() {
        assert!(may_contain(&store, &output.path, &output.meta, *id, &Account::default()).await.unwrap());
    }
    let folder = store.folder(&output.path, &Account::default()).await.unwrap();
    let verified = crate::verify::verify(&store, &output.path, &folder, &Account::default()).await.unwrap();
    assert!(verified.findings.is_empty() || expected.is_empty(), "{:?}", verified.findings);
}

fn spans(trace: &TracesData) -> Vec<Vec<u8>> {
    let scopes = trace.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans).map(|span| span.span_id.clone()).collect()
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_copied_and_pieces_are_combined(
        blocks in prop::collection::vec(prop::collection::btree_map(0..24u8, a_trace(), 0..8), 1..5),
        without in prop::collection::btree_set(0..24u8, 0..3),
        row_group_bytes in prop_oneof![Just(2_000usize), Just(20_000), Just(32 << 20)],
    ) {
        let id = |id: u8| TraceId::new([id; 16]);
        let blocks: Vec<Traces> = blocks
            .into_iter()
            .map(|block| block.into_iter().map(|(trace, spans)| (id(trace), spans)).collect())
            .collect();
        let without = without.into_iter().map(id).collect();
        run(check(&blocks, &without, &WriterOptions { row_group_bytes, ..options() }));
    }
}

/// Attributes of scopes and spans have definition levels of the same height: as many of the one as of the other are the same
/// levels in a page, but here not in its rows.
#[test]
fn levels_that_are_the_same_in_a_page_but_not_in_its_rows() {
    let with = |i: u64, spans: usize, attributes: usize| {
        let (id, mut traces) = trace(i);
        let scope = &mut traces.resource_spans[0].scope_spans[0];
        let span = scope.spans[0].clone();
        let span_of = |n| Span { span_id: vec![n as u8 + 1; 8], ..span.clone() };
        scope.spans = (0..spans).map(span_of).collect();
        let attribute = |n| KeyValue { key: format!("key {n}"), ..KeyValue::default() };
        scope.scope.as_mut().unwrap().attributes = (0..attributes).map(attribute).collect();
        (id, traces)
    };
    let inputs = [Traces::from([with(1, 3, 1), with(2, 1, 3)]), Traces::from([with(2, 1, 3)])];
    run(check(&inputs, &BTreeSet::new(), &options()));
}

/// Blocks of many pages, windows and row groups, so that inputs run out of rows at different times.
#[test]
fn many_pages_and_row_groups_are_copied() {
    let blocks: Vec<Traces> = (0..3u64)
        .map(|block| (0..9000).filter(|i| i % 3 == block || i % 97 == 0).map(trace).collect())
        .collect();
    let options = WriterOptions { row_group_bytes: 600 << 10, ..WriterOptions::default() };
    run(check(&blocks, &BTreeSet::new(), &options));
}

#[tokio::test(flavor = "multi_thread")]
async fn real_blocks_are_copied_as_they_are() {
    let mut copied = 0;
    for block in test_blocks() {
        let (store, account) = (block.store(), Account::default());
        let reader = BlockReader::open(&store, block.path(), &block.meta, &account).await.unwrap();
        let columns = block.meta.dedicated_columns.clone();
        let source = CopySource::open(reader, &columns, &account).await.unwrap();
        assert_eq!(source.is_some(), block.meta.version == BlockVersion::VParquet4, "{}", block.name);
        if source.is_none() {
            continue;
        }
        copied += 1;
        let data = std::fs::read(block.folder.join("data.parquet")).unwrap().into();
        let input = Stored { path: block.path(), meta: block.meta.clone(), data };
        let options = WriterOptions { dedicated_columns: columns.clone(), ..WriterOptions::default() };
        let (reader, copied) = source.unwrap().split();
        let copying = tokio::task::spawn_blocking(move || {
            let mut data = Vec::new();
            copy_blocks(vec![copied], &BTreeSet::new(), u64::MAX, &mut data, &options)
                .map(|written| (data, written))
        });
        let (read, written) = tokio::join!(reader.run(&account), copying);
        read.unwrap();
        let (data, written) = written.unwrap().unwrap();
        let memory = BlockStore::in_memory();
        let output = Stored::new(&memory, data, written, &columns).await;
        assert_eq!(output.rows(), input.rows(), "{}", block.name);
        assert_eq!(output.traces(&memory).await, input.traces(&store).await, "{}", block.name);
    }
    assert!(copied > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_twice_in_one_block_is_left_to_others() {
    let store = BlockStore::in_memory();
    let traces: Traces = (1..200).map(trace).collect();
    let one = Stored::write(&store, &traces, &WriterOptions::default()).await;
    let page = 4..one.open(&store).await.chunk(0, 0).range.end as usize;
    let twice = traces
        .keys()
        .zip(traces.keys().skip(1))
        .find_map(|(first, second)| with_id(&one.data, page.clone(), second.as_bytes(), first.as_bytes()));
    let written = WrittenBlock {
        size: one.meta.size,
        footer_size: one.meta.footer_size,
        total_objects: one.meta.total_objects,
        total_records: one.meta.total_records,
        spans: 0,
        duplicate_spans: 0,
        malformed_parts: 0,
        start_unix_nano: 0,
        end_unix_nano: 0,
        blooms: vec![Bytes::new(); one.meta.bloom_shards as usize],
        index: Bytes::new(),
        sidecars: Vec::new(),
    };
    let twice = Stored::new(&store, twice.expect("a page"), written, &[]).await;
    let copied =
        copy(&store, std::slice::from_ref(&twice), &BTreeSet::new(), &WriterOptions::default()).await;
    assert!(matches!(copied, Err(CopyError::HasTwice(..))));

    // A lookup puts both rows together, as a search does.
    let (reader, account) = (twice.open(&store).await, Account::default());
    let rows = reader.traces(0, &account).await.unwrap();
    let id = rows.windows(2).find(|pair| pair[0].0 == pair[1].0).expect("twice")[0].0;
    let found = reader.find_trace(id, &account).await.unwrap().expect("there");
    let pieces = rows.into_iter().filter(|(of, _)| *of == id).map(|(_, piece)| piece);
    assert_eq!(found, combine_traces(pieces.collect()));
}

/// A file with another id in its page of ids, checksum and all; `None` where that is longer or shorter.
fn with_id(data: &[u8], page: std::ops::Range<usize>, from: &[u8; 16], to: &[u8; 16]) -> Option<Vec<u8>> {
    let crc = |body: &[u8]| {
        let mut encoded = Vec::new();
        let crc = i64::from(crc32fast::hash(body) as i32);
        tempoform_core::protobuf::put_varint(&mut encoded, (crc << 1 ^ crc >> 63) as u64);
        encoded
    };
    let find = |within: &[u8], what: &[u8]| within.windows(what.len()).position(|found| found == what);
    (page.start + 8..page.start + 64).find_map(|start| {
        let (header, body) = (&data[page.start..start], &data[start..page.end]);
        let at = find(header, &crc(body))?;
        let mut changed = data.to_vec();
        let id = start + find(body, from)?;
        changed[id..id + 16].copy_from_slice(to);
        let (old, new) = (crc(body), crc(&changed[start..page.end]));
        changed[page.start + at..][..old.len()].copy_from_slice(new.get(..old.len())?);
        (old.len() == new.len()).then_some(changed)
    })
}
