//! The retriever over buckets that real Tempo wrote, as they are and damaged.

mod answers;
mod damage;
mod list;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempoform_block::{BlockStore, StoreOptions, combine_traces};
use tempoform_core::{MemoryBudget, TenantId, TraceId, TraceSource as _};
use tempoform_wire::internal::{
    FindTraceRequest, FindTraceResponse, SearchRequest, SearchResponse, TagNamesRequest, TagValuesRequest,
    TagValuesResponse,
};
use tempoform_wire::otlp::TracesData;

use crate::{Retriever, RetrieverOptions};

/// A bucket of the test data.
struct Bucket {
    folder: PathBuf,
}

impl Bucket {
    /// All of them: one a version of Tempo and block format.
    fn all() -> Vec<Self> {
        let folder = std::env::var("TEMPOFORM_TEST_BLOCKS")
            .expect("set TEMPOFORM_TEST_BLOCKS to the folder with the real blocks (`cargo xtask test` does)");
        let is_bucket = |folder: &PathBuf| folder.join("single-tenant").is_dir();
        let mut folders: Vec<_> = children(Path::new(&folder)).into_iter().filter(is_bucket).collect();
        folders.sort();
        assert!(!folders.is_empty(), "{folder} holds no buckets");
        folders.into_iter().map(|folder| Self { folder }).collect()
    }

    fn named(name: &str) -> Self {
        Self::all().into_iter().find(|bucket| bucket.folder.ends_with(name)).unwrap()
    }

    fn name(&self) -> &str {
        self.folder.file_name().unwrap().to_str().unwrap()
    }

    /// The text of the file beside the bucket whose name starts with `prefix`.
    fn companion(&self, prefix: &str) -> String {
        let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
        std::fs::read_to_string(children(&self.folder).into_iter().find(is_it).unwrap()).unwrap()
    }

    /// What Tempo answers by id, for each trace.
    fn golden(&self) -> Vec<(TraceId, TracesData)> {
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = line["traceID"].as_str().unwrap().parse().unwrap();
            (id, serde_json::from_value(line["trace"].clone()).unwrap())
        };
        self.companion("golden.").lines().map(line).collect()
    }

    fn block_folder(&self) -> PathBuf {
        children(&self.folder.join("single-tenant")).into_iter().find(|path| path.is_dir()).unwrap()
    }

    async fn retriever(&self) -> Arc<Retriever> {
        retriever(&self.folder).await
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Copies blocks into a bucket of one's own, without a tenant index; gives it and the blocks' folders.
fn bucket_of(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let bucket = tempfile::tempdir().unwrap();
    let copy = |name: &&str| {
        let source = Bucket::named(name).block_folder();
        let target = bucket.path().join("single-tenant").join(source.file_name().unwrap());
        std::fs::create_dir_all(&target).unwrap();
        for object in children(&source) {
            std::fs::copy(&object, target.join(object.file_name().unwrap())).unwrap();
        }
        target
    };
    let blocks = names.iter().map(copy).collect();
    (bucket, blocks)
}

fn options() -> RetrieverOptions {
    RetrieverOptions::new(MemoryBudget::new(1 << 30))
}

fn unpolled(folder: &Path, options: RetrieverOptions) -> Arc<Retriever> {
    Retriever::new(BlockStore::local(folder, StoreOptions::default(), None).unwrap(), options)
}

async fn retriever(folder: &Path) -> Arc<Retriever> {
    let retriever = unpolled(folder, options());
    retriever.poll().await.unwrap();
    retriever
}

fn tenant() -> TenantId {
    TenantId::single()
}

async fn find(retriever: &Retriever, id: TraceId) -> FindTraceResponse {
    find_of(retriever, &tenant(), id).await
}

async fn find_of(retriever: &Retriever, tenant: &TenantId, id: TraceId) -> FindTraceResponse {
    let request = FindTraceRequest { trace_id: id.as_bytes().to_vec().into(), ..Default::default() };
    retriever.find_trace(tenant, request).await.unwrap()
}

/// The trace that the pieces of an answer make.
fn combined(answer: &FindTraceResponse) -> TracesData {
    use prost::Message as _;
    combine_traces(answer.pieces.iter().map(|piece| TracesData::decode(piece.as_ref()).unwrap()).collect())
}

/// A search for everything that matches.
fn everything(query: &str) -> SearchRequest {
    SearchRequest { query: query.to_owned(), limit: 10_000, spans_per_span_set: 10_000, ..Default::default() }
}

async fn search(retriever: &Retriever, request: SearchRequest) -> SearchResponse {
    retriever.search(&tenant(), request).await.unwrap()
}

/// `scope.name` of all names.
async fn names(retriever: &Retriever, query: &str) -> BTreeSet<String> {
    let request = TagNamesRequest { query: query.to_owned(), ..Default::default() };
    let answer = retriever.tag_names(&tenant(), request).await.unwrap();
    assert!(answer.failures.is_empty(), "{:?}", answer.failures);
    let scopes = answer.scopes.into_iter();
    scopes.flat_map(|scope| scope.tags.into_iter().map(move |tag| format!("{}.{tag}", scope.name))).collect()
}

async fn values(retriever: &Retriever, tag: &str, query: &str) -> TagValuesResponse {
    let request = TagValuesRequest { tag: tag.to_owned(), query: query.to_owned(), ..Default::default() };
    retriever.tag_values(&tenant(), request).await.unwrap()
}
