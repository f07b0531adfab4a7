//! Ready means serving; a stop loses nothing; a large log comes back in little memory.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempoform_test_support::{Exporter, Load, Server, ServerConfig};

use crate::durability::{expect_all, segments, send};

/// Without a limit on live traces, which a fast test would meet.
pub(crate) const UNLIMITED: &str = "overrides:\n  defaults:\n    ingestion:\n      rate_limit_bytes: 10GiB\n      burst_size_bytes: 10GiB\n      max_traces_per_user: 0\n";

#[tokio::test]
async fn sigterm_ends_intake_flushes_and_leaves_no_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let load = Load::new(61);
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    send(&Exporter::new(&server.otlp_grpc())?, &load, 0..128).await?;
    ensure!(!segments(folder.path())?.is_empty(), "the spans are in the log");
    let (config, status) = server.terminate(Duration::from_secs(30))?;
    ensure!(status.success(), "it ended with {status}");
    ensure!(segments(folder.path())?.is_empty(), "the log went to storage");
    let server = Server::start(config).await?;
    expect_all(&server, &load, 0..128).await
}

#[tokio::test]
async fn a_large_log_is_replayed_in_little_memory_and_ready_waits_for_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let load = Load::new(62);
    let mut config = ServerConfig::new(folder.path())?;
    // Nothing can be uploaded: a file stands where the tenant's blocks would be.
    fs::create_dir_all(folder.path().join("blocks"))?;
    fs::write(folder.path().join("blocks/single-tenant"), "in the way")?;
    config.ingester = "  max_block_bytes: 48MiB\n".to_owned();
    config.extra = format!(
        "{UNLIMITED}memory:\n  limit_bytes: 192MiB\ncompactor:\n  compaction:\n    compaction_cycle: 10m\n"
    );
    let server = Server::start(config).await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    let mut sent = 0;
    while log_bytes(folder.path())? < 600 << 20 {
        for first in (sent..sent + 64 * 50).step_by(64) {
            for request in load.requests(first) {
                exporter.export(request).await?;
            }
        }
        sent += 64 * 50;
    }
    let written = server.usage()?.peak_rss;
    ensure!(written < 300 << 20, "{} MiB to write the log", written >> 20);

    let config = server.kill()?;
    let server = Server::spawn(config)?;
    let started = Instant::now();
    while !server.is_ready().await {
        ensure!(started.elapsed() < Duration::from_secs(60), "not ready: {}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let replayed = server.usage()?.peak_rss;
    ensure!(
        replayed < 300 << 20,
        "{} MiB to replay {} MiB of log",
        replayed >> 20,
        log_bytes(folder.path())? >> 20
    );
    for n in (0..sent).step_by(997) {
        expect_all(&server, &load, n..n + 1).await?;
    }

    // Storage is back: everything goes there, still in little memory.
    fs::remove_file(folder.path().join("blocks/single-tenant"))?;
    server.flush().await?;
    ensure!(segments(folder.path())?.is_empty(), "the log went to storage");
    let flushed = server.usage()?.peak_rss;
    ensure!(
        flushed < 400 << 20,
        "{} MiB to bring the log into storage, {} to write it, {} to replay it",
        flushed >> 20,
        written >> 20,
        replayed >> 20
    );
    for n in (0..sent).step_by(997) {
        expect_all(&server, &load, n..n + 1).await?;
    }
    Ok(())
}

fn log_bytes(folder: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for segment in segments(folder).unwrap_or_default() {
        bytes += segment.metadata()?.len();
    }
    Ok(bytes)
}

#[tokio::test]
async fn metrics_that_dashboards_read_are_there_from_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    let metrics = reqwest::get(server.url("/metrics")).await?.text().await?;
    for name in [
        "tempo_build_info{",
        "tempo_ingester_failed_flushes_total 0",
        "tempo_ingester_blocks_flushed_total 0",
        "tempodb_compaction_errors_total 0",
        "tempodb_retention_deleted_total 0",
        "tempo_runtime_config_last_reload_successful 1",
    ] {
        ensure!(metrics.contains(name), "no {name}\n{metrics}");
    }
    let version = reqwest::get(server.url("/status/version")).await?.text().await?;
    ensure!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    Ok(())
}

#[tokio::test]
async fn traces_of_its_own_work_go_where_opentelemetrys_variables_say() -> Result<()> {
    let (own, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let collector = Server::start(ServerConfig::new(other.path())?).await?;
    let endpoint = format!("http://127.0.0.1:{}", collector.config().otlp_http);
    let mut config = ServerConfig::new(own.path())?;
    config.environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint),
        ("OTEL_SERVICE_NAME".to_owned(), "tempo-under-test".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "100".to_owned()),
    ];
    let server = Server::start(config).await?;
    send(&Exporter::new(&server.otlp_grpc())?, &Load::new(63), 0..64).await?;
    let query = "/api/search?q=%7B%20resource.service.name%20%3D%20%22tempo-under-test%22%20%26%26%20name%20%3D%20%22distributor.receive%22%20%7D";
    let started = Instant::now();
    loop {
        let found: serde_json::Value = reqwest::get(collector.url(query)).await?.json().await?;
        if found["traces"].as_array().is_some_and(|traces| !traces.is_empty()) {
            return Ok(());
        }
        ensure!(started.elapsed() < Duration::from_secs(15), "no trace came: {found}\n{}", server.log_tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_wrong_configuration_ends_with_64_before_a_port_is_bound() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("wrong.yaml");
    fs::write(&file, "server:\n  http_listen_prot: 3200\nstorage:\n  trace:\n    backend: floppy\n")?;
    let ended = Command::new(tempoform_test_support::executable("tempo")?)
        .arg(format!("--config.file={}", file.display()))
        .output()
        .context("tempo")?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.code() == Some(64), "{:?} {said}", ended.status);
    ensure!(said.contains("http_listen_port") && said.contains("floppy"), "both, with a suggestion: {said}");
    Ok(())
}
