//! Many times more at once than there is room for.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use tempoform_test_support::{Exporter, Load};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{expect_alive, flush, in_group, look_up, metric, start, tell};

/// Connections, and how often each sends a batch: five requests at once, of one megabyte each.
const CONNECTIONS: u64 = 64;
const ROUNDS: u64 = 4;
const TRACES: u64 = 1000;
/// Traces of each batch that are looked at afterwards.
const LOOKED_AT: u64 = 5;

/// What became of a batch's requests: the first trace, and which services' requests were acknowledged.
struct Batch {
    first: u64,
    acknowledged: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_refused_with_a_reason_and_what_was_acknowledged_is_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some((group, config)) = in_group(folder.path(), "")? else { return Ok(()) };
    let server = start(config, Duration::from_secs(10), "an empty log").await?;
    let load = Load { traces_per_request: TRACES, ..Load::new(71) };
    let address = server.otlp_grpc();
    let connections = (0..CONNECTIONS).map(|n| tokio::spawn(push(address.clone(), load, n)));
    let (mut batches, mut refusals) = (Vec::new(), Vec::new());
    for pushed in join_all(connections).await {
        let (of_one, refused) = pushed??;
        batches.extend(of_one);
        refusals.extend(refused);
    }
    let acknowledged: u64 = batches.iter().map(|batch| batch.acknowledged).sum();
    let mut reasons = BTreeMap::new();
    for status in &refusals {
        *reasons.entry(reason(status)?).or_insert(0_u64) += 1;
    }
    tell(&format!("burst: {acknowledged} requests acknowledged, {} refused", refusals.len()));
    for (reason, count) in &reasons {
        tell(&format!("burst: {count} times {reason}"));
    }
    ensure!(!refusals.is_empty(), "nothing was refused: that was no burst");
    ensure!(acknowledged > 0, "everything was refused");
    expect_alive(&group, &server, "after the burst")?;
    let counted = metric(&server, "tempo_distributor_refused_requests_total").await?;
    tell(&format!("burst: the server counted {counted} refusals"));

    for place in ["in the log", "in storage"] {
        let (mut missing, mut refusals) = (0, 0);
        for Batch { first, acknowledged } in &batches {
            for trace in (*first..first + TRACES).step_by((TRACES / LOOKED_AT) as usize) {
                // Two spans of each service. What was not acknowledged may be there too.
                let (spans, refused) = look_up(&server, load.trace_id(trace)).await?;
                missing += (acknowledged * 2).saturating_sub(spans);
                refusals += refused;
            }
        }
        tell(&format!(
            "burst: {missing} acknowledged spans missing {place}, {refusals} lookups refused and made again"
        ));
        ensure!(missing == 0, "{missing} acknowledged spans are not there\n{}", server.log_tail());
        flush(&server, Duration::from_secs(60)).await?;
    }
    expect_alive(&group, &server, "after all was read and flushed")
}

/// Sends batch after batch, without waiting for room.
async fn push(address: String, load: Load, connection: u64) -> Result<(Vec<Batch>, Vec<Status>)> {
    let exporter = Exporter::new(&address)?;
    let (mut batches, mut refusals) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let first = (connection * ROUNDS + round) * TRACES;
        let sent = join_all(load.requests(first).into_iter().map(|request| exporter.export(request))).await;
        let acknowledged = sent.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        batches.push(Batch { first, acknowledged });
        refusals.extend(sent.into_iter().filter_map(Result::err));
    }
    Ok((batches, refusals))
}

/// What a refusal says; one without a reason, or without a hint when to try again, is an error.
fn reason(status: &Status) -> Result<String> {
    ensure!(!status.message().is_empty(), "a refusal without a reason: {status:?}");
    match status.code() {
        Code::ResourceExhausted => {
            let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
            hint.with_context(|| format!("no hint when to try again: {status:?}"))?;
        }
        Code::Unavailable => {}
        other => anyhow::bail!("a refusal that clients do not send again: {other:?} {status:?}"),
    }
    // Numbers differ from one to the next.
    let text: String = status.message().chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    let mut words = text;
    while words.contains("##") {
        words = words.replace("##", "#");
    }
    Ok(format!("{:?}: {words}", status.code()))
}
