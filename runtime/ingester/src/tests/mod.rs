//! The ingester as a whole, over a folder and a store that can be made to fail.

mod flushing;
mod following;
mod large_traces;
mod limits;
mod log;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tempoform_block::{BlockReader, BlockStore, StoreOptions};
use tempoform_core::{
    Account, MemoryBudget, PushOutcome, Result, SpanBatch, SpanSink, TenantId, TraceSource,
    scan_export_request,
};
use tempoform_wire::internal::{FindTraceRequest, FindTraceResponse, SearchRequest};
use tempoform_wire::otlp::{
    ExportTraceServiceRequest, Resource, ResourceSpans, ScopeSpans, Span, TracesData,
};

use self::store::Moody;
use crate::options::Durability;
use crate::{Ingester, Options};

/// Everything of an ingester that outlives it.
struct Place {
    folder: tempfile::TempDir,
    moody: Arc<Moody>,
    store: BlockStore,
}

impl Place {
    fn new() -> Self {
        let moody = Arc::new(Moody::default());
        let store =
            BlockStore::new(Arc::clone(&moody) as _, "", StoreOptions::default(), None).expect("a store");
        Self { folder: tempfile::tempdir().expect("a folder"), moody, store }
    }

    fn options(&self) -> Options {
        Options {
            wal_path: self.folder.path().to_owned(),
            durability: Durability::Sync,
            trace_idle_period: Duration::from_secs(10),
            max_block_bytes: 64 << 20,
            max_block_duration: Duration::from_secs(3600),
            flush_check_period: Duration::from_millis(20),
            concurrent_flushes: 2,
            flush_timeout: Duration::from_secs(30),
            fresh_for: Duration::from_secs(600),
            meta_replication_factor: 1,
            dedicated_columns: Arc::new(|_| Vec::new()),
            bloom_false_positive: 0.01,
            bloom_shard_size_bytes: 100 << 10,
            row_group_bytes: 16 << 20,
            max_trace_bytes: Arc::new(|_| 0),
            uploaded: None,
            others: None,
            take_over_after: Duration::from_millis(200),
            max_live_traces: Arc::new(|_| 0),
        }
    }

    async fn start(&self) -> Arc<Ingester> {
        self.start_with(self.options(), MemoryBudget::new(1 << 30)).await
    }

    async fn start_with(&self, options: Options, memory: MemoryBudget) -> Arc<Ingester> {
        Ingester::start(options, self.store.clone(), memory).await.expect("started")
    }

    /// Files of the log with this extension.
    fn files(&self, extension: &str) -> Vec<std::path::PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join(TenantId::single().as_str())) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| extension_of(path).starts_with(extension)).collect()
    }

    /// Spans of a trace in the blocks of the store.
    async fn stored_spans(&self, trace: u8) -> usize {
        let (tenant, account) = (TenantId::single(), Account::default());
        let mut spans = 0;
        for live in self.store.blocks(&tenant, &account).await.expect("listed").live {
            let path = tempoform_block::BlockPath::new(tenant.clone(), live.block);
            let meta = self.store.read_meta(&path, &account).await.expect("a meta");
            let reader = BlockReader::open(&self.store, path, &meta, &account).await.expect("opened");
            let id = tempoform_core::TraceId::new([trace; 16]);
            if let Some(found) = reader.find_trace(id, &account).await.expect("read") {
                spans += count(&found.resource_spans);
            }
        }
        spans
    }
}

fn extension_of(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

/// A request with one span of each trace; `id` tells requests apart.
fn request(traces: &[u8], id: u8) -> ExportTraceServiceRequest {
    let span = |trace: &u8| Span {
        trace_id: vec![*trace; 16],
        span_id: vec![id; 8],
        name: format!("span {id}"),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_500_000_000,
        ..Default::default()
    };
    let spans = traces.iter().map(span).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource::default()),
            scope_spans: vec![ScopeSpans { spans, ..Default::default() }],
            ..Default::default()
        }],
    }
}

fn batch(request: &ExportTraceServiceRequest) -> SpanBatch {
    scan_export_request(request.encode_to_vec().into()).expect("a valid request")
}

async fn push(ingester: &Ingester, traces: &[u8], id: u8) -> Result<PushOutcome> {
    let outcomes = ingester.push(&TenantId::single(), batch(&request(traces, id)).into()).await?;
    Ok(outcomes[0])
}

async fn find(ingester: &Ingester, trace: u8) -> FindTraceResponse {
    let request = FindTraceRequest { trace_id: vec![trace; 16].into(), ..Default::default() };
    ingester.find_trace(&TenantId::single(), request).await.expect("an answer")
}

/// Spans of a trace that the ingester has.
async fn live_spans(ingester: &Ingester, trace: u8) -> usize {
    let found = find(ingester, trace).await;
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    let decoded = found.pieces.iter().map(|piece| TracesData::decode(&piece[..]).expect("a piece"));
    decoded.map(|data| count(&data.resource_spans)).sum()
}

fn count(resources: &[ResourceSpans]) -> usize {
    resources.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum()
}

async fn searched(ingester: &Ingester, query: &str) -> usize {
    let request = SearchRequest { query: query.to_owned(), limit: 1000, ..Default::default() };
    let found = ingester.search(&TenantId::single(), request).await.expect("an answer");
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    found.traces.len()
}
