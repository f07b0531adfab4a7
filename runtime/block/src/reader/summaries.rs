//! What search results show of traces and spans.

use std::collections::BTreeMap;

use tempoform_core::{Account, TraceId};
use tempoform_traceql::{Batch, Field, Types};
use tempoform_wire::tempopb::ServiceStats;

use super::attributes::text;
use super::placed::{Layers, Placed};
use super::{BlockReader, Fetched, level, traces::SPAN_ID};
use crate::columns::{Absent, Plan};
use crate::error::Result;
use crate::search::{DURATION, START};

/// A trace in short.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceSummary {
    /// Which trace.
    pub trace_id: TraceId,
    /// `service.name` of the root span's resource; empty while the root is missing.
    pub root_service_name: String,
    /// Name of the root span; empty while the root is missing.
    pub root_span_name: String,
    /// Earliest span start, nanoseconds since 1970.
    pub start_unix_nano: u64,
    /// From the earliest span start to the latest span end, nanoseconds.
    pub duration_nanos: u64,
    /// Spans and errors by service; empty in vParquet3, which does not store it.
    pub service_stats: BTreeMap<String, ServiceStats>,
}

/// What every span of a search result shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanFacts {
    /// Id as stored, usually 8 bytes.
    pub span_id: Vec<u8>,
    /// Name.
    pub name: String,
    /// Start, nanoseconds since 1970.
    pub start_unix_nano: u64,
    /// End minus start, nanoseconds.
    pub duration_nanos: u64,
}

const SUMMARY_COLUMNS: [&str; 8] = [
    "TraceID",
    "RootServiceName",
    "RootSpanName",
    START,
    DURATION,
    "ServiceStats.ServiceName",
    "ServiceStats.SpanCount",
    "ServiceStats.ErrorCount",
];

const FACT_COLUMNS: [&str; 4] =
    [SPAN_ID, "rs.ss.Spans.Name", "rs.ss.Spans.StartTimeUnixNano", "rs.ss.Spans.DurationNano"];

/// When a trace was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceTime {
    pub(crate) start: u64,
    pub(crate) duration: u64,
}

/// What is shown of some traces. They and their spans are numbered as in `batch`.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The fields asked for.
    pub(crate) batch: Batch,
    summaries: Summaries,
    facts: [Placed; 4],
}

impl BlockReader {
    /// Times of traces of a row group, by row (ascending).
    pub(crate) async fn times(
        &self,
        row_group: usize,
        rows: &[u32],
        account: &Account,
    ) -> Result<Vec<TraceTime>> {
        let fetched = self.fetch_some(row_group, &[START, DURATION], rows, account).await?;
        self.compute(move || {
            let [starts, durations] = columns(&fetched, [START, DURATION], level::TRACE)?;
            let time = |at| TraceTime { start: starts.int(at) as u64, duration: durations.int(at) as u64 };
            Ok((0..starts.rows.len()).map(time).collect())
        })
        .await
    }

    /// What results show of traces of a row group, by row (ascending): only the pages that hold them are read.
    pub(crate) async fn shown(
        &self,
        row_group: usize,
        rows: &[u32],
        fields: &[Field],
        account: &Account,
    ) -> Result<Shown> {
        let reads: Vec<_> = fields.iter().map(|field| (field.clone(), Types::ALL)).collect();
        let plan = Plan::new(self, row_group, &reads, &Absent::new());
        let names: Vec<_> = SUMMARY_COLUMNS.into_iter().chain(FACT_COLUMNS).chain(plan.names()).collect();
        let fetched = self.fetch_some(row_group, &names, rows, account).await?;
        self.compute(move || {
            let batch = plan.decode(&fetched)?;
            let facts = columns(&fetched, FACT_COLUMNS, level::SPAN)?;
            Ok(Shown { batch, summaries: Summaries::new(&fetched)?, facts })
        })
        .await
    }
}

impl Shown {
    pub(crate) fn summary(&self, trace: u32) -> TraceSummary {
        self.summaries.of_row(trace)
    }

    /// `None` if there is no such span.
    pub(crate) fn facts(&self, span: u32) -> Option<SpanFacts> {
        let [ids, names, starts, durations] = &self.facts;
        let row = span as usize;
        (row < ids.rows.len()).then(|| SpanFacts {
            span_id: ids.bytes(row).to_vec(),
            name: text(names.bytes(row)),
            start_unix_nano: starts.int(row) as u64,
            duration_nanos: durations.int(row) as u64,
        })
    }
}

fn columns<const N: usize>(fetched: &Fetched, names: [&str; N], level: u8) -> Result<[Placed; N]> {
    let columns = names.iter().map(|name| fetched.required(name, level)).collect::<Result<Vec<_>>>()?;
    Ok(columns.try_into().unwrap_or_else(|_| unreachable!("one column a name")))
}

#[derive(Debug)]
struct Summaries {
    ids: Placed,
    services: Placed,
    names: Placed,
    starts: Placed,
    durations: Placed,
    stats: Option<Stats>,
}

#[derive(Debug)]
struct Stats {
    layers: Layers,
    services: Placed,
    spans: Placed,
    errors: Placed,
}

impl Summaries {
    fn new(fetched: &Fetched) -> Result<Self> {
        let names = ["TraceID", "RootServiceName", "RootSpanName", START, DURATION];
        let [ids, services, names, starts, durations] = columns(fetched, names, level::TRACE)?;
        Ok(Self { ids, services, names, starts, durations, stats: Stats::new(fetched)? })
    }

    fn of_row(&self, row: u32) -> TraceSummary {
        let at = row as usize;
        TraceSummary {
            trace_id: TraceId::from_slice(self.ids.bytes(at)).unwrap_or_default(),
            root_service_name: text(self.services.bytes(at)),
            root_span_name: text(self.names.bytes(at)),
            start_unix_nano: self.starts.int(at) as u64,
            duration_nanos: self.durations.int(at) as u64,
            service_stats: self.stats.as_ref().map(|stats| stats.of_row(row)).unwrap_or_default(),
        }
    }
}

impl Stats {
    /// vParquet3 has none. The list nests like resources do: one level below the trace.
    fn new(fetched: &Fetched) -> Result<Option<Self>> {
        let found = fetched.placed_in_layers("ServiceStats.ServiceName", level::RESOURCE)?;
        let Some((services, layers)) = found else { return Ok(None) };
        let counts = ["ServiceStats.SpanCount", "ServiceStats.ErrorCount"];
        let [spans, errors] = columns(fetched, counts, level::RESOURCE)?;
        Ok(Some(Self { layers, services, spans, errors }))
    }

    fn of_row(&self, row: u32) -> BTreeMap<String, ServiceStats> {
        let entries = self.layers.children(level::RESOURCE, row).map(|entry| entry as usize);
        entries
            .map(|entry| {
                let span_count = self.spans.int(entry) as u32;
                let error_count = self.errors.int(entry) as u32;
                (text(self.services.bytes(entry)), ServiceStats { span_count, error_count })
            })
            .collect()
    }
}
