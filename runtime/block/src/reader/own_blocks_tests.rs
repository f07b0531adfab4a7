//! Blocks of our own writer, through our own store, read back.

use bytes::Bytes;
use prost::Message as _;
use tempoform_core::{Account, TraceId};
use tempoform_wire::otlp::{KeyValue, Resource, ResourceSpans, ScopeSpans, Span, TracesData, span};

use super::*;
use crate::dedicated::{default_dedicated_columns, filter_for_version};
use crate::meta::BlockVersion;
use crate::writer::{BlockWriter, EncodedResource, EncodedScope, WriterOptions};

pub(crate) fn trace(i: u64) -> (TraceId, TracesData) {
    let id = TraceId::new((u128::from(i) << 64).to_be_bytes());
    let spans = (0..1 + i % 5).map(|n| Span {
        trace_id: id.as_bytes().to_vec(),
        span_id: (i * 10 + n + 1).to_be_bytes().to_vec(),
        name: format!("operation {}", i % 7),
        kind: 1 + (n % 5) as i32,
        start_time_unix_nano: 1_700_000_000_000_000_000 + i * 1_000 + n,
        end_time_unix_nano: 1_700_000_000_000_000_500 + i * 1_000 + n,
        flags: (i % 3) as u32,
        events: vec![span::Event { name: "event".to_owned(), time_unix_nano: 7, ..span::Event::default() }],
        status: Some(tempoform_wire::otlp::Status::default()),
        ..Span::default()
    });
    let attribute = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(tempoform_wire::otlp::AnyValue {
            value: Some(tempoform_wire::otlp::any_value::Value::StringValue(value.to_owned())),
        }),
    };
    let resource = Resource {
        attributes: vec![attribute("service.name", "shop"), attribute("region", "eu")],
        dropped_attributes_count: 0,
    };
    let scope = ScopeSpans {
        scope: Some(Default::default()),
        spans: spans.collect(),
        schema_url: format!("https://example.com/{}", i % 2),
    };
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans: vec![scope], schema_url: String::new() }];
    (id, TracesData { resource_spans })
}

/// A block's meta and data.
pub(super) fn written(traces: &[(TraceId, TracesData)]) -> (BlockMeta, Vec<u8>) {
    let (meta, data, _) = write(traces, WriterOptions::default().row_group_bytes);
    (meta, data)
}

fn write(
    traces: &[(TraceId, TracesData)],
    row_group_bytes: usize,
) -> (BlockMeta, Vec<u8>, crate::WrittenBlock) {
    let block_id = uuid::Uuid::from_u128(7);
    let dedicated = filter_for_version(&BlockVersion::VParquet4, &default_dedicated_columns());
    let options = WriterOptions {
        dedicated_columns: dedicated.clone(),
        expected_traces: traces.len() as u64,
        row_group_bytes,
        ..WriterOptions::default()
    };
    let mut data = Vec::new();
    let mut writer = BlockWriter::new(&mut data, options).unwrap();
    for (id, trace) in traces {
        let encoded: Vec<_> = trace.resource_spans.iter().map(Encoded::new).collect();
        let resources: Vec<_> = encoded.iter().map(Encoded::borrowed).collect();
        writer.add_trace(*id, &resources).unwrap();
    }
    let written = writer.finish().unwrap();
    let meta = BlockMeta {
        total_objects: written.total_objects,
        size: written.size,
        total_records: written.total_records,
        bloom_shards: written.blooms.len() as u32,
        footer_size: written.footer_size,
        dedicated_columns: dedicated,
        ..BlockMeta::new(BlockVersion::VParquet4, block_id, "single-tenant")
    };
    (meta, data, written)
}

async fn upload(store: &BlockStore, traces: &[(TraceId, TracesData)]) -> (BlockPath, BlockMeta) {
    upload_in_row_groups(store, traces, WriterOptions::default().row_group_bytes).await
}

async fn upload_in_row_groups(
    store: &BlockStore,
    traces: &[(TraceId, TracesData)],
    row_group_bytes: usize,
) -> (BlockPath, BlockMeta) {
    let (meta, data, written) = write(traces, row_group_bytes);
    let path = BlockPath::new(tempoform_core::TenantId::single(), meta.block_id);
    let account = Account::default();
    let mut upload = store.upload(path.clone());
    upload.write(Bytes::from(data), &account).await.unwrap();
    upload.finish(written.into(), &meta, &account).await.unwrap();
    (path, meta)
}

/// A `ResourceSpans` encoded as the writer takes it.
struct Encoded {
    resource: Vec<u8>,
    resource_url: String,
    scopes: Vec<(Vec<u8>, String, Vec<Vec<u8>>)>,
}

impl Encoded {
    fn new(resource_spans: &ResourceSpans) -> Self {
        let scope = |scope: &ScopeSpans| {
            let spans = scope.spans.iter().map(Span::encode_to_vec).collect();
            (scope.scope.clone().unwrap_or_default().encode_to_vec(), scope.schema_url.clone(), spans)
        };
        Self {
            resource: resource_spans.resource.clone().unwrap_or_default().encode_to_vec(),
            resource_url: resource_spans.schema_url.clone(),
            scopes: resource_spans.scope_spans.iter().map(scope).collect(),
        }
    }

