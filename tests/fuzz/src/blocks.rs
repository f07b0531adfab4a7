//! Blocks, opened and read in every way.

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempoform_block::{
    BlockError, BlockMeta, BlockObject, BlockPath, BlockReader, BlockStore, BlockVersion, Extra, SearchError,
    SearchLimits, StoreOptions, TagNames, TagScope, WrittenBlock,
};
use tempoform_core::{Account, TenantId, TraceId};
use tempoform_traceql::Query;
use tempoform_wire::otlp::{ResourceSpans, ScopeSpans, Span, TracesData, span};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::input::Input;
use crate::resources::within;

/// A block's file and what its meta says.
#[derive(Clone, Debug)]
pub(crate) struct File {
    data: Bytes,
    meta: BlockMeta,
}

/// Bytes at the end of a Parquet file: the footer's length and the magic.
const TRAILER: usize = 8;
/// What [`BlockReader::compute`] makes of a panic.
const PANICKED: &str = "could not be decoded";
/// A footer that claims more entries is not read on: what is claimed is reserved in the budget of memory before.
const MOST_ENTRIES: u64 = 1 << 20;

impl File {
    /// A file of our writer.
    pub(crate) fn of(data: Vec<u8>, written: &WrittenBlock) -> Self {
        let meta = BlockMeta {
            total_objects: written.total_objects,
            total_records: written.total_records,
            footer_size: written.footer_size,
            ..described(data.len())
        };
        Self { data: data.into(), meta }
    }

    /// Any bytes.
    fn claimed(data: &[u8]) -> Self {
        let length = data.get(data.len().saturating_sub(TRAILER)..).and_then(|end| end.first_chunk::<4>());
        let footer_size = length.map_or(0, |length| u32::from_le_bytes(*length));
        let meta = BlockMeta { total_objects: 1, total_records: 1, footer_size, ..described(data.len()) };
        Self { data: Bytes::copy_from_slice(data), meta }
    }
}

fn described(length: usize) -> BlockMeta {
    BlockMeta {
        size: length as u64,
        bloom_shards: 1,
        ..BlockMeta::new(BlockVersion::VParquet4, Uuid::nil(), TenantId::single().as_str())
    }
}

/// One thread: `spawn_blocking` has its own.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(1).build().expect("a runtime starts")
}

async fn open(file: &File, account: &Account) -> Result<BlockReader, BlockError> {
    let path = BlockPath::new(TenantId::single(), file.meta.block_id);
    let objects = Arc::new(InMemory::new());
    let put = objects.put(&path.object(&BlockObject::Data), file.data.clone().into()).await;
    put.expect("memory can be written to");
    let objects: Arc<dyn ObjectStore> = objects;
    let store = BlockStore::new(objects, "", StoreOptions::default(), None).expect("a sound prefix");
    BlockReader::open(&store, path, &file.meta, account).await
}

/// Spans of a block that is whole; each of `ids` is found.
pub(crate) fn written_spans(file: &File, ids: &[TraceId]) -> u64 {
    runtime().block_on(async {
        let account = Account::default();
        let reader = open(file, &account).await.expect("our writer's block opens");
        let mut spans = 0;
        for row_group in 0..reader.row_groups() {
            for (_, trace) in reader.traces(row_group, &account).await.expect("our writer's block is read") {
                spans += spans_of(&trace);
            }
        }
        for id in ids {
            let found = reader.find_trace(*id, &account).await.expect("our writer's block is read");
            assert!(found.is_some_and(|trace| spans_of(&trace) > 0), "{id}");
        }
        spans
    })
}

fn spans_of(trace: &TracesData) -> u64 {
    let scopes = trace.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len() as u64).sum()
}

/// A damaged block is told of, or answers; a panic, caught by the reader, is neither.
pub(crate) fn block(data: &[u8]) {
    runtime().block_on(read(&File::claimed(data)));
}

fn told<T>(answer: Result<T, BlockError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(BlockError::Corrupt { what, .. }) => {
            assert!(!what.contains(PANICKED), "a panic while reading");
            None
        }
        Err(_) => None,
    }
}

fn searched<T>(answer: Result<T, SearchError>) {
    if let Err(SearchError::Block(error)) = answer {
        told::<T>(Err(error));
    }
}

async fn read(file: &File) {
    let account = Account::default();
    let Some(reader) = told(open(file, &account).await) else { return };
    let layout = reader.layout();
    if layout.columns.iter().map(|column| column.entries).fold(0, u64::saturating_add) > MOST_ENTRIES {
        return;
    }
    let query = r#"{ span.a.str = "x" || resource.a.int = 1 || event:name = "event" || duration > 1s } | select(name)"#;
    let query = Query::parse(query).expect("a query");
    let every_trace = Query::parse("{ }").expect("a query");
    for row_group in 0..reader.row_groups().min(4) {
        for (id, trace) in told(reader.traces(row_group, &account).await).into_iter().flatten().take(4) {
            let found = told(reader.find_trace(id, &account).await).flatten();
            if let Some(found) = found
                && reader.row_groups() == 1
            {
                assert!(spans_of(&found) <= file.data.len() as u64 || spans_of(&trace) > 0);
            }
        }
        if let Some(plan) = told(reader.plan_traces(row_group, 1..2, &account).await) {
            told(reader.read_traces(plan, &account).await);
        }
        told(reader.tag_names(row_group, &TagScope::ALL, &TagNames::new(), &account).await);
        for field in query.fields() {
            told(reader.tag_values(row_group, &field, 1 << 20, &account).await);
        }
        searched(reader.evaluate(row_group, &query, &[], &account).await);
        for query in [&query, &every_trace] {
            searched(reader.search(row_group, query, &SearchLimits::default(), 0, &account).await);
        }
    }
}

/// The sidecar: what it says of a trace it says again, in memory in proportion. The first byte says whether the rest is
/// yet to be compressed.
pub(crate) fn extra(data: &[u8]) {
    let mut input = Input::new(data);
    let is_body = input.byte() & 1 == 1;
    let object = if is_body {
        let body = zstd::encode_all(input.rest(), 1).expect("memory can be written to");
        [b"TFX1".as_slice(), &body].concat()
    } else {
        input.rest().to_vec()
    };
    // A decoder's window, and what an input of this length expands to.
    let most = (16 << 20) + if is_body { data.len() * 64 } else { 512 << 20 };
    let Ok(extra) = within(most, || Extra::decode(&object)) else { return };
    for row in [0, 1, extra.rows() / 2, extra.rows().saturating_sub(1), extra.rows(), u64::MAX] {
        let mut once = trace();
        within((64 << 10) + data.len() * 64, || extra.apply(row, &mut once));
        let mut twice = once.clone();
        extra.apply(row, &mut twice);
        assert_eq!(once, twice);
        if row >= extra.rows() {
            assert_eq!(once, trace());
        }
    }
}

fn trace() -> TracesData {
    let link = || span::Link::default();
    let span = Span { links: vec![link(), link()], ..Span::default() };
    let scope = ScopeSpans { spans: vec![span; 3], ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope; 2], ..ResourceSpans::default() };
    TracesData { resource_spans: vec![resource; 2] }
}
