//! Each component its own process: changes are exactly what they say, and kills lose nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempoform_test_support::{Cli, Exporter, Load};
use tokio::task::JoinHandle;

use crate::durability::spans_of;

/// Sends traces until told to stop. A request that is not acknowledged is sent again, so that in the end every
/// trace begun was acknowledged whole.
pub(crate) struct Sender {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    sent: JoinHandle<Result<u64>>,
}

/// Every trace is looked up in the end, which takes longer than sending it.
const SENDING_PAUSE: Duration = Duration::from_millis(20);
const READING_PAUSE: Duration = Duration::from_millis(5);

impl Sender {
    pub(crate) fn start(address: String, load: Load) -> Self {
        Self::start_every(SENDING_PAUSE, address, load)
    }

    /// The same with another pause between groups of traces.
    pub(crate) fn start_every(pause: Duration, address: String, load: Load) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (acknowledged, refused) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (told, refusals) = (Arc::clone(&acknowledged), Arc::clone(&refused));
        let sent = tokio::spawn(async move {
            let exporter = Exporter::new(&address)?;
            let mut next = 0;
            while !stopped.load(Ordering::Relaxed) {
                for request in load.requests(next) {
                    export_until_acknowledged(&exporter, request, &refusals).await?;
                }
                next += load.traces_per_request;
                told.store(next, Ordering::Release);
                tokio::time::sleep(pause).await;
            }
            Ok(next)
        });
        Self { stop, acknowledged, refused, sent }
    }

    /// How many traces are acknowledged by now.
    pub(crate) fn acknowledged(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.acknowledged)
    }

    /// How many requests were refused by now, or not answered.
    pub(crate) fn refused(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.refused)
    }

    /// How many traces were acknowledged.
    pub(crate) async fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.sent.await?
    }
}

async fn export_until_acknowledged(
    exporter: &Exporter,
    request: bytes::Bytes,
    refused: &AtomicU64,
) -> Result<()> {
    let started = Instant::now();
    loop {
        match exporter.export(request.clone()).await {
            Ok(()) => return Ok(()),
            Err(status) if started.elapsed() < Duration::from_secs(60) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                refused.fetch_add(1, Ordering::Relaxed);
                drop(status);
            }
            Err(status) => return Err(status).context("not acknowledged within a minute"),
        }
    }
}

/// Asks again and again for acknowledged traces. An answer may say that a part is missing; it must never say that a trace
/// is whole, or not there, when it is not so.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    read: JoinHandle<Result<Answers>>,
}

/// What came of the questions.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) whole: u64,
    pub(crate) partial: u64,
    pub(crate) failed: u64,
}

impl Reader {
    pub(crate) fn start(api: String, load: Load, acknowledged: Arc<AtomicU64>) -> Self {
        Self::start_every(READING_PAUSE, api, load, acknowledged)
    }

    /// The same with another pause between questions.
    pub(crate) fn start_every(
        pause: Duration,
        api: String,
        load: Load,
        acknowledged: Arc<AtomicU64>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let read = tokio::spawn(async move {
            let client = reqwest::Client::new();
            let mut answers = Answers::default();
            let mut at = 0;
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep(pause).await;
                let known = acknowledged.load(Ordering::Acquire);
                if known == 0 {
                    continue;
                }
                at = (at + 7919) % known;
                let url = format!("{api}/api/v2/traces/{}", load.trace_id(at));
                let answer = match client.get(url).send().await {
                    Ok(answer) if answer.status().is_success() => answer,
                    Ok(answer) if answer.status() == reqwest::StatusCode::NOT_FOUND => {
                        anyhow::bail!("trace {at} of {known} was said not to be there")
                    }
                    _ => {
                        answers.failed += 1;
                        continue;
                    }
                };
                let Ok(answer) = answer.json::<serde_json::Value>().await else {
                    answers.failed += 1;
                    continue;
                };
                let resources = answer["trace"]["resourceSpans"].as_array().cloned().unwrap_or_default();
                let scopes = resources
                    .iter()
                    .flat_map(|resource| resource["scopeSpans"].as_array().into_iter().flatten());
                let spans: usize = scopes.map(|scope| scope["spans"].as_array().map_or(0, Vec::len)).sum();
                if spans as u64 == load.spans_per_trace() {
                    answers.whole += 1;
                } else if answer["status"] == "PARTIAL" {
                    answers.partial += 1;
                } else {
                    anyhow::bail!("trace {at} of {known} was said to be whole with {spans} spans: {answer}");
                }
            }
            Ok(answers)
        });
        Self { stop, read }
    }

    pub(crate) async fn finish(self) -> Result<Answers> {
        self.stop.store(true, Ordering::Relaxed);
        self.read.await?
    }
}

