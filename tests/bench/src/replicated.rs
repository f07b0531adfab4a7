//! The same load against three ingesters with three copies of each span.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tempoform_test_support::{Cluster, ClusterConfig};

use crate::{OVERRIDES, mib, per_cpu_second, push};

/// What the single binary took for the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Single {
    /// Processor seconds until everything was in storage.
    pub(crate) cpu: f64,
    /// Bytes of the blocks' data.
    pub(crate) data_bytes: u64,
}

/// Rows of the table.
pub(crate) async fn rows(
    requests: Vec<Bytes>,
    spans: u64,
    connections: usize,
    single: Single,
) -> Result<Vec<(String, String)>> {
    let folder = tempfile::tempdir()?;
    let config = ClusterConfig {
        ingester: "  max_block_bytes: 1GiB\n  max_block_duration: 1h\n".to_owned(),
        // Merging would be counted, and hide what was written.
        extra: format!("{OVERRIDES}    compaction:\n      compaction_disabled: true\n"),
        ..ClusterConfig::default()
    };
    let cluster = Cluster::start(folder.path(), config).await?;
    let before = cluster.usage()?;
    let push_time = push(&cluster.otlp("distributor")?, requests, connections).await?;
    let pushed = cluster.usage()?;
    let flush_started = Instant::now();
    cluster.flush().await?;
    let flush_time = flush_started.elapsed();
    let flushed = cluster.usage()?;
    let bytes = data_bytes(&cluster.blocks())?;
    let cpu = (flushed.cpu - before.cpu).as_secs_f64();
    let seconds = push_time.as_secs_f64();
    let peak = (0..3)
        .map(|at| Ok(cluster.usage_of(&format!("ingester-{at}"))?.peak_rss))
        .collect::<Result<Vec<_>>>()?;
    let row = |what: &str, value: String| (format!("three copies: {what}"), value);
    Ok(vec![
        row("push: wall time", format!("{seconds:.1} s ({:.0} spans/s)", spans as f64 / seconds)),
        row("push: spans per CPU-second", per_cpu_second(spans, before, pushed)),
        row("blocks built and verified after", format!("{:.1} s", flush_time.as_secs_f64())),
        row("total until in storage: spans per CPU-second", per_cpu_second(spans, before, flushed)),
        row("CPU against the single binary", format!("{:.2}×", cpu / single.cpu)),
        row(
            "block data against the single binary",
            format!("{:.2}×", bytes as f64 / single.data_bytes as f64),
        ),
        row("peak RSS of an ingester", mib(peak.into_iter().max().context("no ingester")?)),
    ])
}

/// Bytes of the data of all blocks below `blocks`.
pub(crate) fn data_bytes(blocks: &Path) -> Result<u64> {
    let mut bytes = 0;
    for block in std::fs::read_dir(blocks.join("single-tenant"))? {
        let data = block?.path().join("data.parquet");
        bytes += data.metadata().map_or(0, |data| data.len());
    }
    Ok(bytes)
}
