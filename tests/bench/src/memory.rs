//! What live traces cost an ingester in memory.

use std::fmt::Write as _;

use anyhow::Result;
use tempoform_test_support::{Cluster, ClusterConfig, Load};

use crate::{OVERRIDES, encode, mib, push};

const TRACES: u64 = 20_000;

/// Rows of a table.
pub(crate) async fn table(connections: usize) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let config = ClusterConfig {
        ingesters: 1,
        replication_factor: 1,
        // All stay live.
        ingester: "  max_block_bytes: 1GiB\n  max_block_duration: 1h\n  trace_idle_period: 1h\n".to_owned(),
        extra: OVERRIDES.to_owned(),
        ..ClusterConfig::default()
    };
    let cluster = Cluster::start(folder.path(), config).await?;
    let load = Load::new(11);
    // The first requests make what is there whatever the number of traces: connections, buffers, files.
    let warm = Load::new(12);
    let address = cluster.otlp("distributor")?;
    push(&address, encode(&warm, warm.traces_per_request), connections).await?;
    let before = cluster.usage_of("ingester-0")?.rss;
    push(&address, encode(&load, TRACES), connections).await?;
    let after = cluster.usage_of("ingester-0")?;
    let each = after.rss.saturating_sub(before) / TRACES;
    let mut table = String::new();
    let mut row = |what: &str, value: String| writeln!(table, "| {what} | {value} |");
    row("an ingester's RSS before", mib(before))?;
    row(
        &format!("an ingester's RSS at {TRACES} live traces of {} spans", load.spans_per_trace()),
        format!("{} ({each} bytes a trace)", mib(after.rss)),
    )?;
    row("its peak", mib(after.peak_rss))?;
    Ok(table)
}