    fn borrowed(&self) -> EncodedResource<'_> {
        EncodedResource {
            resource: &self.resource,
            schema_url: self.resource_url.as_bytes(),
            scopes: self
                .scopes
                .iter()
                .map(|(scope, url, spans)| EncodedScope {
                    scope,
                    schema_url: url.as_bytes(),
                    spans: spans.iter().map(Vec::as_slice).collect(),
                })
                .collect(),
        }
    }
}

#[tokio::test]
async fn what_our_writer_wrote_is_read_back_with_flags_and_schema_urls() {
    let traces: Vec<_> = (0..500).map(trace).collect();
    let store = BlockStore::in_memory();
    let (path, meta) = upload(&store, &traces).await;
    let account = Account::default();
    let reader = BlockReader::open(&store, path.clone(), &meta, &account).await.unwrap();
    for (id, expected) in traces.iter().step_by(37) {
        assert!(may_contain(&store, &path, &meta, *id, &account).await.unwrap());
        assert_eq!(reader.find_trace(*id, &account).await.unwrap().as_ref(), Some(&in_store_order(expected)));
    }
    let mut all = Vec::new();
    for row_group in 0..reader.row_groups() {
        all.extend(reader.traces(row_group, &account).await.unwrap());
    }
    let expected: Vec<_> = traces.iter().map(|(id, trace)| (*id, in_store_order(trace))).collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_sidecar_counts_in_the_cache_once_it_is_decoded() {
    let store = BlockStore::in_memory();
    let (id, mut with_url) = trace(1);
    // In the object, and there with its bytes, it is a few.
    with_url.resource_spans[0].schema_url = "u".repeat(100_000);
    let (path, meta) = upload(&store, &[(id, with_url.clone())]).await;
    let account = Account::default();
    let reader = BlockReader::open(&store, path, &meta, &account).await.unwrap();
    let before = store.cached_bytes();
    let found = reader.find_trace(id, &account).await.unwrap().unwrap();
    assert_eq!(found.resource_spans[0].schema_url, with_url.resource_spans[0].schema_url);
    let more = store.cached_bytes() - before;
    assert!((100_000..200_000).contains(&more), "{more} bytes more");
    reader.find_trace(id, &account).await.unwrap();
    assert_eq!(store.cached_bytes() - before, more, "once");
}

/// Attributes with a column of their own come after the generic ones.
fn in_store_order(trace: &TracesData) -> TracesData {
    let mut trace = trace.clone();
    for resource in trace.resource_spans.iter_mut().filter_map(|spans| spans.resource.as_mut()) {
        resource.attributes.sort_by_key(|attribute| attribute.key == "service.name");
    }
    trace
}

/// Requests in flight together count once: each takes the same time, on a clock that moves only when all wait.
async fn rounds(read: impl Future) -> u128 {
    let start = tokio::time::Instant::now();
    read.await;
    start.elapsed().as_millis() / LATENCY.as_millis()
}

const LATENCY: std::time::Duration = std::time::Duration::from_secs(1);

async fn lookup_in_rounds(traces: u64, row_group_bytes: usize) -> (u128, u128) {
    let traces: Vec<_> = (0..traces).map(trace).collect();
    let throttle =
        object_store::throttle::ThrottleConfig { wait_get_per_call: LATENCY, ..Default::default() };
    let objects =
        object_store::throttle::ThrottledStore::new(object_store::memory::InMemory::new(), throttle);
    let options = crate::StoreOptions { concurrency: 1000, max_requests: 1000, ..Default::default() };
    let store = BlockStore::new(Arc::new(objects), "", options, None).unwrap();
    let (path, meta) = upload_in_row_groups(&store, &traces, row_group_bytes).await;
    let account = Account::default();
    let mut reader = None;
    let opening = rounds(async {
        reader = Some(BlockReader::open(&store, path, &meta, &account).await.unwrap());
    });
    let opening = opening.await;
    let (reader, opened) = (reader.unwrap(), account.snapshot());
    let (id, expected) = &traces[traces.len() / 2];
    let looking = rounds(async {
        assert_eq!(reader.find_trace(*id, &account).await.unwrap(), Some(in_store_order(expected)));
    });
    let looking = looking.await;
    let read = account.snapshot();
    assert!(read.requests - opened.requests <= 2, "pages and sidecar: {read:?}");
    assert!(read.bytes - opened.bytes < BlockReader::MAX_LOCATE_MEMORY, "{read:?} of {}", meta.size);
    (opening, looking)
}

#[tokio::test(start_paused = true)]
async fn lookup_in_an_open_block_takes_one_read() {
    assert_eq!(lookup_in_rounds(20_000, 32 << 20).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn lookup_takes_one_read_where_there_are_many_row_groups() {
    assert_eq!(lookup_in_rounds(30_000, 32 << 10).await, (1, 1));
}
