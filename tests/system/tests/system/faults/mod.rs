//! Faults, one by one, while spans come in and are read: nothing acknowledged is lost, and no answer says more than is known.

mod clocks;
mod compactor;
mod disks;
mod gossip;
mod object_store;
mod processes;
mod suite;
mod table;

use anyhow::Result;
use tempoform_test_support::ClusterConfig;

use self::suite::Suite;
use crate::durability::SmallDisk;

/// Blocks are cut, merged and read while faults last.
fn lively() -> ClusterConfig {
    ClusterConfig {
        ingester: "  max_block_duration: 4s\n  take_over_after: 2s\n".to_owned(),
        extra: "compactor:\n  compaction:\n    compaction_cycle: 2s\n".to_owned(),
        ..ClusterConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn components_fail() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount("64m")?;
    if let Some(disk) = &disk {
        std::fs::create_dir(folder.path().join(disks::ON_SMALL_DISK))?;
        std::os::unix::fs::symlink(disk.path(), folder.path().join(disks::ON_SMALL_DISK).join("wal"))?;
    }
    let mut suite = Suite::start(folder.path(), lively(), 1000).await?;
    processes::killed_at_random(&mut suite).await?;
    processes::retriever_away(&mut suite).await?;
    processes::two_of_three_down(&mut suite).await?;
    processes::rolling_restart(&mut suite).await?;
    processes::scaled(&mut suite).await?;
    processes::hanging(&mut suite).await?;
    disks::full(&mut suite, disk.as_ref()).await?;
    disks::torn_log(&mut suite).await?;
    clocks::spans_of_other_days(&mut suite).await?;
    clocks::an_ingester_of_another_day(&mut suite).await?;
    processes::all_killed_at_once(&mut suite).await?;
    suite.read_all_from_storage("after all of the above, everything flushed").await
}
