//! Merging of blocks by a compactor process: input bytes per CPU-second, output, memory.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tempoform_block::{BlockMeta, BlockStore, StoreOptions};
use tempoform_test_support::{Load, Server, ServerConfig, free_port, write_block};
use uuid::Uuid;

use crate::mib;

const BLOCKS: u64 = 10;
/// So many that a block has some 100 MB.
const TRACES_PER_BLOCK: u64 = 72_000;
/// Of each block, the traces that the block before has too.
const SHARED: u64 = TRACES_PER_BLOCK / 100;
/// For both merges: the compactor takes eight blocks at once.
const PATIENCE: Duration = Duration::from_secs(600);

/// A table.
pub(crate) async fn table() -> Result<String> {
    let folder = tempfile::tempdir()?;
    let blocks = folder.path().join("blocks");
    std::fs::create_dir_all(&blocks)?;
    let store = BlockStore::local(&blocks, StoreOptions::default(), None)?;
    let load = Load::new(5);
    let inputs: Vec<BlockMeta> = stream::iter(0..BLOCKS)
        .map(|block| {
            let store = store.clone();
            let traces: Vec<u64> =
                ((block * TRACES_PER_BLOCK).saturating_sub(SHARED)..(block + 1) * TRACES_PER_BLOCK).collect();
            let id = Uuid::from_u128(u128::from(block) + 1);
            tokio::spawn(async move { write_block(&store, id, &load, &traces).await })
        })
        .buffered(2)
        .map(|written| written?)
        .try_collect()
        .await?;
    let bytes: u64 = inputs.iter().map(|meta| meta.size).sum();

    let mut config = ServerConfig::new(folder.path())?;
    // All blocks are in one window, and there is one cycle.
    config.extra = format!(
        "target: compactor\nmemory:\n  limit_bytes: 1GiB\ncompactor:\n  compaction:\n    compaction_window: 100000h\n    compaction_cycle: 10h\nmemberlist:\n  bind_addr: [127.0.0.1]\n  bind_port: {}\n",
        free_port()?
    );
    let started = Instant::now();
    let server = Server::start(config).await?;
    let live = loop {
        ensure!(started.elapsed() < PATIENCE, "no merge within {PATIENCE:?}\n{}", server.log_tail());
        let (live, compacted) = metas(&blocks)?;
        if compacted.len() as u64 == BLOCKS {
            break live;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let (took, usage) = (started.elapsed(), server.usage()?);
    let traces: u64 = live.iter().map(|meta| meta.total_objects).sum();
    ensure!(traces >= BLOCKS * TRACES_PER_BLOCK, "{traces} traces are left");

    let cpu = usage.cpu.as_secs_f64();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let mut table = String::new();
    let mut row = |what: &str, value: String| writeln!(table, "| {what} | {value} |");
    row("compaction: input", format!("{BLOCKS} blocks, {:.0} MB", mb(bytes)))?;
    row(
        "compaction: output",
        format!("{} blocks, {:.0} MB", live.len(), mb(live.iter().map(|meta| meta.size).sum())),
    )?;
    row("compaction: wall time", format!("{:.1} s", took.as_secs_f64()))?;
    row("compaction: input per CPU-second", format!("{:.0} MB ({cpu:.1} s)", mb(bytes) / cpu))?;
    row("compaction: peak RSS of the compactor", mib(usage.peak_rss))?;
    Ok(table)
}

/// The metas of live blocks, and of those that were merged.
fn metas(blocks: &Path) -> Result<(Vec<BlockMeta>, Vec<BlockMeta>)> {
    let (mut live, mut compacted) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(blocks.join("single-tenant"))? {
        let folder = entry?.path();
        for (name, found) in [("meta.json", &mut live), ("meta.compacted.json", &mut compacted)] {
            match std::fs::read(folder.join(name)) {
                Ok(meta) => found.push(BlockMeta::from_json(&meta).context("a meta is damaged")?),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok((live, compacted))
}
