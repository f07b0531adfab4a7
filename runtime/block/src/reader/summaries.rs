//! What search results show of traces and spans.

use std::collections::BTreeMap;

use tempoform_core::{Account, TraceId};
use tempoform_wire::tempopb::ServiceStats;

use super::attributes::text;
use super::placed::Placed;
use super::{BlockReader, Fetched, level, traces::SPAN_ID};
use crate::error::Result;

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
    "StartTimeUnixNano",
    "DurationNano",
    "ServiceStats.ServiceName",
    "ServiceStats.SpanCount",
    "ServiceStats.ErrorCount",
];

const FACT_COLUMNS: [&str; 4] =
    [SPAN_ID, "rs.ss.Spans.Name", "rs.ss.Spans.StartTimeUnixNano", "rs.ss.Spans.DurationNano"];

impl BlockReader {
    /// Summaries of traces of a row group, by row; rows that do not exist are left out.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or the store's error.
    pub async fn summaries(
        &self,
        row_group: usize,
        rows: &[u32],
        account: &Account,
    ) -> Result<Vec<TraceSummary>> {
        let fetched = self.fetch(row_group, &SUMMARY_COLUMNS, account).await?;
        let rows = rows.to_vec();
        self.compute(move || Summaries::new(&fetched)?.of_rows(&rows)).await
    }

    /// Facts of spans of a row group, by row as in [`batch`](Self::batch); rows that do not exist are
    /// left out.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or the store's error.
    pub async fn span_facts(
        &self,
        row_group: usize,
        spans: &[u32],
        account: &Account,
    ) -> Result<Vec<SpanFacts>> {
        let fetched = self.fetch(row_group, &FACT_COLUMNS, account).await?;
        let spans = spans.to_vec();
        self.compute(move || {
            let [ids, names, starts, durations] = columns(&fetched, FACT_COLUMNS, level::SPAN)?;
            let facts = spans.iter().map(|row| *row as usize).filter(|row| *row < ids.rows.len());
            let facts = facts.map(|row| SpanFacts {
                span_id: ids.bytes(row).to_vec(),
                name: text(names.bytes(row)),
                start_unix_nano: starts.int(row) as u64,
                duration_nanos: durations.int(row) as u64,
            });
            Ok(facts.collect())
        })
        .await
    }
}

fn columns<const N: usize>(fetched: &Fetched, names: [&str; N], level: u8) -> Result<[Placed; N]> {
    let columns = names.iter().map(|name| fetched.required(name, level)).collect::<Result<Vec<_>>>()?;
    Ok(columns.try_into().unwrap_or_else(|_| unreachable!("one column a name")))
}

struct Summaries {
    ids: Placed,
    services: Placed,
    names: Placed,
    starts: Placed,
    durations: Placed,
    stats: Option<[Placed; 3]>,
    stats_of_trace: Option<super::Layers>,
}

impl Summaries {
    fn new(fetched: &Fetched) -> Result<Self> {
        let names = ["TraceID", "RootServiceName", "RootSpanName", "StartTimeUnixNano", "DurationNano"];
        let [ids, services, names, starts, durations] = columns(fetched, names, level::TRACE)?;
        let stats = ["ServiceStats.ServiceName", "ServiceStats.SpanCount", "ServiceStats.ErrorCount"];
        let has_stats = fetched.placed(stats[0], level::RESOURCE)?.is_some();
        Ok(Self {
            ids,
            services,
            names,
            starts,
            durations,
            stats: has_stats.then(|| columns(fetched, stats, level::RESOURCE)).transpose()?,
            stats_of_trace: has_stats.then(|| fetched.layers(stats[0], level::RESOURCE)).transpose()?,
        })
    }

    fn of_rows(&self, rows: &[u32]) -> Result<Vec<TraceSummary>> {
        let rows = rows.iter().copied().filter(|row| (*row as usize) < self.ids.rows.len());
        Ok(rows.map(|row| self.of_row(row)).collect())
    }

    fn of_row(&self, row: u32) -> TraceSummary {
        let at = row as usize;
        TraceSummary {
            trace_id: TraceId::from_slice(self.ids.bytes(at)).unwrap_or_default(),
            root_service_name: text(self.services.bytes(at)),
            root_span_name: text(self.names.bytes(at)),
            start_unix_nano: self.starts.int(at) as u64,
            duration_nanos: self.durations.int(at) as u64,
            service_stats: self.stats_of(row),
        }
    }

    /// The list of statistics nests like resources do: one level below the trace.
    fn stats_of(&self, row: u32) -> BTreeMap<String, ServiceStats> {
        let (Some([services, spans, errors]), Some(layers)) = (&self.stats, &self.stats_of_trace) else {
            return BTreeMap::new();
        };
        let entries = layers.children(level::RESOURCE, row).map(|entry| entry as usize);
        entries
            .map(|entry| {
                let span_count = spans.int(entry) as u32;
                let error_count = errors.int(entry) as u32;
                (text(services.bytes(entry)), ServiceStats { span_count, error_count })
            })
            .collect()
    }
}
