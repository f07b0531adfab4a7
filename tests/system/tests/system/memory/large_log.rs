//! A log many times larger than memory: written while the store is away, replayed, read, and brought into storage.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use tempoform_test_support::{Exporter, Load, Server};

use super::{expect_alive, expect_whole, flush, in_group, start, tell};
use crate::durability::segments;

/// The log's size unless `TEMPOFORM_TEST_LOG_MIB` says another.
const LOG_MIB: u64 = 2048;
/// Ready within this time whatever the size, and this long more for each GiB.
const READY_WITHIN: Duration = Duration::from_secs(10);
const READY_PER_GIB: Duration = Duration::from_secs(2);
const CONNECTIONS: u64 = 4;
const TRACES: u64 = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_log_is_replayed_in_a_small_group() -> Result<()> {
    let size = match std::env::var("TEMPOFORM_TEST_LOG_MIB") {
        Ok(size) => size.parse::<u64>().context("TEMPOFORM_TEST_LOG_MIB")?,
        Err(_) => LOG_MIB,
    } << 20;
    let folder = tempfile::tempdir()?;
    let Some((group, config)) = in_group(folder.path(), "")? else { return Ok(()) };
    // Nothing can be uploaded: a file stands where the tenant's blocks would be.
    fs::create_dir_all(folder.path().join("blocks"))?;
    fs::write(folder.path().join("blocks/single-tenant"), "in the way")?;
    let server = start(config, READY_WITHIN, "an empty log").await?;
    let load = Load { traces_per_request: TRACES, ..Load::new(72) };
    let started = Instant::now();
    let (mut batches, mut refused) = (0, 0);
    while log_bytes(&server)? < size {
        let sent = (batches..batches + CONNECTIONS * 4).step_by(4).map(|first| {
            let address = server.otlp_grpc();
            tokio::spawn(async move { push(&address, load, first..first + 4).await })
        });
        for pushed in join_all(sent).await {
            refused += pushed??;
        }
        batches += CONNECTIONS * 4;
    }
    let traces = batches * TRACES;
    tell(&format!(
        "large log: {} MiB with {} spans written in {:.1} s, {refused} requests refused and sent again",
        log_bytes(&server)? >> 20,
        traces * load.spans_per_trace(),
        started.elapsed().as_secs_f64()
    ));
    expect_alive(&group, &server, "large log written")?;

    let config = server.kill()?;
    let gib = u32::try_from(size >> 30)?;
    let server = start(config, READY_WITHIN + READY_PER_GIB * gib, "large log").await?;
    expect_alive(&group, &server, "large log replayed")?;
    let sample = || (0..traces).step_by((traces / 500).max(1) as usize);
    expect_whole(&server, &load, sample(), "in the log").await?;
    expect_alive(&group, &server, "large log read")?;

    // Storage is back.
    fs::remove_file(folder.path().join("blocks/single-tenant"))?;
    let started = Instant::now();
    flush(&server, Duration::from_secs(60) + Duration::from_secs(60) * gib).await?;
    ensure!(segments(folder.path())?.is_empty(), "the log went to storage");
    tell(&format!("large log: in storage after {:.1} s", started.elapsed().as_secs_f64()));
    expect_whole(&server, &load, sample(), "in storage").await?;
    expect_alive(&group, &server, "large log flushed and read from storage")
}

/// Sends batches until each is acknowledged; gives how many requests were refused before.
async fn push(address: &str, load: Load, batches: std::ops::Range<u64>) -> Result<u64> {
    let exporter = Exporter::new(address)?;
    let mut refused = 0;
    for batch in batches {
        for request in load.requests(batch * TRACES) {
            while let Err(status) = exporter.export(request.clone()).await {
                refused += 1;
                ensure!(refused < 10_000, "refused for ever: {status:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    Ok(refused)
}

fn log_bytes(server: &Server) -> Result<u64> {
    let mut bytes = 0;
    for segment in segments(&server.config().folder).unwrap_or_default() {
        bytes += segment.metadata()?.len();
    }
    Ok(bytes)
}
