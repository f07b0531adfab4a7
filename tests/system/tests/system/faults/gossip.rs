//! A cluster whose members do not hear of each other for a while.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempoform_test_support::ClusterConfig;
use tokio::time::sleep;

use super::suite::Suite;

#[tokio::test(flavor = "multi_thread")]
async fn gossip_is_parted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = ClusterConfig { relayed_gossip: true, ..super::lively() };
    let mut suite = Suite::start(folder.path(), config, 2000).await?;
    suite.cluster.add("distributor-1", "distributor").await?;
    suite.cluster.spawn("distributor-1")?;
    suite.cluster.ready("distributor-1").await?;

    let (there, here) = (suite.load(), suite.load());
    let cut_off = suite.run("distributor-1", there)?;
    let refused = cut_off.sender.refused();
    let majority = suite.run("distributor", here)?;
    sleep(Duration::from_secs(1)).await;
    suite.cluster.part_gossip(&["ingester-2", "distributor-1"])?;
    sleep(Duration::from_secs(10)).await;
    ensure!(refused.load(Ordering::Relaxed) > 0, "one ingester of three was enough");
    let before = majority.sender.acknowledged().load(Ordering::Acquire);
    sleep(Duration::from_secs(1)).await;
    ensure!(majority.sender.acknowledged().load(Ordering::Acquire) > before, "two of three are enough");
    suite.cluster.part_gossip(&[])?;
    sleep(Duration::from_secs(5)).await;
    suite.finish(majority, "gossip with an ingester and a distributor cut for 11 s: the others").await?;
    suite.finish(cut_off, "gossip with an ingester and a distributor cut for 11 s: those two").await?;
    suite.read_all_from_storage("after that, everything flushed").await
}
