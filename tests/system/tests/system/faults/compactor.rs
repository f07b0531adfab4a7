//! A compactor that is killed at any step of its work.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::RngExt as _;
use tempoform_block::{BlockPath, BlockState, BlockStore, StoreOptions, verify};
use tempoform_core::{Account, TenantId};
use tempoform_test_support::ClusterConfig;
use tokio::time::sleep;

use super::processes::chance;
use super::suite::Suite;

const KILLS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn the_compactor_is_killed_while_it_merges() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = ClusterConfig {
        // A span that is written twice is the compactor's doing then.
        ingesters: 1,
        replication_factor: 1,
        extra: "compactor:\n  compaction:\n    compaction_cycle: 50ms\n".to_owned(),
        ..ClusterConfig::default()
    };
    let mut suite = Suite::start(folder.path(), config, 4000).await?;
    let mut chance = chance("kills of the compactor")?;
    let row = suite
        .fault(&format!("compactor killed at random moments of merging, {KILLS} times"), async |cluster| {
            for _ in 0..KILLS {
                // Two blocks more to merge.
                for _ in 0..2 {
                    sleep(Duration::from_millis(100)).await;
                    cluster.flush().await?;
                }
                sleep(Duration::from_millis(chance.random_range(0..200))).await;
                cluster.kill("compactor")?;
                cluster.spawn("compactor")?;
            }
            cluster.ready("compactor").await
        })
        .await?;
    ensure!(row.exports_refused == 0, "nothing was sent twice: {row}");
    suite.read_all_from_storage("after that, everything flushed").await?;
    let blocks = suite.cluster.blocks();
    let stored = settled(&blocks).await?;
    ensure!(stored.merged > 0, "nothing was merged: {stored:?}");
    ensure!(stored.findings.is_empty(), "{stored:?}");
    ensure!(
        stored.spans == row.acknowledged,
        "{} spans were acknowledged, stored: {stored:?}",
        row.acknowledged
    );
    Ok(())
}

/// What live blocks hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stored {
    blocks: usize,
    merged: usize,
    spans: u64,
    findings: Vec<String>,
}

/// What is stored once the compactor has nothing left to do.
async fn settled(folder: &Path) -> Result<Stored> {
    let started = Instant::now();
    let mut last = Stored::default();
    loop {
        let now = stored(folder).await;
        match now {
            Ok(now) if now.blocks > 0 && now == last => return Ok(now),
            // A block that is merged while it is looked at is looked at again.
            other if started.elapsed() > Duration::from_secs(60) => {
                anyhow::bail!("the compactor does not come to an end: {other:?}")
            }
            Ok(now) => last = now,
            Err(_) => {}
        }
        sleep(Duration::from_secs(2)).await;
    }
}

async fn stored(folder: &Path) -> Result<Stored> {
    let store = BlockStore::local(folder, StoreOptions::default(), None)?;
    let account = Account::default();
    let tenant = TenantId::single();
    let mut stored = Stored::default();
    for folder in store.folders(&tenant, &account).await? {
        if folder.state != BlockState::Live {
            continue;
        }
        let path = BlockPath::new(tenant.clone(), folder.block);
        let meta = store.read_meta(&path, &account).await?;
        let verified = verify::verify(&store, &path, &folder, &account).await?;
        stored.blocks += 1;
        stored.merged += usize::from(meta.compaction_level > 0);
        stored.spans += verified.spans;
        stored.findings.extend(verified.findings.iter().map(ToString::to_string));
    }
    Ok(stored)
}
