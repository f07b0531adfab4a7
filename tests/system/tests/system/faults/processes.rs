//! Processes that die, hang, come and go.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempoform_test_support::Cluster;
use tokio::time::sleep;

use super::suite::Suite;
use super::table;

const KILLS: usize = 20;
/// Longer than the cluster's `heartbeat_timeout`.
const NOTICED: Duration = Duration::from_secs(5);
const STOPPING: Duration = Duration::from_secs(60);

/// The seed of this run: from `TEMPOFORM_FAULT_SEED`, so that a run can be repeated, else any.
pub(super) fn chance(what: &str) -> Result<StdRng> {
    let seed = match std::env::var("TEMPOFORM_FAULT_SEED") {
        Ok(seed) => seed.parse().with_context(|| format!("TEMPOFORM_FAULT_SEED={seed}"))?,
        Err(_) => rand::random(),
    };
    table::say(&format!("{what}: TEMPOFORM_FAULT_SEED={seed}"));
    Ok(StdRng::seed_from_u64(seed))
}

async fn start(cluster: &mut Cluster, names: &[&str]) -> Result<()> {
    for name in names {
        cluster.spawn(name)?;
    }
    for name in names {
        cluster.ready(name).await?;
    }
    Ok(())
}

pub(super) async fn killed_at_random(suite: &mut Suite) -> Result<()> {
    let mut chance = chance("kills at random")?;
    let killed = suite
        .fault(&format!("`kill -9` of a component at random, {KILLS} times"), async |cluster| {
            let names = cluster.names();
            for _ in 0..KILLS {
                let name = &names[chance.random_range(0..names.len())];
                cluster.kill(name)?;
                sleep(Duration::from_millis(chance.random_range(0..300))).await;
                start(cluster, &[name]).await?;
                sleep(Duration::from_millis(chance.random_range(0..500))).await;
            }
            Ok(())
        })
        .await?;
    ensure!(killed.queries_whole > 0, "{killed}");
    Ok(())
}

pub(super) async fn retriever_away(suite: &mut Suite) -> Result<()> {
    suite
        .fault("the only retriever away for 8 s", async |cluster| {
            // What was sent before is in blocks and nowhere else.
            cluster.flush().await?;
            cluster.kill("retriever")?;
            sleep(Duration::from_secs(8)).await;
            start(cluster, &["retriever"]).await
        })
        .await?;
    Ok(())
}

pub(super) async fn two_of_three_down(suite: &mut Suite) -> Result<()> {
    let load = suite.load();
    let running = suite.run("distributor", load)?;
    let acknowledged = running.sender.acknowledged();
    let known = || acknowledged.load(Ordering::Acquire);
    sleep(Duration::from_secs(1)).await;
    for name in ["ingester-0", "ingester-1"] {
        suite.cluster.kill(name)?;
    }
    sleep(NOTICED).await;
    let before = known();
    sleep(Duration::from_secs(2)).await;
    ensure!(known() == before, "one ingester of three acknowledged");
    start(&mut suite.cluster, &["ingester-0", "ingester-1"]).await?;
    sleep(Duration::from_secs(3)).await;
    ensure!(known() > before, "writes are not taken again");
    let row = suite.finish(running, "two of three ingesters down for 7 s").await?;
    ensure!(row.exports_refused > 0, "{row}");
    Ok(())
}

pub(super) async fn rolling_restart(suite: &mut Suite) -> Result<()> {
    suite
        .fault("rolling restart of the ingesters (SIGTERM)", async |cluster| {
            for name in ["ingester-0", "ingester-1", "ingester-2"] {
                cluster.stop(name, STOPPING).await?;
                start(cluster, &[name]).await?;
                sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

pub(super) async fn scaled(suite: &mut Suite) -> Result<()> {
    suite
        .fault("ingesters scaled from 3 to 5 and back (SIGTERM, `/shutdown`)", async |cluster| {
            for name in ["ingester-3", "ingester-4"] {
                cluster.add(name, "ingester").await?;
            }
            start(cluster, &["ingester-3", "ingester-4"]).await?;
            sleep(Duration::from_secs(3)).await;
            cluster.stop("ingester-4", STOPPING).await?;
            cluster.shut_down("ingester-3", STOPPING).await
        })
        .await?;
    // Whoever left is not started again, nor joined.
    suite.cluster.remove("ingester-3")?;
    suite.cluster.remove("ingester-4")
}

pub(super) async fn hanging(suite: &mut Suite) -> Result<()> {
    suite
        .fault("an ingester hangs for 10 s (SIGSTOP)", async |cluster| {
            cluster.signal("ingester-1", "STOP")?;
            sleep(Duration::from_secs(10)).await;
            cluster.signal("ingester-1", "CONT")
        })
        .await?;
    Ok(())
}

pub(super) async fn all_killed_at_once(suite: &mut Suite) -> Result<()> {
    suite
        .fault("`kill -9` of everything at once", async |cluster| {
            sleep(Duration::from_secs(2)).await;
            let names = cluster.names();
            for name in &names {
                cluster.signal(name, "KILL")?;
            }
            for name in &names {
                cluster.kill(name)?;
            }
            start(cluster, &names.iter().map(String::as_str).collect::<Vec<_>>()).await
        })
        .await?;
    Ok(())
}
