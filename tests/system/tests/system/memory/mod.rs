//! A memory ceiling that holds: a process in a control group of fixed size sheds load, is not killed, loses nothing.
//!
//! Each test prints what it counted. `TEMPOFORM_TEST_LOG_MIB` sets the size of the log that is replayed.

mod burst;
mod large_log;
mod large_trace;

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use prost::Message as _;
use tempoform_core::TraceId;
use tempoform_test_support::{Load, MemoryGroup, Server, ServerConfig};
use tempoform_wire::otlp::TracesData;

/// What the group of a test has: less than half of the largest trace, a fraction of the log.
const GROUP_BYTES: u64 = 384 << 20;

/// A group, and the configuration of a server that runs in it, with `overrides` below `overrides.defaults`.
fn in_group(folder: &Path, overrides: &str) -> Result<Option<(MemoryGroup, ServerConfig)>> {
    let Some(group) = MemoryGroup::new(GROUP_BYTES)? else { return Ok(None) };
    let mut config = ServerConfig::new(folder)?;
    config.group = Some(group.processes());
    config.extra = format!(
        "overrides:\n  defaults:\n    ingestion:\n      rate_limit_bytes: 10GiB\n      burst_size_bytes: 10GiB\n      max_traces_per_user: 0\n{overrides}compactor:\n  compaction:\n    compaction_cycle: 2s\n"
    );
    Ok(Some((group, config)))
}

/// Spans found of a trace, and how often the lookup was refused for want of memory before: other work gives it back.
async fn look_up(server: &Server, id: TraceId) -> Result<(u64, u64)> {
    let started = Instant::now();
    for refused in 0.. {
        let request = reqwest::Client::new().get(server.url(&format!("/api/traces/{id}")));
        let answer = request.header("accept", "application/protobuf").send().await?;
        if answer.status().is_success() {
            let trace = TracesData::decode(answer.bytes().await?)?;
            let scopes = trace.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            return Ok((scopes.map(|scope| scope.spans.len() as u64).sum(), refused));
        }
        let (status, why) = (answer.status(), answer.text().await?);
        if status == reqwest::StatusCode::NOT_FOUND {
            return Ok((0, refused));
        }
        ensure!(why.contains("memory ceiling"), "{status}: {why}");
        ensure!(
            started.elapsed() < Duration::from_secs(60),
            "refused for a minute: {why}\n{}",
            server.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("never ends")
}

/// All spans of these traces are there.
async fn expect_whole(
    server: &Server,
    load: &Load,
    traces: impl Iterator<Item = u64>,
    place: &str,
) -> Result<()> {
    let (mut looked, mut refusals) = (0, 0);
    for n in traces {
        let (spans, refused) = look_up(server, load.trace_id(n)).await?;
        ensure!(spans == load.spans_per_trace(), "trace {n} has {spans} spans\n{}", server.log_tail());
        looked += 1;
        refusals += refused;
    }
    tell(&format!(
        "{looked} traces looked up {place}, none is missing; {refusals} lookups refused and made again"
    ));
    Ok(())
}

/// Says what was counted.
fn tell(line: &str) {
    // A test that nobody watches passes all the same.
    drop(writeln!(std::io::stderr(), "memory: {line}"));
}

/// No process of the group was killed, and the server runs; says what was used so far.
fn expect_alive(group: &MemoryGroup, server: &Server, when: &str) -> Result<()> {
    let usage = group.usage()?;
    ensure!(usage.killed == 0, "{when}: killed for want of memory\n{}", server.log_tail());
    let resident = server.usage()?.peak_rss;
    tell(&format!(
        "{when}: peak RSS {} MiB; group of {} MiB: peak {} MiB with page cache, limit met {} times, {} killed",
        resident >> 20,
        GROUP_BYTES >> 20,
        usage.peak >> 20,
        usage.limit_met,
        usage.killed
    ));
    Ok(())
}

/// Starts the server and waits until it is ready, as long as `patience`; says how long it took.
async fn start(config: ServerConfig, patience: Duration, what: &str) -> Result<Server> {
    let started = Instant::now();
    let server = Server::spawn(config)?;
    while !server.is_ready().await {
        ensure!(started.elapsed() < patience, "not ready after {patience:?}: {}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tell(&format!("{what}: ready after {:.2} s", started.elapsed().as_secs_f64()));
    Ok(server)
}

/// The sum of a metric's values.
async fn metric(server: &Server, name: &str) -> Result<f64> {
    let text = reqwest::get(server.url("/metrics")).await?.text().await?;
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with([' ', '{'])).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    Ok(values.sum())
}

/// Brings everything into storage, which may take several tries.
async fn flush(server: &Server, patience: Duration) -> Result<()> {
    let started = Instant::now();
    while let Err(error) = server.flush().await {
        ensure!(
            started.elapsed() < patience,
            "not flushed after {patience:?}: {error:#}\n{}",
            server.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
