//! Load and reads around a fault.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, stream};
use tempoform_test_support::{Cluster, ClusterConfig, Load};
use tempoform_wire::otlp::any_value::Value;
use tempoform_wire::otlp::{ResourceSpans, TracesData};

use super::table::{self, Row};
use crate::distributed::{Reader, Sender};

/// Load before a fault and after it.
const AROUND: Duration = Duration::from_millis(700);
const SENDING_PAUSE: Duration = Duration::from_millis(100);
const READING_PAUSE: Duration = Duration::from_millis(10);
/// How long what was acknowledged may take to be readable after a fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lookups at once.
const LOOKUPS: usize = 8;

/// A cluster, and all that was sent to it.
pub(crate) struct Suite {
    pub(crate) cluster: Cluster,
    sent: Vec<(Load, u64)>,
    next_seed: u64,
}

/// Load and reads under way.
pub(crate) struct Running {
    load: Load,
    pub(crate) sender: Sender,
    reader: Reader,
}

impl Suite {
    /// `seed` tells the suites of one run apart.
    pub(crate) async fn start(folder: &Path, config: ClusterConfig, seed: u64) -> Result<Self> {
        Ok(Self { cluster: Cluster::start(folder, config).await?, sent: Vec::new(), next_seed: seed })
    }

    /// A load whose traces are no other's.
    pub(crate) fn load(&mut self) -> Load {
        self.next_seed += 1;
        Load { traces_per_request: 8, ..Load::new(self.next_seed) }
    }

    /// Starts to send to a distributor and to read back.
    pub(crate) fn run(&self, distributor: &str, load: Load) -> Result<Running> {
        let sender = Sender::start_every(SENDING_PAUSE, self.cluster.otlp(distributor)?, load);
        let reader = Reader::start_every(READING_PAUSE, self.cluster.api()?, load, sender.acknowledged());
        Ok(Running { load, sender, reader })
    }

    /// Ends load and reads, and looks for all that was acknowledged.
    pub(crate) async fn finish(&mut self, running: Running, fault: &str) -> Result<Row> {
        let Running { load, sender, reader } = running;
        let refused = sender.refused();
        let traces = sender.finish().await.with_context(|| fault.to_owned())?;
        let answers = reader.finish().await.with_context(|| fault.to_owned())?;
        self.sent.push((load, traces));
        let row = Row {
            fault: fault.to_owned(),
            acknowledged: traces * load.spans_per_trace(),
            missing: missing(&self.cluster.api()?, &load, traces).await,
            exports_refused: refused.load(std::sync::atomic::Ordering::Relaxed),
            queries_failed: answers.failed,
            queries_partial: answers.partial,
            queries_whole: answers.whole,
        };
        table::record(&row)?;
        ensure!(row.acknowledged > 0, "{fault}: nothing was acknowledged");
        ensure!(row.missing == 0, "{fault}: acknowledged spans are missing: {row}");
        ensure!(row.queries_whole > 0, "{fault}: no query got a whole answer: {row}");
        Ok(row)
    }

    /// Brings a fault about while load and reads go on.
    pub(crate) async fn fault(
        &mut self,
        fault: &str,
        act: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
    ) -> Result<Row> {
        let load = self.load();
        self.fault_with(fault, load, act).await
    }

    /// The same with a load of one's own.
    pub(crate) async fn fault_with(
        &mut self,
        fault: &str,
        load: Load,
        act: impl AsyncFnOnce(&mut Cluster) -> Result<()>,
    ) -> Result<Row> {
        let started = Instant::now();
        let running = self.run("distributor", load)?;
        tokio::time::sleep(AROUND).await;
        act(&mut self.cluster).await.with_context(|| fault.to_owned())?;
        tokio::time::sleep(AROUND).await;
        let row = self.finish(running, fault).await?;
        table::say(&format!("took {:.1} s", started.elapsed().as_secs_f64()));
        Ok(row)
    }

    /// Brings everything to storage and reads all of it again.
    pub(crate) async fn read_all_from_storage(&mut self, fault: &str) -> Result<()> {
        self.cluster.flush().await?;
        let api = self.cluster.api()?;
        let (mut acknowledged, mut lost) = (0, 0);
        for (load, traces) in &self.sent {
            acknowledged += traces * load.spans_per_trace();
            lost += missing(&api, load, *traces).await;
        }
        let row = Row {
            fault: fault.to_owned(),
            acknowledged,
            missing: lost,
            exports_refused: 0,
            queries_failed: 0,
            queries_partial: 0,
            queries_whole: 0,
        };
        table::record(&row)?;
        ensure!(lost == 0, "{fault}: acknowledged spans are missing: {row}");
        Ok(())
    }
}

/// Spans of the first traces of a load that cannot be read as they were sent, once each, not even after a while.
async fn missing(api: &str, load: &Load, traces: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let client = reqwest::Client::new();
    let lookups = (0..traces).map(|n| {
        let (client, url) = (client.clone(), format!("{api}/api/traces/{}", load.trace_id(n)));
        async move {
            let expected = load.spans(n);
            loop {
                let found = spans(&client, &url).await;
                let sent: BTreeSet<_> = found.iter().cloned().collect();
                let wrong = expected.difference(&sent).count().max(found.len().abs_diff(expected.len()));
                if wrong == 0 || Instant::now() > deadline {
                    return wrong as u64;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
    stream::iter(lookups).buffer_unordered(LOOKUPS).fold(0, async |sum, lost| sum + lost).await
}

/// Service, id and name of each span found of a trace; none where the question fails.
async fn spans(client: &reqwest::Client, url: &str) -> Vec<(String, Vec<u8>, String)> {
    let Ok(answer) = client.get(url).header("accept", "application/protobuf").send().await else {
        return Vec::new();
    };
    if !answer.status().is_success() {
        return Vec::new();
    }
    let Ok(bytes) = answer.bytes().await else { return Vec::new() };
    let Ok(trace) = <TracesData as prost::Message>::decode(bytes) else { return Vec::new() };
    let of_resource = |resource: ResourceSpans| {
        let service = service(&resource);
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| (service.clone(), span.span_id, span.name))
    };
    trace.resource_spans.into_iter().flat_map(of_resource).collect()
}

fn service(resource: &ResourceSpans) -> String {
    let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
    let mut names = attributes.filter(|attribute| attribute.key == "service.name");
    match names.next().and_then(|name| name.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(name)) => name.clone(),
        _ => String::new(),
    }
}
