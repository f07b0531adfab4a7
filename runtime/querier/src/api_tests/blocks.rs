//! Through HTTP, querier and retriever down to blocks that real Tempo wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use tempoform_block::{BlockStore, StoreOptions};
use tempoform_core::MemoryBudget;
use tempoform_retriever::{Retriever, RetrieverOptions};

use super::*;

/// Zipkin's shared span ids, which a block has as they were sent and the API takes apart.
const SHARED_IDS: [&str; 2] = ["00000000000000010000000000000004", "00000000000000010000000000000005"];

fn buckets() -> Vec<PathBuf> {
    let folder = std::env::var("TEMPOFORM_TEST_BLOCKS")
        .expect("set TEMPOFORM_TEST_BLOCKS to the folder with the real blocks (`cargo xtask test` does)");
    let is_bucket = |folder: &PathBuf| folder.join("single-tenant").is_dir();
    let buckets: Vec<_> = children(Path::new(&folder)).into_iter().filter(is_bucket).collect();
    assert!(!buckets.is_empty(), "{folder} holds no buckets");
    buckets
}

fn children(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn companion(bucket: &Path, prefix: &str) -> String {
    let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
    std::fs::read_to_string(children(bucket).into_iter().find(is_it).unwrap()).unwrap()
}

/// A querier over a bucket and an ingester that knows nothing.
async fn over(bucket: &Path) -> Router {
    let store = BlockStore::local(bucket, StoreOptions::default(), None).unwrap();
    let retriever = Retriever::new(store, RetrieverOptions::new(MemoryBudget::new(1 << 30)));
    retriever.poll().await.unwrap();
    let named = vec![NamedSource::new("retriever-0", retriever)];
    let blocks: Sources = Arc::new(move || named.clone());
    Querier::new(sources(&[("ingester-0", &Arc::default())]), blocks, QuerierOptions::default()).router()
}

/// Each span with its resource and scope, as JSON with attributes by key: their order is not defined.
fn spans(resource_spans: &Json) -> BTreeSet<String> {
    fn sort(json: &mut Json) {
        match json {
            Json::Array(items) => items.iter_mut().for_each(sort),
            Json::Object(fields) => {
                fields.values_mut().for_each(sort);
                if let Some(Json::Array(attributes)) = fields.get_mut("attributes") {
                    attributes.sort_by_key(|attribute| attribute["key"].to_string());
                }
            }
            _ => {}
        }
    }
    // Through our own types: Go writes 0 where serde writes 0.0.
    let trace: TracesData = serde_json::from_value(json!({"resourceSpans": resource_spans})).unwrap();
    let mut trace = serde_json::to_value(trace).unwrap();
    sort(&mut trace);
    let list = |json: &Json, key: &str| json[key].as_array().cloned().unwrap_or_default();
    let mut spans = BTreeSet::new();
    for one in list(&trace, "resourceSpans") {
        for scope in list(&one, "scopeSpans") {
            spans.extend(
                list(&scope, "spans")
                    .iter()
                    .map(|span| format!("{} {} {span}", one["resource"], scope["scope"])),
            );
        }
    }
    spans
}

#[tokio::test]
async fn every_trace_as_tempo_answers_it() {
    for bucket in buckets() {
        let router = over(&bucket).await;
        for line in companion(&bucket, "golden.").lines() {
            let golden: Json = serde_json::from_str(line).unwrap();
            let id = golden["traceID"].as_str().unwrap();
            let answer = get(&router, &format!("/api/v2/traces/{id}")).await.json();
            assert!(answer.get("status").is_none(), "{}: {id} is partial: {answer}", bucket.display());
            let (found, expected) = (&answer["trace"]["resourceSpans"], &golden["trace"]["resourceSpans"]);
            if SHARED_IDS.contains(&id) {
                assert_taken_apart(found, expected);
            } else {
                assert_eq!(spans(found), spans(expected), "{} {id}", bucket.display());
            }
            assert_eq!(get(&router, &format!("/api/traces/{id}")).await.json()["batches"], *found);
        }
        assert_eq!(get(&router, "/api/traces/abab").await.status, 404);
    }
}

/// No client and server span have one id, and nothing is lost.
fn assert_taken_apart(found: &Json, expected: &Json) {
    let pairs = |json: &Json| -> Vec<(Json, Json)> {
        let list = json.as_array().unwrap().iter().flat_map(|one| one["scopeSpans"].as_array().unwrap());
        let spans = list.flat_map(|scope| scope["spans"].as_array().unwrap());
        spans.map(|span| (span["spanId"].clone(), span["kind"].clone())).collect()
    };
    let (found, expected) = (pairs(found), pairs(expected));
    assert_eq!(found.len(), expected.len());
    let ids = |kind: &str| -> BTreeSet<String> {
        found.iter().filter(|(_, of)| of == kind).map(|(id, _)| id.to_string()).collect()
    };
    assert!(ids("SPAN_KIND_CLIENT").is_disjoint(&ids("SPAN_KIND_SERVER")), "{found:?}");
}

/// A query string's value.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn every_query_as_tempo_counts_it() {
    let bucket = buckets().into_iter().find(|bucket| bucket.ends_with("v3.0.3-vp5-default")).unwrap();
    let router = over(&bucket).await;
    for line in companion(&bucket, "traceql.").lines() {
        let (query, counts) = line.rsplit_once("traces=").unwrap();
        let (query, range) = (escaped(query.trim()), "start=1735600000&end=1735800000");
        let answer = get(&router, &format!("/api/search?q={query}&limit=1000&{range}")).await;
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        let json = answer.json();
        let traces = json["traces"].as_array().cloned().unwrap_or_default();
        let sets = traces.iter().flat_map(|trace| trace["spanSets"].as_array().unwrap());
        let matched: u64 = sets.map(|set| set["matched"].as_u64().unwrap()).sum();
        assert_eq!(format!("{} spans={matched}", traces.len()), counts, "{line}");
    }
}

#[tokio::test]
async fn tag_search_and_tags() {
    let bucket = buckets().into_iter().find(|bucket| bucket.ends_with("v2.10.8-vp4-default")).unwrap();
    let router = over(&bucket).await;
    let range = "start=1735600000&end=1735800000";
    let tagged =
        get(&router, &format!("/api/search?tags=service.name%3Dservice-3&limit=1000&{range}")).await.json();
    let traces = tagged["traces"].as_array().unwrap();
    assert_eq!(traces.len(), 43);
    assert!(
        traces.iter().all(|trace| trace.get("spanSets").is_none() && trace["rootServiceName"] == "service-3")
    );

    let tags = get(&router, &format!("/api/v2/search/tags?{range}")).await.json();
    let scopes: BTreeSet<_> =
        tags["scopes"].as_array().unwrap().iter().map(|scope| scope["name"].to_string()).collect();
    assert!(scopes.contains("\"intrinsic\"") && scopes.contains("\"span\"") && scopes.contains("\"event\""));
    let values =
        get(&router, &format!("/api/v2/search/tag/resource.service.name/values?{range}")).await.json();
    assert_eq!(values["tagValues"].as_array().unwrap().len(), 18);
    let old = get(&router, "/api/search/tag/service.name/values").await.json();
    assert!(old.get("tagValues").is_none(), "without a range only the last hour of blocks is asked");
}
