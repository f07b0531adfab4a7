//! What was acknowledged stays: through kills, torn logs, full disks.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use tempoform_core::TraceId;
use tempoform_test_support::{Exporter, Load, Server, ServerConfig, skipped};
use tempoform_wire::otlp::TracesData;
use tonic::Code;

/// Spans found of a trace.
pub(crate) async fn spans_of(url: &str, id: TraceId) -> Result<usize> {
    let answer = reqwest::Client::new()
        .get(format!("{url}/api/traces/{id}"))
        .header("accept", "application/protobuf")
        .send()
        .await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(0);
    }
    let bytes = answer.error_for_status()?.bytes().await?;
    let trace: TracesData = prost::Message::decode(bytes)?;
    Ok(trace.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum())
}

pub(crate) async fn send(exporter: &Exporter, load: &Load, traces: std::ops::Range<u64>) -> Result<()> {
    for first in traces.step_by(load.traces_per_request as usize) {
        for request in load.requests(first) {
            exporter.export(request).await?;
        }
    }
    Ok(())
}

pub(crate) async fn expect_all(server: &Server, load: &Load, traces: std::ops::Range<u64>) -> Result<()> {
    for n in traces {
        let id = load.trace_id(n);
        let spans = spans_of(&server.url(""), id).await?;
        ensure!(
            spans as u64 == load.spans_per_trace(),
            "trace {n} ({id}) has {spans} spans\n{}",
            server.log_tail()
        );
    }
    Ok(())
}

pub(crate) fn segments(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.join("wal/single-tenant"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn acknowledged_spans_survive_kill_9() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let load = Load::new(11);
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    send(&Exporter::new(&server.otlp_grpc())?, &load, 0..640).await?;
    let server = Server::start(server.kill()?).await?;
    expect_all(&server, &load, 0..640).await?;
    // The replayed segment is written on, flushed, and read from storage.
    send(&Exporter::new(&server.otlp_grpc())?, &load, 640..704).await?;
    server.flush().await?;
    ensure!(segments(folder.path())?.is_empty(), "the log goes once the block is verified");
    expect_all(&server, &load, 0..704).await
}

#[tokio::test]
async fn a_torn_or_corrupt_tail_costs_only_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let load = Load::new(12);
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    send(&Exporter::new(&server.otlp_grpc())?, &load, 0..64).await?;
    let config = server.kill()?;
    // A file where the tenant's folder would be: the log is to be looked at, so no block may take its place.
    fs::write(folder.path().join("blocks/single-tenant"), "")?;
    let segment = segments(folder.path())?.pop().context("one segment")?;
    let whole = fs::read(&segment)?;
    // A record that a crash cut off, then garbage.
    fs::OpenOptions::new().append(true).open(&segment)?.write_all(&[0x40, 0, 0, 0, 1, 2, 3, 4, 5, 6])?;

    let server = Server::start(config).await?;
    expect_all(&server, &load, 0..64).await?;
    ensure!(server.log_tail().contains("set aside"), "the damage is reported\n{}", server.log_tail());
    let config = server.kill()?;
    ensure!(fs::read(&segment)? == whole, "the log is cut back to its last whole record");

    // The last record is damaged: what came before it stays.
    let mut damaged = whole.clone();
    *damaged.last_mut().context("not empty")? ^= 0xff;
    fs::write(&segment, &damaged)?;
    let server = Server::start(config).await?;
    let started = Instant::now();
    let mut spans = 0;
    // It is found damaged when a block is to be made of it.
    while spans != load.spans_per_trace() - 2 && started.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        spans = spans_of(&server.url(""), load.trace_id(0)).await? as u64;
    }
    ensure!(spans == load.spans_per_trace() - 2, "one service's request of five is gone: {spans} spans");
    let aside = fs::read_dir(folder.path().join("wal/single-tenant"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains(".damaged-"))
        .count();
    ensure!(aside >= 1, "what was damaged is set aside");
    Ok(())
}

