//! The compactor over a store in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;
use tempoform_block::{
    BlockMeta, BlockObjects, BlockPath, BlockReader, BlockStore, BlockVersion, BlockWriter, EncodedTrace,
    StoreOptions, WriterOptions, combine_traces,
};
use tempoform_core::{Account, MemoryBudget, TenantId, TraceId};
use tempoform_wire::otlp::{Resource, ResourceSpans, ScopeSpans, Span, TracesData};
use uuid::Uuid;

use crate::retention::is_expired;
use crate::{Compactor, Options};

mod backlog;
mod every_step;
mod troubled_store;

pub(crate) fn options() -> Options {
    Options {
        cycle: Duration::from_secs(1),
        retention: Arc::new(|_| Duration::from_secs(3600)),
        compacted_retention: Duration::from_secs(3600),
        concurrency: 4,
        retention_concurrency: 4,
        window: Arc::new(|_| Duration::from_secs(3600)),
        max_block_bytes: 1 << 30,
        max_traces: 1_000_000,
        max_time_per_tenant: Duration::from_secs(300),
        concurrent_merges: 2,
        unfinished_upload_age: Duration::from_secs(86_400),
        owns: Arc::new(|_| true),
        memory: MemoryBudget::new(1 << 30),
        row_group_bytes: 1 << 20,
        bloom_false_positive: 0.01,
        bloom_shard_size_bytes: 100 << 10,
        max_sidecar_bytes: tempoform_block::extra::MAX_BYTES,
    }
}

/// A store, and the bucket below it.
pub(crate) fn bucket() -> (BlockStore, Arc<InMemory>) {
    let objects = Arc::new(InMemory::new());
    let store =
        BlockStore::new(Arc::clone(&objects) as _, "", StoreOptions::default(), None).expect("a store");
    (store, objects)
}

pub(crate) fn key(block: Uuid, object: &str) -> Path {
    Path::from(format!("{}/{block}/{object}", TenantId::single()))
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("a time")
}

fn compactor(store: &BlockStore) -> Compactor {
    Compactor::new(store.clone(), options())
}

/// A trace with these spans, each of a service of its own.
fn trace(id: u8, spans: &[u8]) -> (TraceId, TracesData) {
    let span = |span: &u8| Span {
        trace_id: vec![id; 16],
        span_id: vec![*span; 8],
        name: format!("span {span}"),
        start_time_unix_nano: now().as_nanosecond() as u64 + u64::from(*span),
        end_time_unix_nano: now().as_nanosecond() as u64 + 1_000_000,
        flags: 0x101,
        ..Default::default()
    };
    let resource = |one: &u8| ResourceSpans {
        resource: Some(Resource { dropped_attributes_count: u32::from(*one), ..Default::default() }),
        scope_spans: vec![ScopeSpans { spans: vec![span(one)], ..Default::default() }],
        schema_url: format!("https://schema/{one}"),
    };
    (TraceId::new([id; 16]), TracesData { resource_spans: spans.iter().map(resource).collect() })
}

/// Writes a block with real data that ended at `end`.
pub(crate) async fn write(store: &BlockStore, traces: &BTreeMap<u8, Vec<u8>>, end: Timestamp) -> Uuid {
    write_traces(store, traces.iter().map(|(id, spans)| trace(*id, spans)).collect(), end).await
}

async fn write_traces(store: &BlockStore, traces: Vec<(TraceId, TracesData)>, end: Timestamp) -> Uuid {
    let (tenant, account, id) = (TenantId::single(), Account::default(), Uuid::new_v4());
    let mut upload = store.upload(BlockPath::new(tenant.clone(), id));
    let written = upload.build(&account, move |output| {
        let mut writer = BlockWriter::new(output, WriterOptions::default()).expect("a writer");
        for (id, trace) in &traces {
            writer.add_trace(*id, &EncodedTrace::of(trace).resources()).expect("added");
        }
        Ok::<_, tempoform_block::BlockError>(writer.finish().expect("finished"))
    });
    let written = written.await.expect("built");
    let mut meta = BlockMeta::new(BlockVersion::VParquet4, id, tenant.as_str());
    (meta.start_time, meta.end_time) = (end, end);
    (meta.size, meta.total_objects) = (written.size, written.total_objects);
    (meta.total_records, meta.footer_size) = (written.total_records.max(1), written.footer_size);
    meta.bloom_shards = written.blooms.len() as u32;
    upload.finish(BlockObjects::from(written), &meta, &account).await.expect("finished");
    id
}

