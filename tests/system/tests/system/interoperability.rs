//! The OpenTelemetry SDK as client, pyarrow as reader of blocks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempoform_block::{BlockStore, StoreOptions};
use tempoform_core::{Account, TenantId};
use tempoform_test_support::{Exporter, Load, Server, ServerConfig, free_port, skipped, write_block};
use uuid::Uuid;

/// The Python with its packages, which `cargo xtask test` installs.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("TEMPOFORM_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        skipped("TEMPOFORM_TEST_PYTHON is not set; run `cargo xtask test`");
    }
    python
}

fn script(python: &Path, name: &str, arguments: &[&str]) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name);
    let output = Command::new(python).arg(path).args(arguments).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{name} {arguments:?}: {}\n{out}\n{err}", output.status);
    Ok(out.into_owned())
}

fn block_data(server: &Server) -> Result<Vec<PathBuf>> {
    let tenant = server.config().folder.join("blocks/single-tenant");
    let mut data = Vec::new();
    for entry in std::fs::read_dir(&tenant).with_context(|| tenant.display().to_string())? {
        let path = entry?.path().join("data.parquet");
        if path.is_file() {
            data.push(path);
        }
    }
    Ok(data)
}

#[tokio::test]
async fn what_the_sdk_sent_is_read_back_from_the_ingester_and_from_storage() -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    let (grpc, http) = (server.otlp_grpc(), format!("127.0.0.1:{}", server.config().otlp_http));
    let api = format!("127.0.0.1:{}", server.config().http);
    let sent = folder.path().join("sent");
    let sent = sent.to_str().context("a path in UTF-8")?;

    script(&python, "roundtrip.py", &["send", "--grpc", &grpc, "--http", &http, "--out", sent])?;
    script(&python, "roundtrip.py", &["check", "--api", &api, "--sent", sent])
        .context("from the ingester")?;
    server.flush().await?;
    ensure!(!block_data(&server)?.is_empty(), "the flush left no block");
    script(&python, "roundtrip.py", &["check", "--api", &api, "--sent", sent]).context("from storage")?;
    // The ingester's memory of fresh blocks is gone after a restart: the retriever finds them itself.
    let server = Server::start(server.kill()?).await?;
    script(&python, "roundtrip.py", &["check", "--api", &api, "--sent", sent]).context("after a restart")?;
    drop(server);
    Ok(())
}

#[tokio::test]
async fn what_the_sdk_for_javascript_sent_as_json_is_read_back() -> Result<()> {
    let Some(folder) = std::env::var_os("TEMPOFORM_TEST_NODE") else {
        skipped("TEMPOFORM_TEST_NODE is not set; run `cargo xtask test`");
        return Ok(());
    };
    let data = tempfile::tempdir()?;
    let server = Server::start(ServerConfig::new(data.path())?).await?;
    let receiver = format!("http://127.0.0.1:{}/v1/traces", server.config().otlp_http);
    for compression in ["none", "gzip"] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/roundtrip.mjs");
        let output = Command::new("node")
            .arg(script)
            .args([&receiver, &server.url("")])
            .current_dir(&folder)
            .env("COMPRESSION", compression)
            .output()?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.success() && said.contains("2 spans read back as sent"),
            "{compression}: {said}"
        );
    }
    Ok(())
}

/// The data of a block that Tempo wrote, for comparison.
fn real_block() -> Result<PathBuf> {
    let blocks = std::env::var("TEMPOFORM_TEST_BLOCKS")
        .context("set TEMPOFORM_TEST_BLOCKS to the folder of real blocks")?;
    Ok(PathBuf::from(blocks)
        .join("v2.10.8-vp4-default/single-tenant/00000000-0000-4000-8000-000000000024/data.parquet"))
}

#[tokio::test]
async fn pyarrow_finds_the_schema_and_encodings_of_a_real_tempo_block() -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let real = real_block()?;
    let folder = tempfile::tempdir()?;
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    let load = Load::new(7);
    for first in (0..1024).step_by(64) {
        for request in load.requests(first) {
            exporter.export(request).await?;
        }
    }
    server.flush().await?;
    for data in block_data(&server)? {
        let (data, real) = (data.to_str().context("UTF-8")?, real.to_str().context("UTF-8")?);
        let said = script(&python, "schema.py", &[data, real])?;
        ensure!(said.contains("103 leaves as Tempo has them"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn pyarrow_reads_a_block_that_was_merged() -> Result<()> {
    const BLOCKS: u64 = 4;
    const TRACES: u64 = 3000;
    /// Of each block, the traces that the block before has too.
    const SHARED: u64 = 300;
    let Some(python) = python() else { return Ok(()) };
    let real = real_block()?;
    let folder = tempfile::tempdir()?;
    let blocks = folder.path().join("blocks");
    std::fs::create_dir_all(&blocks)?;
    let store = BlockStore::local(&blocks, StoreOptions::default(), None)?;
    let load = Load::new(7);
    for block in 0..BLOCKS {
        let traces: Vec<u64> = ((block * TRACES).saturating_sub(SHARED)..(block + 1) * TRACES).collect();
        write_block(&store, Uuid::from_u128(u128::from(block) + 1), &load, &traces).await?;
    }
    let mut config = ServerConfig::new(folder.path())?;
    config.extra = format!(
        "target: compactor\ncompactor:\n  compaction:\n    compaction_window: 100000h\nmemberlist:\n  bind_addr: [127.0.0.1]\n  bind_port: {}\n",
        free_port()?
    );
    let server = Server::start(config).await?;
    let started = Instant::now();
    let merged = loop {
        let listed = store.blocks(&TenantId::single(), &Account::default()).await?;
        match listed.live.as_slice() {
            [merged] if listed.compacted.len() as u64 == BLOCKS => break merged.block,
            _ => ensure!(started.elapsed() < Duration::from_secs(60), "no merge\n{}", server.log_tail()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let data = blocks.join(format!("single-tenant/{merged}/data.parquet"));
    let (data, real) = (data.to_str().context("UTF-8")?, real.to_str().context("UTF-8")?);
    let said = script(&python, "schema.py", &[data, real])?;
    let expected = format!("103 leaves as Tempo has them, {} rows read", BLOCKS * TRACES);
    ensure!(said.contains(&expected), "{said}, not {expected}");
    Ok(())
}
