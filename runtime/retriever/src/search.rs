//! Search: the newest matching traces of all blocks in a time range.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempoform_block::{BlockMeta, BlockReader, TraceSummary};
use tempoform_core::{Error, ErrorKind, Result};
use tempoform_traceql::Query;
use tempoform_wire::internal::{SearchRequest, SearchResponse};
use tempoform_wire::tempopb::TraceSearchMetadata;

use crate::columns::{self, Evaluated};
use crate::metrics::BLOCKS_READ;
use crate::result;
use crate::retriever::{BlockQuery, BlockWork};

/// Searches all blocks, the newest first. The results are the newest that there are: a block is passed over only
/// when as many as asked for are known that all start after its end.
pub(crate) async fn search(query: BlockQuery<'_>, request: SearchRequest) -> Result<SearchResponse> {
    let parsed = Query::parse(&request.query)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("invalid TraceQL query: {error}")))?;
    if parsed.never_matches() {
        return Ok(SearchResponse::default());
    }
    let search = Search { query: parsed, request, found: Mutex::default() };
    let failures = query.each_block(&search).await?;
    let Found { traces, inspected_traces, inspected_spans, blocks, block_bytes } =
        search.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(SearchResponse {
        traces: traces.into_values().collect(),
        fresh_blocks: Vec::new(),
        failures,
        account: Some(query.account.snapshot()),
        inspected_traces,
        inspected_spans,
        blocks,
        block_bytes,
    })
}

struct Search {
    query: Query,
    request: SearchRequest,
    found: Mutex<Found>,
}

/// What all blocks gave so far.
#[derive(Default)]
struct Found {
    /// Newest start first; of one start by id. A trace may stand twice, from two blocks.
    traces: BTreeMap<(Reverse<u64>, String, u64), TraceSearchMetadata>,
    inspected_traces: u32,
    inspected_spans: u64,
    blocks: u32,
    block_bytes: u64,
}

#[async_trait::async_trait]
impl BlockWork for Search {
    async fn run(&self, query: &BlockQuery<'_>, meta: &BlockMeta) -> Result<()> {
        if self.found().has_newer_than(meta, self.limit()) {
            return Ok(());
        }
        BLOCKS_READ.with_label_values(&["search"]).inc();
        let reader = query.open(meta).await?;
        for row_group in 0..reader.row_groups() {
            let (admission, account) = (query.admission, &query.account);
            let evaluated = columns::evaluate(&reader, row_group, &self.query, &[], admission, account).await?;
            let spans = evaluated.as_ref().map_or(0, |evaluated| evaluated.batch.layout.spans());
            self.found().inspected(reader.traces_in(row_group), spans.into());
            let Some(evaluated) = evaluated else { continue };
            let newest = self.newest(query, &reader, row_group, &evaluated).await?;
            let traces = self.results(&reader, row_group, &evaluated, newest, query).await?;
            self.found().add(traces, self.limit());
        }
        let mut found = self.found();
        found.blocks += 1;
        found.block_bytes += meta.size;
        Ok(())
    }
}

impl Search {
    /// The newest matches of a row group within the time range: their position and their trace in short.
    async fn newest(
        &self,
        query: &BlockQuery<'_>,
        reader: &BlockReader,
        row_group: usize,
        evaluated: &Evaluated,
    ) -> Result<Vec<(usize, TraceSummary)>> {
        if evaluated.matches.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<u32> = evaluated.matches.iter().map(|found| found.trace).collect();
        let summaries = reader.summaries(row_group, &rows, &query.account).await?;
        let mut newest: Vec<_> = summaries
            .into_iter()
            .enumerate()
            .filter(|(_, summary)| query.range.touches_nanos(summary.start_unix_nano, summary.duration_nanos))
            .collect();
        newest.sort_by_key(|(_, summary)| (Reverse(summary.start_unix_nano), summary.trace_id));
        newest.truncate(self.limit());
        Ok(newest)
    }

    async fn results(
        &self,
        reader: &BlockReader,
        row_group: usize,
        evaluated: &Evaluated,
        newest: Vec<(usize, TraceSummary)>,
        query: &BlockQuery<'_>,
    ) -> Result<Vec<TraceSearchMetadata>> {
        let shown = if self.request.omit_span_sets { 0 } else { self.request.spans_per_span_set as usize };
        let matches = newest.iter().map(|(at, _)| &evaluated.matches[*at]);
        let spans: Vec<u32> = matches
            .flat_map(|found| &found.spansets)
            .flat_map(|set| set.spans.iter().take(shown).copied())
            .collect();
        let facts =
            if spans.is_empty() { Vec::new() } else { reader.span_facts(row_group, &spans, &query.account).await? };
        let facts = spans.into_iter().zip(facts).collect();
        let shape = result::Shape::new(&self.query, shown);
        Ok(newest
            .into_iter()
            .map(|(at, summary)| shape.trace(&evaluated.batch, &evaluated.matches[at], summary, &facts))
            .collect())
    }

    fn limit(&self) -> usize {
        self.request.limit.max(1) as usize
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn add(&mut self, traces: Vec<TraceSearchMetadata>, limit: usize) {
        for trace in traces {
            let key = (Reverse(trace.start_time_unix_nano), trace.trace_id.clone(), self.traces.len() as u64);
            self.traces.insert(key, trace);
            if self.traces.len() > limit {
                self.traces.pop_last();
            }
        }
    }

    fn inspected(&mut self, traces: u64, spans: u64) {
        self.inspected_traces = self.inspected_traces.saturating_add(u32::try_from(traces).unwrap_or(u32::MAX));
        self.inspected_spans += spans;
    }

    /// Whether nothing in the block can be among the newest.
    fn has_newer_than(&self, meta: &BlockMeta, limit: usize) -> bool {
        let Some(((Reverse(oldest), ..), _)) = self.traces.last_key_value() else { return false };
        self.traces.len() >= limit && i128::from(*oldest) > meta.end_time.as_nanosecond()
    }
}
