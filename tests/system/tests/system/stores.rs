//! The whole life of a block in each kind of object store: written, read, searched, merged, expired.
//!
//! Azurite is Microsoft's emulator of Azure's storage, `fake-gcs-server` one of Google's. The client for Google Cloud Storage speaks
//! its XML API, of which the emulator has no uploads in parts; MinIO does, since that API is S3's but for headers, and takes anonymous
//! requests once a bucket's policy lets it. So this client has its round with both.

mod emulators;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempoform_block::{BlockState, BlockStore, StoreOptions};
use tempoform_core::{Account, TenantId};
use tempoform_test_support::{Exporter, Load, Minio, Server, ServerConfig, StoreProxy, skipped};

pub(crate) use self::emulators::{AZURE_ACCOUNT, AZURE_KEY, Azurite};
use self::emulators::{GoogleEmulator, open_to_all};
use crate::durability::{expect_all, send, spans_of};
use crate::object_storage::minio_program;

pub(crate) const BUCKET: &str = "traces";
const TRACES: u64 = 128;
const PATIENCE: Duration = Duration::from_secs(60);

const NOTHING_MERGED: &str = "overrides:\n  defaults:\n    compaction:\n      compaction_disabled: true\n";
const MERGED: &str =
    "compactor:\n  compaction:\n    compaction_cycle: 1s\n    compacted_block_retention: 1s\n";