/// Every span of every trace is found, soon.
pub(crate) async fn expect_all(api: &str, load: &Load, traces: u64) -> Result<()> {
    let started = Instant::now();
    for n in 0..traces {
        loop {
            let found = spans_of(api, load.trace_id(n)).await;
            match found {
                Ok(spans) if spans as u64 == load.spans_per_trace() => break,
                other if started.elapsed() > Duration::from_secs(90) => {
                    anyhow::bail!("trace {n} of {traces} ({}): {other:?}", load.trace_id(n));
                }
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
    Ok(())
}

fn pid_of(cli: &Cli, instance: &str) -> Result<u64> {
    let status = cli.status()?;
    let components = status["components"].as_array().context("no components")?;
    let found =
        components.iter().find(|known| known["instance"] == instance).with_context(|| instance.to_owned())?;
    found["pid"].as_u64().with_context(|| format!("{instance} does not run: {status:#}"))
}

fn instances(cli: &Cli) -> Result<BTreeSet<(String, u64)>> {
    let status = cli.status()?;
    let components = status["components"].as_array().context("no components")?;
    Ok(components
        .iter()
        .map(|known| {
            (known["instance"].as_str().unwrap_or_default().to_owned(), known["pid"].as_u64().unwrap_or(0))
        })
        .collect())
}

// Load and reads go on while commands run.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_change_exactly_and_kills_lose_nothing() -> Result<()> {
    let cli = Cli::example("distributed-local")?;
    cli.expect(0, "apply", &["--auto-approve"])?;
    cli.expect(0, "plan", &["--detailed-exitcode"]).context("a second plan has no changes")?;
    let before = instances(&cli)?;

    let api = format!("http://{}", cli.endpoint("queryFrontend", "http")?);
    let load = Load { traces_per_request: 16, ..Load::new(41) };
    let sender = Sender::start(cli.endpoint("distributor", "otlpGrpc")?, load);
    let reader = Reader::start(api.clone(), load, sender.acknowledged());

    cli.edit("replicas: 3", "replicas: 4")?;
    let plan = cli.expect(2, "plan", &["--detailed-exitcode"])?;
    ensure!(plan.contains("1 to create, 0 to change, 0 to destroy"), "{plan}");
    cli.expect(0, "apply", &["--auto-approve"])?;
    let more = instances(&cli)?;
    let new: Vec<_> = more.difference(&before).map(|(name, _)| name.as_str()).collect();
    ensure!(new == ["ingester-3"], "only the new ingester started: {new:?}");

    cli.edit("replicas: 4", "replicas: 3")?;
    let plan = cli.expect(2, "plan", &["--detailed-exitcode"])?;
    ensure!(plan.contains("0 to create, 0 to change, 1 to destroy"), "{plan}");
    cli.expect(0, "apply", &["--auto-approve"])?;
    ensure!(instances(&cli)? == before, "the others were left alone");
    let planned = reader.finish().await.context("while ingesters came and went as planned")?;
    ensure!(planned.whole > 100 && planned.failed == 0, "{planned:?}");

    let reader = Reader::start(api.clone(), load, sender.acknowledged());

    for instance in before.iter().map(|(name, _)| name) {
        let pid = pid_of(&cli, instance)?;
        ensure!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()?.success());
        let started = Instant::now();
        while pid_of(&cli, instance).map_or(true, |now| now == pid) {
            ensure!(started.elapsed() < Duration::from_secs(30), "{instance} did not come back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let traces = sender.finish().await?;
    let through_kills = reader.finish().await.context("while processes were killed")?;
    ensure!(through_kills.whole > 0, "{through_kills:?}");
    ensure!(traces > 0, "nothing was sent");
    expect_all(&api, &load, traces).await?;
    cli.expect(0, "health", &[]).context("healthy again")?;
    Ok(())
}
