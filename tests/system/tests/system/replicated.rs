//! Three ingesters, three copies of each span, one block of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempoform_test_support::{Cluster, ClusterConfig, Load};

use crate::distributed::{Reader, Sender, expect_all};

const INGESTERS: [&str; 3] = ["ingester-0", "ingester-1", "ingester-2"];

/// Files of what an ingester follows.
fn followed(cluster: &Cluster, ingester: &str) -> usize {
    let folder = cluster.folder_of(ingester).join("wal/single-tenant/followed");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// How many spans the blocks hold in all, by their level of compaction.
fn stored_traces(cluster: &Cluster) -> Result<BTreeMap<u64, u64>> {
    let mut traces = BTreeMap::new();
    for block in std::fs::read_dir(cluster.blocks().join("single-tenant"))? {
        let Ok(meta) = std::fs::read(block?.path().join("meta.json")) else { continue };
        let meta: serde_json::Value = serde_json::from_slice(&meta)?;
        let level = meta["compactionLevel"].as_u64().unwrap_or_default();
        *traces.entry(level).or_default() += meta["totalObjects"].as_u64().unwrap_or_default();
    }
    Ok(traces)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trace_is_stored_once_and_its_copies_go() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = ClusterConfig {
        ingester: "  max_block_duration: 1h\n".to_owned(),
        // Nothing is merged, so that copies would be seen.
        extra: "overrides:\n  defaults:\n    compaction:\n      compaction_disabled: true\n".to_owned(),
        ..ClusterConfig::default()
    };
    let cluster = Cluster::start(folder.path(), config).await?;
    let load = Load { traces_per_request: 16, ..Load::new(51) };
    let sender = Sender::start(cluster.otlp("distributor")?, load);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let traces = sender.finish().await?;
    ensure!(INGESTERS.iter().all(|ingester| followed(&cluster, ingester) > 0), "all follow");
    expect_all(&cluster.api()?, &load, traces).await?;

    cluster.flush().await?;
    let stored: u64 = stored_traces(&cluster)?.values().sum();
    ensure!(stored == traces, "{traces} traces were sent, {stored} are in blocks");
    expect_all(&cluster.api()?, &load, traces).await?;
    // Files go when they are closed, a minute after their first batch at the latest.
    let started = Instant::now();
    while INGESTERS.iter().any(|ingester| followed(&cluster, ingester) > 0) {
        ensure!(started.elapsed() < Duration::from_secs(90), "what is stored is still followed");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingester_that_is_gone_for_good_loses_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = ClusterConfig {
        ingester: "  max_block_duration: 1h\n  take_over_after: 1s\n".to_owned(),
        ..ClusterConfig::default()
    };
    let mut cluster = Cluster::start(folder.path(), config).await?;
    let load = Load { traces_per_request: 16, ..Load::new(52) };
    let sender = Sender::start(cluster.otlp("distributor")?, load);
    let reader = Reader::start(cluster.api()?, load, sender.acknowledged());
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.kill("ingester-1")?;
    // Its disk is lost too.
    std::fs::remove_dir_all(cluster.folder_of("ingester-1").join("wal"))?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let traces = sender.finish().await?;
    let answers = reader.finish().await?;
    println!("{traces} traces acknowledged, {answers:?}");
    ensure!(answers.whole > 100 && answers.failed == 0, "{answers:?}");
    expect_all(&cluster.api()?, &load, traces).await?;

    // The others make blocks of what it led before they leave.
    for ingester in ["ingester-0", "ingester-2"] {
        cluster.stop(ingester, Duration::from_secs(60)).await?;
        ensure!(followed(&cluster, ingester) == 0, "{ingester} leaves nothing behind");
    }
    let stored: u64 = stored_traces(&cluster)?.values().sum();
    ensure!(stored >= traces, "{traces} traces were sent, {stored} are in blocks");
    Ok(())
}
