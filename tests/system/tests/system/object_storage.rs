//! The same load with S3 on a real MinIO server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempoform_test_support::{Cli, Load, free_port, skipped};

use crate::distributed::{Sender, expect_all};

pub(crate) const KEY: &str = "tempoform-test";
pub(crate) const SECRET: &str = "tempoform-test-secret";

pub(crate) struct Minio {
    child: Child,
    pub(crate) address: String,
    folder: tempfile::TempDir,
}

impl Minio {
    /// The program; `None`, and said so, where there is none.
    pub(crate) fn program() -> Option<PathBuf> {
        let program = std::env::var_os("TEMPOFORM_TEST_MINIO").map(PathBuf::from);
        if program.is_none() {
            skipped("TEMPOFORM_TEST_MINIO is not set; run `cargo xtask test`");
        }
        program
    }

    /// Starts a server with a bucket `traces`; a folder is a bucket to it.
    pub(crate) async fn start(program: PathBuf) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("traces"))?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let child = Command::new(program)
            .args(["server", "--quiet", "--address", &address])
            .arg(folder.path())
            .env("MINIO_ROOT_USER", KEY)
            .env("MINIO_ROOT_PASSWORD", SECRET)
            .env("MINIO_BROWSER", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let minio = Self { child, address, folder };
        let started = Instant::now();
        let ready = format!("http://{}/minio/health/ready", minio.address);
        while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
            ensure!(started.elapsed() < Duration::from_secs(30), "MinIO is not ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(minio)
    }

    fn blocks(&self) -> Result<usize> {
        let tenant = self.folder.path().join("traces/single-tenant");
        let entries = std::fs::read_dir(&tenant).with_context(|| tenant.display().to_string())?;
        Ok(entries
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().join("meta.json").exists()))
            .count())
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn document(endpoint: &str) -> String {
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
    let Some(program) = Minio::program() else { return Ok(()) };
    let minio = Minio::start(program).await?;
    let mut cli = Cli::document(&document(&minio.address))?;
    cli.set_environment("TEST_S3_KEY", KEY);
    cli.set_environment("TEST_S3_SECRET", SECRET);
    cli.expect(0, "apply", &["--auto-approve"])?;
    let api = format!("http://{}", cli.endpoint("queryFrontend", "http")?);

    let load = Load { traces_per_request: 16, ..Load::new(51) };
    let sender = Sender::start(cli.endpoint("distributor", "otlpGrpc")?, load);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let traces = sender.finish().await?;
    expect_all(&api, &load, traces).await.context("while blocks are cut and uploaded")?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(minio.blocks()? > 0, "no block came to the bucket");
    expect_all(&api, &load, traces).await.context("from the bucket")?;

    // The keys are nowhere in clear but in the environment of the processes.
    let state = Command::new("grep").args(["-r", "-l", SECRET]).arg(cli.folder()).output()?;
    ensure!(state.stdout.is_empty(), "the secret is in {}", String::from_utf8_lossy(&state.stdout));
    Ok(())
}