/// A small file system of its own; unmounted when dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, and said so, where that is not allowed.
    pub(crate) fn mount(size: &str) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .output()?;
        if !mounted.status.success() {
            skipped(&format!(
                "no right to mount a small disk: {}",
                String::from_utf8_lossy(&mounted.stderr).trim()
            ));
            return Ok(None);
        }
        Ok(Some(Self(folder)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

/// What `/ready` says.
async fn ready(server: &Server) -> Result<(StatusCode, String)> {
    let answer = reqwest::get(server.url("/ready")).await?;
    Ok((answer.status(), answer.text().await?))
}

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_recovers() -> Result<()> {
    let Some(disk) = SmallDisk::mount("24m")? else { return Ok(()) };
    let load = Load::new(13);
    let server = Server::start(ServerConfig::new(disk.0.path())?).await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    let mut acknowledged = Vec::new();
    let refusal = 'filling: {
        for first in (0..100_000).step_by(64) {
            for request in load.requests(first) {
                if let Err(status) = exporter.export(request).await {
                    break 'filling status;
                }
            }
            acknowledged.push(first);
        }
        anyhow::bail!("24 MB took everything");
    };
    ensure!(refusal.code() == Code::ResourceExhausted, "{refusal:?}");
    ensure!(refusal.message().contains("full"), "{refusal:?}");
    let (status, said) = ready(&server).await?;
    ensure!(
        status == StatusCode::SERVICE_UNAVAILABLE && said.contains("write-ahead log"),
        "{status}: {said}"
    );
    ensure!(said.contains("is full") && said.starts_with("ingester: "), "{said}");

    // Space returns: it is ready by itself, writes are taken again, and what was acknowledged is all there, after a crash too.
    Command::new("mount").args(["-o", "remount,size=96m"]).arg(disk.0.path()).status()?;
    let began = Instant::now();
    while ready(&server).await?.0 != StatusCode::OK {
        ensure!(began.elapsed() < Duration::from_secs(60), "not ready: {}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let more = *acknowledged.last().context("something was acknowledged")? + 64_000;
    send(&exporter, &load, more..more + 64).await.context("after space returned")?;
    let server = Server::start(server.kill()?).await?;
    for first in acknowledged.into_iter().step_by(20).chain([more]) {
        expect_all(&server, &load, first..first + 64).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_corrupt_block_is_named_and_the_others_answer() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let load = Load::new(14);
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    for first in [0, 64] {
        send(&exporter, &load, first..first + 64).await?;
        server.flush().await?;
    }
    let config = server.kill()?;
    let mut blocks: Vec<PathBuf> = fs::read_dir(folder.path().join("blocks/single-tenant"))?
        .map(|e| Ok(e?.path()))
        .collect::<Result<_>>()?;
    blocks.retain(|block| block.join("data.parquet").is_file());
    ensure!(blocks.len() == 2, "{blocks:?}");
    let victim = blocks.pop().context("two blocks")?;
    let data = victim.join("data.parquet");
    let mut bytes = fs::read(&data)?;
    let length = bytes.len();
    bytes[4..length - 8].fill(0xa5);
    fs::write(&data, bytes)?;
    let name = victim.file_name().and_then(|name| name.to_str()).context("a block id")?.to_owned();

    let server = Server::start(config).await?;
    let mut whole = 0;
    let mut named = false;
    for n in 0..128 {
        let url = server.url(&format!("/api/v2/traces/{}", load.trace_id(n)));
        let answer: serde_json::Value = reqwest::get(url).await?.error_for_status()?.json().await?;
        whole +=
            usize::from(answer["trace"]["resourceSpans"].as_array().is_some_and(|spans| !spans.is_empty()));
        named |=
            answer["status"] == "PARTIAL" && answer["message"].as_str().unwrap_or_default().contains(&name);
    }
    ensure!(whole == 64, "{whole} of the 64 traces in the whole block were found");
    ensure!(named, "the answer names the corrupt block {name}");
    ensure!(server.log_tail().contains(&name), "the log names the corrupt block {name}");
    Ok(())
}
