//! Clocks that are wrong: of clients, and of an ingester.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempoform_test_support::{Cluster, Load};
use tokio::time::sleep;

use super::suite::Suite;
use super::table;

const TWO_DAYS: Duration = Duration::from_secs(2 * 24 * 3600);

pub(super) async fn spans_of_other_days(suite: &mut Suite) -> Result<()> {
    let (past, future) = (suite.load(), suite.load());
    let two_days = TWO_DAYS.as_nanos() as u64;
    let past = Load { start_unix_nano: past.start_unix_nano - two_days, ..past };
    let future = Load { start_unix_nano: future.start_unix_nano + two_days, ..future };
    for (fault, load) in [("spans of two days ago", past), ("spans of the day after tomorrow", future)] {
        suite
            .fault_with(fault, load, async |cluster| {
                sleep(Duration::from_secs(2)).await;
                // They are read from blocks too.
                cluster.flush().await
            })
            .await?;
    }
    Ok(())
}

pub(super) async fn an_ingester_of_another_day(suite: &mut Suite) -> Result<()> {
    const INGESTER: &str = "ingester-0";
    let Some(library) = std::env::var_os("TEMPOFORM_TEST_FAKETIME") else {
        return table::skip("an ingester's clock two days wrong", "TEMPOFORM_TEST_FAKETIME is not set");
    };
    for (offset, fault) in [
        ("+2d", "an ingester's clock two days ahead, then right"),
        ("-2d", "an ingester's clock two days behind, then right"),
    ] {
        let environment = [
            ("LD_PRELOAD", library.to_string_lossy().into_owned()),
            ("FAKETIME", offset.to_owned()),
            // Waiting goes by the monotonic clock, which no wrong date changes.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        suite
            .fault(fault, async |cluster| {
                for (is_wrong, environment) in [(true, environment.to_vec()), (false, Vec::new())] {
                    cluster.kill(INGESTER)?;
                    cluster.set_environment(INGESTER, environment)?;
                    cluster.spawn(INGESTER)?;
                    cluster.ready(INGESTER).await?;
                    let (own, others) = (day(cluster, INGESTER).await?, day(cluster, "distributor").await?);
                    ensure!(!is_wrong || own != others, "it is {own} to both");
                    sleep(Duration::from_secs(5)).await;
                    cluster.flush().await?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// The day that it is to a component.
async fn day(cluster: &Cluster, name: &str) -> Result<String> {
    let answer = reqwest::get(cluster.url(name, "/ready")?).await?;
    let date = answer.headers().get(reqwest::header::DATE).context("an answer has a date")?.to_str()?;
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    Ok(date.chars().take(16).collect())
}