const EXPIRED: &str = "compactor:\n  compaction:\n    compaction_cycle: 1s\n    block_retention: 1s\n    compacted_block_retention: 1s\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_blocks_life_on_s3() -> Result<()> {
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    let (address, region) = (minio.address(), "us-east-1");
    round(&[
        ("backend", "s3"),
        ("s3.bucket", BUCKET),
        ("s3.endpoint", address),
        ("s3.region", region),
        ("s3.access_key", Minio::KEY),
        ("s3.secret_key", Minio::SECRET),
        ("s3.insecure", "true"),
        ("s3.forcepathstyle", "true"),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocks_life_on_google_cloud_storage() -> Result<()> {
    let Some(program) = std::env::var_os("TEMPOFORM_TEST_GCS") else {
        skipped("TEMPOFORM_TEST_GCS is not set; run `cargo xtask test`");
        return Ok(());
    };
    let emulator = GoogleEmulator::start(&program).await?;
    round(&[
        ("backend", "gcs"),
        ("gcs.bucket_name", BUCKET),
        ("gcs.endpoint", &emulator.address()),
        ("gcs.insecure", "true"),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocks_life_with_the_client_for_google_cloud_storage_in_parts() -> Result<()> {
    let Some(program) = minio_program() else { return Ok(()) };
    let minio = Minio::start(&program).await?;
    open_to_all(minio.address()).await?;
    // It leaves out the token that this client sends, since S3 has none.
    let proxy = StoreProxy::start(minio.address().to_owned()).await?;
    round(&[
        ("backend", "gcs"),
        ("gcs.bucket_name", BUCKET),
        ("gcs.endpoint", &proxy.address().to_string()),
        ("gcs.insecure", "true"),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocks_life_on_azure() -> Result<()> {
    let Some(program) = std::env::var_os("TEMPOFORM_TEST_AZURITE") else {
        skipped("TEMPOFORM_TEST_AZURITE is not set; run `cargo xtask test`");
        return Ok(());
    };
    let azurite = Azurite::start(&program).await?;
    round(&[
        ("backend", "azure"),
        ("azure.storage_account_name", AZURE_ACCOUNT),
        ("azure.storage_account_key", AZURE_KEY),
        ("azure.container_name", BUCKET),
        ("azure.endpoint_suffix", &azurite.url),
    ])
    .await
}

/// With these settings of `storage.trace`, each a key, or a section and a key.
async fn round(settings: &[(&str, &str)]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let load = Load::new(91);
    let mut config = ServerConfig::new(folder.path())?;
    config.storage = format!("    blocklist_poll: 1s\n{}", yaml(settings));
    config.extra = NOTHING_MERGED.to_owned();
    let bucket = Bucket::open(settings)?;

    let server = Server::start(config.clone()).await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    for first in [0, TRACES / 2] {
        send(&exporter, &load, first..first + TRACES / 2).await?;
        server.flush().await?;
    }
    ensure!(bucket.blocks().await? == vec![0, 0], "two blocks: {:?}", bucket.blocks().await?);
    let server = Server::start(server.kill()?).await?;
    expect_all(&server, &load, 0..TRACES).await.context("by id")?;
    ensure!(found(&server).await? == TRACES, "{} were found by search", found(&server).await?);

    drop(server);
    config.extra = MERGED.to_owned();
    let server = Server::start(config.clone()).await?;
    bucket.becomes(&[1]).await.context("two blocks become one")?;
    expect_all(&server, &load, 0..TRACES).await.context("by id, merged")?;
    ensure!(found(&server).await? == TRACES, "{} were found by search, merged", found(&server).await?);

    drop(server);
    // An ingester goes on naming blocks of late to readers, longer than these are kept here.
    std::fs::remove_dir_all(folder.path().join("wal"))?;
    config.extra = EXPIRED.to_owned();
    let server = Server::start(config).await?;
    bucket.becomes(&[]).await.context("past its retention")?;
    let started = Instant::now();
    // Until the list of blocks is read again, it is not said that the trace is gone.
    while !spans_of(&server.url(""), load.trace_id(0)).await.is_ok_and(|spans| spans == 0) {
        ensure!(started.elapsed() < PATIENCE, "a deleted block is read on");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// The settings as a section, indented by four.
fn yaml(settings: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut last = "";
    for (key, value) in settings {
        match key.split_once('.') {
            None => text += &format!("    {key}: {value}\n"),
            Some((section, key)) => {
                if section != last {
                    text += &format!("    {section}:\n");
                    last = section;
                }
                text += &format!("      {key}: {value}\n");
            }
        }
    }
    text
}

/// Traces that a search over the last hour finds.
async fn found(server: &Server) -> Result<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let query = "%7B%20resource.service.name%20%3D%20%22frontend%22%20%7D";
    let path = format!("/api/search?q={query}&limit=1000&start={}&end={}", now - 3600, now + 60);
    let answer: serde_json::Value = reqwest::get(server.url(&path)).await?.error_for_status()?.json().await?;
    Ok(answer["traces"].as_array().map_or(0, Vec::len) as u64)
}

/// What the store holds, seen past the server.
struct Bucket {
    store: BlockStore,
    account: Account,
}

impl Bucket {
    fn open(settings: &[(&str, &str)]) -> Result<Self> {
        let config: tempoform_config::Config = tempoform_config::Config::load(
            &format!("storage:\n  trace:\n{}", yaml(settings)),
            "the test's settings",
            false,
        )
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let store = BlockStore::open(&config.storage.trace, StoreOptions::default(), None)?;
        Ok(Self { store, account: Account::default() })
    }

    /// The levels of compaction of live blocks.
    async fn blocks(&self) -> Result<Vec<u32>> {
        let mut levels = Vec::new();
        for folder in self.store.folders(&TenantId::single(), &self.account).await? {
            if folder.state == BlockState::Live {
                let path = tempoform_block::BlockPath::new(TenantId::single(), folder.block);
                levels.push(self.store.read_meta(&path, &self.account).await?.compaction_level);
            }
        }
        Ok(levels)
    }

    /// Waits for live blocks of these levels, and for all others to be deleted.
    async fn becomes(&self, levels: &[u32]) -> Result<()> {
        let started = Instant::now();
        loop {
            let folders = self.store.folders(&TenantId::single(), &self.account).await?.len();
            // A block may go between the listing and the look at its meta.
            let now = self.blocks().await;
            if folders == levels.len() && now.as_ref().is_ok_and(|now| now == levels) {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "{folders} folders, live blocks of levels {now:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
