//! One trace of a gigabyte, four times the memory there is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use prost::Message as _;
use tempoform_block::{BlockPath, BlockReader, BlockStore, StoreOptions};
use tempoform_core::{Account, TenantId, TraceId};
use tempoform_test_support::{Exporter, Load, MemoryGroup, Server, ServerConfig};
use tempoform_wire::otlp::ExportTraceServiceRequest;
use tonic::Code;

use super::{expect_alive, expect_whole, flush, in_group, metric, start, tell};
use crate::durability::send;

const LARGE: TraceId = TraceId::new(*b"one-large-trace!");
const SIZE: u64 = 1 << 30;
/// Traces of the load whose spans become those of the large one, of one request.
const TRACES: u64 = 3000;
const READY_WITHIN: Duration = Duration::from_secs(20);

/// The request with all its spans in the large trace, and their number.
fn of_large_trace(request: &Bytes) -> Result<(Bytes, u64)> {
    let mut request = ExportTraceServiceRequest::decode(&request[..])?;
    let mut spans = 0;
    for resource_spans in &mut request.resource_spans {
        for span in resource_spans.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans) {
            span.trace_id = LARGE.as_bytes().to_vec();
            spans += 1;
        }
    }
    Ok((request.encode_to_vec().into(), spans))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_over_its_limit_is_refused_at_push() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some((group, config)) = in_group(folder.path(), "")? else { return Ok(()) };
    let server = start(config, READY_WITHIN, "an empty log").await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    let load = Load { traces_per_request: TRACES, ..Load::new(73) };
    let mut refusal = None;
    for request in load.requests(0) {
        refusal = exporter.export(of_large_trace(&request)?.0).await.err().or(refusal);
    }
    let refusal = refusal.context("15 MB of one trace were taken")?;
    ensure!(refusal.code() == Code::FailedPrecondition, "{refusal:?}");
    ensure!(refusal.message().contains("max_bytes_per_trace"), "{refusal:?}");
    let discarded = metric(&server, "tempo_discarded_spans_total").await?;
    tell(&format!("large trace, default limit: {discarded} spans refused: {}", refusal.message()));
    ensure!(discarded > 0.0, "what was refused is counted");
    expect_alive(&group, &server, "large trace refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_larger_than_memory_is_kept_in_parts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let unlimited = "      max_bytes_per_trace: 0\n";
    let Some((group, config)) = in_group(folder.path(), &format!("    global:\n{unlimited}"))? else {
        return Ok(());
    };
    let server = start(config, READY_WITHIN, "an empty log").await?;
    let small = Load::new(74);
    send(&Exporter::new(&server.otlp_grpc())?, &small, 0..64).await?;
    let sent = push_large_trace(&server).await?;
    send(&Exporter::new(&server.otlp_grpc())?, &small, 64..128).await?;
    expect_alive(&group, &server, "large trace pushed")?;
    ask(&group, &server, &small, "in the log").await?;

    let started = Instant::now();
    flush(&server, Duration::from_secs(120)).await?;
    tell(&format!("large trace: in storage after {:.1} s", started.elapsed().as_secs_f64()));
    ensure!(metric(&server, "tempo_ingester_traces_in_parts_total").await? > 0.0, "it is named in metrics");
    ensure!(metric(&server, "tempo_ingester_failed_flushes_total").await? == 0.0, "{}", server.log_tail());
    expect_alive(&group, &server, "large trace flushed")?;
    ask(&group, &server, &small, "in storage").await?;
    let (stored, blocks) = stored_spans(server.config()).await?;
    tell(&format!("large trace: {stored} of {sent} acknowledged spans in {blocks} blocks"));
    ensure!(stored == sent, "{} spans are missing", sent - stored);

    // Blocks are merged as far as the trace allows; those that have to stay apart are.
    let started = Instant::now();
    while metric(&server, "tempodb_compaction_left_apart_total").await? == 0.0 {
        ensure!(started.elapsed() < Duration::from_secs(60), "nothing was left apart\n{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    expect_alive(&group, &server, "blocks with the large trace compacted")?;
    let (stored, blocks) = stored_spans(server.config()).await?;
    tell(&format!("large trace, after compaction: {stored} of {sent} spans in {blocks} blocks"));
    ensure!(stored == sent, "{} spans are missing after compaction", sent - stored);

    let server = start(server.kill()?, READY_WITHIN, "blocks with a large trace").await?;
    ask(&group, &server, &small, "in storage, after a restart").await
}

/// Pushes the large trace, some requests at once; gives its spans.
async fn push_large_trace(server: &Server) -> Result<u64> {
    let exporter = Exporter::new(&server.otlp_grpc())?;
    let load = Load { traces_per_request: TRACES, ..Load::new(75) };
    let (mut bytes, mut spans, mut refused, started) = (0, 0, 0, Instant::now());
    for first in (0..).step_by(TRACES as usize) {
        for request in load.requests(first) {
            let (request, of_request) = of_large_trace(&request)?;
            while let Err(status) = exporter.export(request.clone()).await {
                refused += 1;
                ensure!(refused < 1000 && status.code() == Code::ResourceExhausted, "{status:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            bytes += request.len() as u64;
            spans += of_request;
        }
        if bytes >= SIZE {
            break;
        }
    }
    tell(&format!(
        "large trace: {spans} spans, {} MiB acknowledged in {:.1} s, {refused} requests refused and sent again",
        bytes >> 20,
        started.elapsed().as_secs_f64()
    ));
    Ok(spans)
}

/// Asks for the large trace and searches: no answer says less than there is without saying so. The others are found.
async fn ask(group: &MemoryGroup, server: &Server, small: &Load, place: &str) -> Result<()> {
    expect_whole(server, small, 0..128, place).await?;
    for path in [format!("/api/traces/{LARGE}"), format!("/api/v2/traces/{LARGE}")] {
        let answer = reqwest::get(server.url(&path)).await?;
        let status = answer.status();
        // Where the body has no place for it.
        let header = answer.headers().get("x-tempoform-partial").map(|value| format!("{value:?}"));
        let text = answer.text().await?;
        let why = header.unwrap_or_else(|| text[text.rfind("\"message\"").unwrap_or(0)..].to_owned());
        let why: String = why.chars().take(400).collect();
        tell(&format!("large trace {place}: {path} gives {status}, {} bytes: {why}", text.len()));
        ensure!(why.contains("memory ceiling"), "{path} does not say why it is not whole: {status}");
        ensure!(![404, 500].contains(&status.as_u16()), "{path}: {status}");
    }
    let started = Instant::now();
    for query in ["{}", "{ name = \"charge\" }", "{ span.http.response.status_code = 503 }"] {
        let query = [("q", query), ("limit", "500")];
        let url = reqwest::Url::parse_with_params(&server.url("/api/search"), &query)?;
        // Other work gives memory back.
        let (status, text) = loop {
            let answer = reqwest::get(url.clone()).await?;
            let (status, text) = (answer.status(), answer.text().await?);
            if status.is_success() || !text.contains("memory ceiling") || started.elapsed().as_secs() > 60 {
                break (status, text);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let found = text.matches("\"traceID\"").count();
        tell(&format!("large trace {place}: a search gives {status}, {found} traces"));
        ensure!(status.is_success() && found > 0, "{status}: {text}");
    }
    expect_alive(group, server, &format!("large trace asked for {place}"))
}

/// Distinct spans of the large trace in live blocks, and how many blocks have some.
async fn stored_spans(config: &ServerConfig) -> Result<(u64, usize)> {
    let bucket = Arc::new(LocalFileSystem::new_with_prefix(config.folder.join("blocks"))?);
    let store = BlockStore::new(bucket, "", StoreOptions::default(), None)?;
    let (tenant, account) = (TenantId::single(), Account::default());
    let (mut spans, mut blocks) = (HashSet::new(), 0);
    for live in store.blocks(&tenant, &account).await?.live {
        let path = BlockPath::new(tenant.clone(), live.block);
        let meta = store.read_meta(&path, &account).await?;
        let reader = BlockReader::open(&store, path, &meta, &account).await?;
        let Some(trace) = reader.find_trace(LARGE, &account).await? else { continue };
        blocks += 1;
        let scopes = trace.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        spans.extend(scopes.flat_map(|scope| scope.spans).map(|span| (span.span_id, span.kind)));
    }
    Ok((spans.len() as u64, blocks))
}
