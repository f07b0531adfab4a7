//! Search: the newest matching traces of all blocks in a time range.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempoform_block::{BlockMeta, SearchFound, SearchLimits};
use tempoform_core::{Error, ErrorKind, Result};
use tempoform_traceql::Query;
use tempoform_wire::internal::{SearchRequest, SearchResponse};
use tempoform_wire::tempopb::TraceSearchMetadata;

use crate::columns;
use crate::metrics::BLOCKS_READ;
use crate::retriever::{BlockQuery, BlockWork};

/// Searches all blocks, the newest first. The results are the newest that there are: a block is passed over only
/// when as many as asked for are known that all start after its end.
pub(crate) async fn search(query: BlockQuery<'_>, request: SearchRequest) -> Result<SearchResponse> {
    let parsed = Query::parse(&request.query)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("invalid TraceQL query: {error}")))?;
    if parsed.never_matches() {
        return Ok(SearchResponse::default());
    }
    let (start_unix_nano, end_unix_nano) = query.range.unix_nanos();
    let limits = SearchLimits {
        start_unix_nano,
        end_unix_nano,
        traces: request.limit.max(1) as usize,
        spans_per_span_set: request.spans_per_span_set.max(1) as usize,
        omit_span_sets: request.omit_span_sets,
    };
    let search = Search { query: parsed, limits, found: Mutex::default() };
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
    limits: SearchLimits,
    found: Mutex<Found>,
}

/// What all blocks gave so far.
#[derive(Default)]
struct Found {
    /// Newest start first; of one start by id. A trace may stand several times, from several blocks.
    traces: BTreeMap<(Reverse<u64>, String, u64), TraceSearchMetadata>,
    inspected_traces: u32,
    inspected_spans: u64,
    blocks: u32,
    block_bytes: u64,
}

#[async_trait::async_trait]
impl BlockWork for Search {
    async fn run(&self, query: &BlockQuery<'_>, meta: &BlockMeta) -> Result<()> {
        let limits = &self.limits;
        if self.found().has_newer_than(meta, limits.traces) {
            return Ok(());
        }
        BLOCKS_READ.with_label_values(&["search"]).inc();
        let reader = query.open(meta).await?;
        for row_group in 0..reader.row_groups() {
            let _memory =
                query.admission.memory(columns::estimate(&reader, row_group, &self.query.fields())).await?;
            let found = if columns::ruled_out(&reader, row_group, &self.query, &query.account).await? {
                let inspected_traces = u32::try_from(reader.traces_in(row_group)).unwrap_or(u32::MAX);
                SearchFound { inspected_traces, ..SearchFound::default() }
            } else {
                reader.search(row_group, &self.query, limits, &query.account).await?
            };
            self.found().add(found, limits.traces);
        }
        let mut found = self.found();
        found.blocks += 1;
        found.block_bytes += meta.size;
        Ok(())
    }
}

impl Search {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn add(&mut self, found: SearchFound, limit: usize) {
        let SearchFound { traces, inspected_traces, inspected_spans } = found;
        self.inspected_traces = self.inspected_traces.saturating_add(inspected_traces);
        self.inspected_spans += inspected_spans;
        for trace in traces {
            let copies = self.copies_of(&trace);
            self.traces.insert((Reverse(trace.start_time_unix_nano), trace.trace_id.clone(), copies), trace);
            if self.traces.len() > limit {
                self.traces.pop_last();
            }
        }
    }

    fn copies_of(&self, trace: &TraceSearchMetadata) -> u64 {
        let key = |copy| (Reverse(trace.start_time_unix_nano), trace.trace_id.clone(), copy);
        self.traces.range(key(0)..=key(u64::MAX)).count() as u64
    }

    /// Whether nothing in the block can be among the newest.
    fn has_newer_than(&self, meta: &BlockMeta, limit: usize) -> bool {
        let Some(((Reverse(oldest), ..), _)) = self.traces.last_key_value() else { return false };
        self.traces.len() >= limit && i128::from(*oldest) > meta.end_time.as_nanosecond()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tempoform_block::BlockVersion;
    use uuid::Uuid;

    use super::*;

    fn found(traces: &[(&str, u64)]) -> SearchFound {
        let traces = traces.iter().map(|(id, start)| TraceSearchMetadata {
            trace_id: (*id).to_owned(),
            start_time_unix_nano: *start,
            ..Default::default()
        });
        SearchFound { traces: traces.collect(), inspected_traces: 1, inspected_spans: 2 }
    }

    #[test]
    fn the_newest_stay() {
        let mut all = Found::default();
        all.add(found(&[("a", 10), ("b", 30)]), 2);
        all.add(found(&[("b", 30), ("c", 20)]), 3);
        let ids: Vec<_> = all.traces.values().map(|trace| trace.trace_id.as_str()).collect();
        assert_eq!(ids, ["b", "b", "c"]);
        assert_eq!((all.inspected_traces, all.inspected_spans), (2, 4));
    }

    #[test]
    fn a_block_is_passed_over_only_when_nothing_in_it_can_be_newer() {
        let mut all = Found::default();
        all.add(found(&[("a", 5_000_000_000), ("b", 6_000_000_000)]), 2);
        let mut meta = BlockMeta::new(BlockVersion::VParquet4, Uuid::nil(), "t");
        meta.end_time = Timestamp::from_second(4).unwrap();
        assert!(all.has_newer_than(&meta, 2));
        assert!(!all.has_newer_than(&meta, 3));
        meta.end_time = Timestamp::from_second(5).unwrap();
        assert!(!all.has_newer_than(&meta, 2));
    }
}
