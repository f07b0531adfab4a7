//! Lookups by id in a bucket that is 30 ms away: requests, reads one after the other, time.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tempoform_block::{BlockStore, TenantIndex};
use tempoform_core::{Account, RemoteBlocks, TenantId, TraceSource as _};
use tempoform_test_support::{Load, Minio, Server, ServerConfig, SlowProxy, free_port, write_block};
use tempoform_wire::internal::FindTraceRequest;
use tonic::transport::Endpoint;
use uuid::Uuid;

const LATENCY: Duration = Duration::from_millis(30);
const TRACES_PER_BLOCK: u64 = 100;
const SAMPLES: u64 = 50;

/// A table; `None` where there is no MinIO to measure with.
pub(crate) async fn table() -> Result<Option<String>> {
    let Some(program) = Minio::program() else { return Ok(None) };
    let load = Load::new(3);
    let mut table =
        "| lookup by id, 30 ms a request | requests | dependent reads | p50 | p99 |\n|---|---|---|---|---|\n"
            .to_owned();
    for blocks in [1, 100, 1000] {
        let minio = Minio::start(&program).await?;
        fill(&minio.store()?, &load, blocks).await?;
        let endpoint = SlowProxy::start(minio.address(), LATENCY).await?;
        for (what, cache, passes) in [("cold", "0", 1), ("warm", "256MiB", 2)] {
            let folder = tempfile::tempdir()?;
            let (_server, retriever) = retriever(&endpoint, folder.path(), cache).await?;
            let mut seen = Seen::default();
            for _ in 0..passes {
                seen = look_up(&retriever, &load, blocks).await?;
            }
            let Seen { requests, dependent, mut times } = seen;
            times.sort_unstable();
            let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
            let each = requests as f64 / SAMPLES as f64;
            writeln!(
                table,
                "| {what}, {blocks} blocks | {each:.1} | {dependent} | {:.1} ms | {:.1} ms |",
                at(50),
                at(99)
            )?;
        }
    }
    Ok(Some(table))
}

async fn fill(store: &BlockStore, load: &Load, blocks: u64) -> Result<()> {
    let live = stream::iter(0..blocks)
        .map(|block| async move {
            let traces: Vec<_> = (block * TRACES_PER_BLOCK..(block + 1) * TRACES_PER_BLOCK).collect();
            write_block(store, Uuid::from_u128(u128::from(block) + 1), load, &traces).await
        })
        .buffered(16)
        .try_collect()
        .await?;
    let index = TenantIndex { created_at: jiff::Timestamp::now(), live, compacted: Vec::new() };
    Ok(store.write_tenant_index(&TenantId::single(), &index, &Account::default()).await?)
}

async fn retriever(endpoint: &str, folder: &std::path::Path, cache: &str) -> Result<(Server, RemoteBlocks)> {
    let mut config = ServerConfig::new(folder)?;
    config.storage = Minio::storage_yaml(endpoint);
    config.extra = format!(
        "target: retriever\nretriever:\n  cache_bytes: {cache}\nmemory:\n  limit_bytes: 2GiB\nmemberlist:\n  bind_addr: [127.0.0.1]\n  bind_port: {}\n",
        free_port()?
    );
    let server = Server::start(config).await?;
    let channel = Endpoint::from_shared(format!("http://{}", server.grpc()))?.connect_lazy();
    Ok((server, RemoteBlocks::new(channel, 64 << 20)))
}

#[derive(Default)]
struct Seen {
    requests: u64,
    /// Most of any lookup.
    dependent: u64,
    times: Vec<Duration>,
}

async fn look_up(retriever: &RemoteBlocks, load: &Load, blocks: u64) -> Result<Seen> {
    let mut seen = Seen::default();
    for sample in 0..SAMPLES {
        let trace = (sample * 7919) % (blocks * TRACES_PER_BLOCK);
        let trace_id = load.trace_id(trace).as_bytes().to_vec().into();
        let request = FindTraceRequest { trace_id, ..Default::default() };
        let started = Instant::now();
        let answer = retriever.find_trace(&TenantId::single(), request).await?;
        seen.times.push(started.elapsed());
        ensure!(answer.pieces.len() == 1 && answer.failures.is_empty(), "{:?}", answer.failures);
        let account = answer.account.unwrap_or_default();
        seen.requests += account.requests;
        seen.dependent = seen.dependent.max(account.dependent_reads);
    }
    Ok(seen)
}
