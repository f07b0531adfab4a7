//! The same load with S3 on a real MinIO server.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempoform_test_support::{Cli, Load, Minio, skipped};

use crate::distributed::{Sender, expect_all};

/// The MinIO program; `None`, and said so, where there is none.
pub(crate) fn minio_program() -> Option<PathBuf> {
    let program = Minio::program();
    if program.is_none() {
        skipped("TEMPOFORM_TEST_MINIO is not set; run `cargo xtask test`");
    }
    program
}

fn blocks(minio: &Minio) -> Result<usize> {
    let tenant = minio.folder().join(Minio::BUCKET).join("single-tenant");
    let entries = std::fs::read_dir(&tenant).with_context(|| tenant.display().to_string())?;
    Ok(entries
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().join("meta.json").exists()))
        .count())
}

pub(crate) fn document(endpoint: &str) -> String {
    format!(
        "apiVersion: tempoform.io/v1alpha1
kind: Tempo
metadata:
  name: on-s3
spec:
  mode: distributed
  storage:
    trace:
      backend: s3
      s3:
        bucket: traces
        endpoint: http://{endpoint}
        region: us-east-1
        insecure: true
        forcePathStyle: true
        credentials:
          env:
            accessKeyId: TEST_S3_KEY
            secretAccessKey: TEST_S3_SECRET
  replication:
    factor: 1
  blocks:
    maxDuration: 3s
  ingester:
    replicas: 3
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_load_with_s3() -> Result<()> {
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    let mut cli = Cli::document(&document(minio.address()))?;
    cli.set_environment("TEST_S3_KEY", Minio::KEY);
    cli.set_environment("TEST_S3_SECRET", Minio::SECRET);
    cli.expect(0, "apply", &["--auto-approve"])?;
    let api = format!("http://{}", cli.endpoint("queryFrontend", "http")?);

    let load = Load { traces_per_request: 16, ..Load::new(51) };
    let sender = Sender::start(cli.endpoint("distributor", "otlpGrpc")?, load);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let traces = sender.finish().await?;
    expect_all(&api, &load, traces).await.context("while blocks are cut and uploaded")?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(blocks(&minio)? > 0, "no block came to the bucket");
    expect_all(&api, &load, traces).await.context("from the bucket")?;

    // The keys are nowhere in clear but in the environment of the processes.
    let state = Command::new("grep").args(["-r", "-l", Minio::SECRET]).arg(cli.folder()).output()?;
    ensure!(state.stdout.is_empty(), "the secret is in {}", String::from_utf8_lossy(&state.stdout));
    Ok(())
}