pub(crate) async fn live(store: &BlockStore) -> Vec<Uuid> {
    let listed = store.blocks(&TenantId::single(), &Account::default()).await.expect("listed");
    listed.live.into_iter().map(|live| live.block).collect()
}

pub(crate) async fn read(store: &BlockStore, id: Uuid) -> BTreeMap<TraceId, TracesData> {
    let account = Account::default();
    let path = BlockPath::new(TenantId::single(), id);
    let meta = store.read_meta(&path, &account).await.expect("a meta");
    let reader = BlockReader::open(store, path, &meta, &account).await.expect("opened");
    let mut traces = BTreeMap::new();
    for group in 0..reader.row_groups() {
        traces.extend(reader.traces(group, &account).await.expect("read"));
    }
    assert_eq!(traces.len() as u64, meta.total_objects);
    traces
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_block_is_marked_then_deleted_and_the_index_follows() {
    let store = BlockStore::in_memory();
    let (tenant, account) = (TenantId::single(), Account::default());
    let spans = BTreeMap::from([(1, vec![1])]);
    let young = write(&store, &spans, now()).await;
    // Not merged with the other: another window.
    let old = write(&store, &spans, now() - Duration::from_secs(7200)).await;

    let wait = Arc::new(|_: &TenantId| Duration::from_millis(1000));
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let mut first = Compactor::new(store.clone(), Options { retention: wait, ..options() });
    first.cycle().await.expect("a cycle");
    let index = store.read_tenant_index(&tenant, &account).await.expect("readable").expect("an index");
    assert_eq!((index.live.len(), index.compacted.len()), (0, 2), "both are older than a second by now");
    assert!(live(&store).await.is_empty());

    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut second =
        Compactor::new(store.clone(), Options { compacted_retention: Duration::ZERO, ..options() });
    second.cycle().await.expect("a cycle");
    let left = store.blocks(&tenant, &account).await.expect("listed");
    assert!(left.live.is_empty() && left.compacted.is_empty(), "{young} and {old} are deleted: {left:?}");
}

#[test]
fn spans_with_a_wrong_clock_are_kept_as_long_as_others() {
    let hour = SignedDuration::from_hours(1);
    let at = |hours: i64| now() + SignedDuration::from_hours(hours);
    let expired = |end, written, now| {
        let mut meta = BlockMeta::new(BlockVersion::VParquet4, Uuid::nil(), "t");
        meta.end_time = end;
        is_expired(&meta, written, hour, now)
    };
    let soon = SignedDuration::from_mins(30);
    assert!(!expired(at(0), at(0), at(0) + soon) && expired(at(0), at(0), at(1) + soon));
    assert!(
        !expired(Timestamp::UNIX_EPOCH, at(0), at(0) + soon),
        "sent late, or by a clock that starts at 1970"
    );
    assert!(expired(Timestamp::UNIX_EPOCH, at(0), at(1) + soon));
    assert!(
        !expired(at(50_000), at(0), at(0) + soon) && expired(at(50_000), at(0), at(1) + soon),
        "from the future"
    );
    assert!(
        expired(at(0), at(0) + soon, at(1) + SignedDuration::from_mins(1)),
        "usually by the spans' times"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_blocks_give_what_their_inputs_gave() {
    let store = BlockStore::in_memory();
    let blocks = [
        BTreeMap::from([(1, vec![1, 2]), (2, vec![1]), (9, vec![9])]),
        BTreeMap::from([(1, vec![2, 3]), (3, vec![1, 2, 3])]),
        BTreeMap::from([(2, vec![1]), (4, vec![1])]),
    ];
    let mut pieces: BTreeMap<TraceId, Vec<TracesData>> = BTreeMap::new();
    for block in &blocks {
        let id = write(&store, block, now()).await;
        for (id, piece) in read(&store, id).await {
            pieces.entry(id).or_default().push(piece);
        }
    }
    compactor(&store).cycle().await.expect("a cycle");
    let merged = live(&store).await;
    assert_eq!(merged.len(), 1, "{merged:?}");
    let expected: BTreeMap<_, _> =
        pieces.into_iter().map(|(id, pieces)| (id, combine_traces(pieces))).collect();
    assert_eq!(read(&store, merged[0]).await, expected);
    let account = Account::default();
    let meta =
        store.read_meta(&BlockPath::new(TenantId::single(), merged[0]), &account).await.expect("a meta");
    assert_eq!((meta.compaction_level, meta.total_objects), (1, 5));
    let index =
        store.read_tenant_index(&TenantId::single(), &account).await.expect("readable").expect("an index");
    assert_eq!((index.live.len(), index.compacted.len()), (1, 3));

    compactor(&store).cycle().await.expect("a cycle");
    assert_eq!(live(&store).await, merged, "one block is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_writing_and_marking_and_a_second_compactor_do_no_harm() {
    let (store, objects) = bucket();
    let inputs = [
        write(&store, &BTreeMap::from([(1, vec![1])]), now()).await,
        write(&store, &BTreeMap::from([(2, vec![1])]), now()).await,
    ];
    let (mut one, mut other) = (compactor(&store), compactor(&store));
    let (first, second) = tokio::join!(one.cycle(), other.cycle());
    first.and(second).expect("cycles");
    let merged = live(&store).await;
    assert_eq!(merged.len(), 1, "the same block, not two: {merged:?}");

    // As if it had died before the inputs were marked: they are live again beside the merged block.
    for input in inputs {
        objects.rename(&key(input, "meta.compacted.json"), &key(input, "meta.json")).await.expect("renamed");
    }
    assert_eq!(live(&store).await.len(), 3);
    compactor(&store).cycle().await.expect("a cycle");
    compactor(&store).cycle().await.expect("a cycle");
    let traces = read(&store, live(&store).await[0]).await;
    assert_eq!((live(&store).await.len(), traces.len()), (1, 2));
    let spans: usize = traces.values().flat_map(|trace| &trace.resource_spans).count();
    assert_eq!(spans, 2, "nothing is doubled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_block_is_set_aside_and_the_others_are_merged() {
    let (store, objects) = bucket();
    let bad = write(&store, &BTreeMap::from([(1, vec![1])]), now()).await;
    for id in 2..6 {
        write(&store, &BTreeMap::from([(id, vec![1])]), now()).await;
    }
    let data = key(bad, "data.parquet");
    let length = objects.head(&data).await.expect("there").size as usize;
    objects.put(&data, vec![0xa5; length].into()).await.expect("damaged");
    let mut compactor = compactor(&store);
    compactor.cycle().await.expect("a cycle");
    compactor.cycle().await.expect("a cycle");
    let left = live(&store).await;
    assert!(left.len() == 2 && left.contains(&bad), "{left:?}");
}

#[tokio::test]
async fn an_upload_under_way_is_no_leftover() {
    let (store, objects) = bucket();
    let (tenant, account) = (TenantId::single(), Account::default());
    let whole = write(&store, &BTreeMap::from([(1, vec![1])]), now()).await;
    let half = Uuid::new_v4();
    objects.put(&key(half, "data.parquet"), "PAR1".into()).await.expect("written");
    let left = store.blocks(&tenant, &account).await.expect("listed").half_written;
    assert_eq!(left.iter().map(|left| left.block).collect::<Vec<_>>(), [half], "{whole} is a block");
    assert!(left[0].last_written >= now() - Duration::from_secs(60));
    compactor(&store).cycle().await.expect("a cycle");
    let left = store.blocks(&tenant, &account).await.expect("listed").half_written;
    assert_eq!(left.len(), 1, "it may be under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_others_is_left_to_them() {
    let store = BlockStore::in_memory();
    for id in 1..4 {
        write(&store, &BTreeMap::from([(id, vec![1])]), now()).await;
    }
    let nothing = Options { owns: Arc::new(|_| false), ..options() };
    Compactor::new(store.clone(), nothing).cycle().await.expect("a cycle");
    assert_eq!(live(&store).await.len(), 3);
    let index = store.read_tenant_index(&TenantId::single(), &Account::default()).await.expect("readable");
    assert!(index.is_none(), "nor an index written");
    let off = Options { window: Arc::new(|_| Duration::ZERO), ..options() };
    Compactor::new(store.clone(), off).cycle().await.expect("a cycle");
    assert_eq!(live(&store).await.len(), 3, "merging is switched off");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is in which block: the merged block has every span once.
    #[test]
    fn no_span_is_lost_or_doubled(
        blocks in prop::collection::vec(prop::collection::btree_map(0..12u8, prop::collection::vec(1..9u8, 1..6), 1..8), 2..7)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store = BlockStore::in_memory();
            let mut expected: BTreeMap<u8, std::collections::BTreeSet<u8>> = BTreeMap::new();
            for block in &blocks {
                write(&store, block, now()).await;
                block.iter().for_each(|(id, spans)| expected.entry(*id).or_default().extend(spans));
            }
            compactor(&store).cycle().await.expect("a cycle");
            let merged = live(&store).await;
            assert_eq!(merged.len(), 1);
            let mut found: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
            for (id, trace) in read(&store, merged[0]).await {
                let spans = trace.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
                let mut ids: Vec<u8> = spans.map(|span| span.span_id[0]).collect();
                ids.sort_unstable();
                found.insert(id.as_bytes()[0], ids);
            }
            let expected: BTreeMap<u8, Vec<u8>> = expected.into_iter().map(|(id, spans)| (id, spans.into_iter().collect())).collect();
            assert_eq!(found, expected);
        });
    }
}

/// A part of trace 5, of five megabytes.
fn large(span: u8) -> (TraceId, TracesData) {
    let (id, mut trace) = trace(5, &[span]);
    trace.resource_spans[0].scope_spans[0].spans[0].name = "n".repeat(5_000_000);
    (id, trace)
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_whose_sidecars_are_too_large_together_stay_apart() {
    let (store, _objects) = bucket();
    for id in 1..=4 {
        write(&store, &BTreeMap::from([(id, vec![id])]), now() - Duration::from_secs(7200)).await;
    }
    // A trace has some 45 bytes in it: two fit, four do not.
    let bounded = Options { max_sidecar_bytes: 130, ..options() };
    let mut compactor = Compactor::new(store.clone(), bounded);
    for _ in 0..4 {
        compactor.cycle().await.expect("a cycle");
    }
    let mut left = live(&store).await;
    left.sort_unstable();
    assert_eq!(left.len(), 2, "pairs are merged, and not both");
    let overview = compactor.status().overview();
    let aside = &overview.tenants[TenantId::single().as_str()].set_aside;
    let mut apart: Vec<Uuid> = aside.iter().map(|aside| aside.block).collect();
    apart.sort_unstable();
    assert_eq!((apart, overview.backlog_blocks), (left.clone(), 0), "they are not tried again");
    assert!(aside.iter().all(|aside| aside.why.contains("tempoform.extra would have")), "{aside:?}");
    let mut schemas = Vec::new();
    for block in left {
        for trace in read(&store, block).await.into_values() {
            schemas.extend(trace.resource_spans.into_iter().map(|resource| resource.schema_url));
        }
    }
    schemas.sort_unstable();
    assert_eq!(schemas, [1, 2, 3, 4].map(|id| format!("https://schema/{id}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_with_parts_of_a_trace_too_large_for_one_stay_apart_and_the_others_are_merged() {
    let (store, _objects) = bucket();
    for span in 1..=3 {
        write_traces(&store, vec![trace(1, &[span]), large(span), trace(9, &[span])], now()).await;
    }
    for span in 4..=6 {
        write(&store, &BTreeMap::from([(1, vec![span]), (9, vec![span])]), now()).await;
    }
    // A merged block takes 8 MiB of a trace: one part.
    let memory = MemoryBudget::new(120 << 20);
    let mut compactor = Compactor::new(store.clone(), Options { memory: memory.clone(), ..options() });
    for _ in 0..8 {
        compactor.cycle().await.expect("a cycle");
    }
    let left = live(&store).await;
    assert!((3..=4).contains(&left.len()), "{} of 6 blocks are left", left.len());
    compactor.cycle().await.expect("a cycle");
    let mut still = live(&store).await;
    still.sort_unstable();
    assert_eq!(
        still,
        {
            let mut left = left.clone();
            left.sort_unstable();
            left
        },
        "nothing more is tried"
    );
    let mut pieces: BTreeMap<TraceId, Vec<TracesData>> = BTreeMap::new();
    for block in left {
        for (id, piece) in read(&store, block).await {
            pieces.entry(id).or_default().push(piece);
        }
    }
    let spans = |id: u8| {
        let whole = combine_traces(pieces[&TraceId::new([id; 16])].clone());
        whole
            .resource_spans
            .iter()
            .flat_map(|one| &one.scope_spans)
            .map(|scope| scope.spans.len())
            .sum::<usize>()
    };
    assert_eq!([spans(1), spans(5), spans(9)], [6, 3, 6], "nothing is lost");
    assert_eq!(memory.used(), 0, "everything that was held is given back");
}
