//! The OpenTelemetry SDK as client, pyarrow as reader of blocks.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempoform_test_support::{Exporter, Load, Server, ServerConfig, skipped};

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

#[tokio::test]
async fn pyarrow_finds_the_schema_and_encodings_of_a_real_tempo_block() -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let blocks = std::env::var("TEMPOFORM_TEST_BLOCKS")
        .context("set TEMPOFORM_TEST_BLOCKS to the folder of real blocks")?;
    let real = PathBuf::from(blocks)
        .join("v2.10.8-vp4-default/single-tenant/00000000-0000-4000-8000-000000000024/data.parquet");
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
