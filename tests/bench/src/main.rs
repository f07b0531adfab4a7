//! The load bench: realistic OTLP against the real executables; prints a table in Markdown.
//!
//! Requests are encoded before a server starts. CPU and memory are the server processes' own, from `/proc`.

mod compaction;
mod lookups;
mod memory;
mod replicated;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use tempoform_test_support::{Exporter, Load, Server, ServerConfig, Usage};
use tokio::sync::Mutex;

/// Drives the single binary, then three ingesters with three copies of each span, with a realistic OTLP load.
#[derive(Debug, Parser)]
struct Args {
    /// Traces to send, of ten spans each.
    #[arg(long, default_value_t = 67_000)]
    traces: u64,
    /// gRPC connections.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Lookups by id.
    #[arg(long, default_value_t = 200)]
    lookups: u64,
    /// Only lookups in a bucket that is far away (with MinIO, see `TEMPOFORM_TEST_MINIO`).
    #[arg(long)]
    only_lookups: bool,
    /// Only the merging of blocks by a compactor.
    #[arg(long)]
    only_compaction: bool,
    /// Only the memory that live traces take in an ingester.
    #[arg(long)]
    only_memory: bool,
    /// Acknowledge before a write is on disk (`ingester.durability: async`).
    #[arg(long)]
    no_sync: bool,
}

/// No limits, in the way of the section's defaults.
const OVERRIDES: &str = "overrides:\n  defaults:\n    ingestion:\n      rate_limit_bytes: 10GiB\n      burst_size_bytes: 10GiB\n      max_traces_per_user: 0\n";

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if args.only_lookups {
        return print_lookups().await;
    }
    if args.only_compaction {
        return print(&compaction::table().await?);
    }
    if args.only_memory {
        return print(&memory::table(args.connections).await?);
    }
    let load = Load::new(1);
    let requests = encode(&load, args.traces);
    let bytes: usize = requests.iter().map(Bytes::len).sum();
    let traces = requests_traces(&load, args.traces);
    let spans = traces * load.spans_per_trace();

    let folder = tempfile::tempdir()?;
    let mut config = ServerConfig::new(folder.path())?;
    // One block, cut when told: the push is then measured without the building of blocks.
    config.ingester = "  max_block_bytes: 1GiB\n  max_block_duration: 1h\n".to_owned();
    if args.no_sync {
        config.ingester.push_str("  durability: async\n");
    }
    config.extra = OVERRIDES.to_owned();
    let server = Server::start(config).await?;

    let before = server.usage()?;
    let push_time = push(&server.otlp_grpc(), requests.clone(), args.connections).await?;
    let pushed = server.usage()?;
    let flush_started = Instant::now();
    server.flush().await?;
    let flush_time = flush_started.elapsed();
    let flushed = server.usage()?;
    let (cold, warm, lookup_cpu) = lookups(&server, &load, traces, args.lookups).await?;
    let end = server.usage()?;
    let data_bytes = replicated::data_bytes(&server.config().folder.join("blocks"))?;
    let single = replicated::Single { cpu: (flushed.cpu - before.cpu).as_secs_f64(), data_bytes };
    let ready_after = server.ready_after;
    drop(server);
    let replicated = replicated::rows(requests, spans, args.connections, single).await?;

    let mut table = String::new();
    let mut row = |what: &str, value: String| writeln!(table, "| {what} | {value} |");
    row("spans sent", format!("{spans} in {:.0} MB of OTLP", bytes as f64 / 1e6))?;
    row("ready after", format!("{:.2} s", ready_after.as_secs_f64()))?;
    row(
        "push: wall time",
        format!("{:.1} s ({:.0} spans/s)", push_time.as_secs_f64(), spans as f64 / push_time.as_secs_f64()),
    )?;
    row("push: spans per CPU-second", per_cpu_second(spans, before, pushed))?;
    row("block built and verified after", format!("{:.1} s", flush_time.as_secs_f64()))?;
    row("total until in storage: spans per CPU-second", per_cpu_second(spans, before, flushed))?;
    row("block data", format!("{:.0} MB", data_bytes as f64 / 1e6))?;
    row("peak RSS until in storage", mib(flushed.peak_rss))?;
    row("peak RSS with lookups", mib(end.peak_rss))?;
    row("lookup by id: first", format!("{:.1} ms", cold.as_secs_f64() * 1e3))?;
    row(&format!("lookup by id: median of {}", args.lookups), format!("{:.1} ms", warm.as_secs_f64() * 1e3))?;
    row("lookup by id: CPU each", format!("{:.1} ms", lookup_cpu.as_secs_f64() * 1e3))?;
    for (what, value) in replicated {
        row(&what, value)?;
    }
    table.push_str(&memory::table(args.connections).await?);
    table.push_str(&compaction::table().await?);
    print(&table)?;
    print_lookups().await
}

fn print(rows: &str) -> Result<()> {
    Ok(write!(std::io::stdout(), "| figure | value |\n|---|---|\n{rows}")?)
}

async fn print_lookups() -> Result<()> {
    let table = lookups::table().await?;
    let table =
        table.unwrap_or_else(|| "(no lookups in a bucket: TEMPOFORM_TEST_MINIO is not set)\n".to_owned());
    write!(std::io::stdout(), "\n{table}")?;
    Ok(())
}

fn requests_traces(load: &Load, traces: u64) -> u64 {
    traces.div_ceil(load.traces_per_request) * load.traces_per_request
}

fn encode(load: &Load, traces: u64) -> Vec<Bytes> {
    (0..traces).step_by(load.traces_per_request as usize).flat_map(|first| load.requests(first)).collect()
}

async fn push(address: &str, requests: Vec<Bytes>, connections: usize) -> Result<Duration> {
    let queue = Arc::new(Mutex::new(requests.into_iter()));
    let started = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let exporter = Exporter::new(address)?;
        // Two requests under way on each connection, as an exporter with a queue has.
        for _ in 0..2 {
            let (queue, exporter) = (Arc::clone(&queue), exporter.clone());
            senders.spawn(async move {
                loop {
                    let next = queue.lock().await.next();
                    let Some(request) = next else { return anyhow::Ok(()) };
                    exporter.export(request).await.context("an export was refused")?;
                }
            });
        }
    }
    while let Some(done) = senders.join_next().await {
        done??;
    }
    Ok(started.elapsed())
}

/// Time of the first lookup, median time of all others, CPU of each.
async fn lookups(
    server: &Server,
    load: &Load,
    traces: u64,
    count: u64,
) -> Result<(Duration, Duration, Duration)> {
    let client = reqwest::Client::new();
    let before = server.usage()?;
    let mut times = Vec::new();
    for at in 0..count.max(2) {
        let id = load.trace_id((at * 7919) % traces);
        let started = Instant::now();
        let answer = client
            .get(server.url(&format!("/api/traces/{id}")))
            .header("accept", "application/protobuf")
            .send()
            .await?
            .error_for_status()?;
        ensure!(!answer.bytes().await?.is_empty(), "trace {id} is empty");
        times.push(started.elapsed());
    }
    let cpu = (server.usage()?.cpu - before.cpu) / times.len() as u32;
    let cold = times.remove(0);
    times.sort_unstable();
    Ok((cold, times[times.len() / 2], cpu))
}

fn per_cpu_second(spans: u64, before: Usage, after: Usage) -> String {
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    format!("{:.0} ({:.2} µs a span)", spans as f64 / cpu, cpu * 1e6 / spans as f64)
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}
