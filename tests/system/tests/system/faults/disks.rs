//! Disks that fill up, and logs that come back damaged.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use super::suite::Suite;
use super::table;
use crate::durability::SmallDisk;

/// The ingester whose log is on a disk of its own.
pub(super) const ON_SMALL_DISK: &str = "ingester-1";

pub(super) async fn full(suite: &mut Suite, disk: Option<&SmallDisk>) -> Result<()> {
    const FAULT: &str = "disk of an ingester's log full for 6 s";
    let Some(disk) = disk else { return table::skip(FAULT, "no right to mount a small disk") };
    let filler = disk.path().join("filler");
    suite
        .fault(FAULT, async |_| {
            let error = fill(&filler).err().context("a disk of 64 MB took everything")?;
            ensure!(error.kind() == std::io::ErrorKind::StorageFull, "{error}");
            sleep(Duration::from_secs(6)).await;
            fs::remove_file(&filler)?;
            sleep(Duration::from_secs(2)).await;
            Ok(())
        })
        .await?;
    Ok(())
}

/// Writes until an error.
fn fill(file: &Path) -> std::io::Result<()> {
    let mut file = fs::File::create(file)?;
    for chunk in [1 << 20, 1 << 12] {
        let zeros = vec![0; chunk];
        while file.write_all(&zeros).is_ok() {}
    }
    file.write_all(&[0; 1 << 12])
}

pub(super) async fn torn_log(suite: &mut Suite) -> Result<()> {
    const INGESTER: &str = "ingester-2";
    suite
        .fault("logs of a killed ingester cut by 64 bytes, garbage behind", async |cluster| {
            cluster.kill(INGESTER)?;
            let log = cluster.folder_of(INGESTER).join("wal/single-tenant");
            let led = newest(&log)?.context("it led something")?;
            let followed = newest(&log.join("followed"))?.context("it followed something")?;
            for file in [led, followed] {
                tear(&file)?;
            }
            cluster.spawn(INGESTER)?;
            cluster.ready(INGESTER).await?;
            ensure!(cluster.log_tail(INGESTER).contains("torn or damaged record"), "the damage is reported");
            // Longer than `take_over_after`.
            sleep(Duration::from_secs(4)).await;
            Ok(())
        })
        .await?;
    Ok(())
}

/// The log file that was written to last.
fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "wal") {
            newest = newest.max(Some((entry.metadata()?.modified()?, entry.path())));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

fn tear(file: &Path) -> Result<()> {
    let mut file = fs::OpenOptions::new().append(true).open(file)?;
    let length = file.metadata()?.len();
    file.set_len(length.saturating_sub(64))?;
    Ok(file.write_all(&[0xa5; 200])?)
}
