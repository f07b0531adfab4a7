//! Search: the newest matching traces of all blocks in a time range.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempoform_block::results::merge_trace;
use tempoform_block::{BlockMeta, SearchFound, SearchLimits};
use tempoform_core::{Account, Error, ErrorKind, Result};
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
    let found = search.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Found { inspected_traces, inspected_spans, blocks, block_bytes, .. } = found;
    Ok(SearchResponse {
        traces: found.into_traces(),
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
    /// By id.
    traces: HashMap<String, TraceSearchMetadata>,
    /// Starts and ids of `traces`.
    newest_first: BTreeSet<(Reverse<u64>, String)>,
    inspected_traces: u32,
    inspected_spans: u64,
    blocks: u32,
    block_bytes: u64,
}

#[async_trait::async_trait]
impl BlockWork for Search {
    async fn run(&self, query: &BlockQuery<'_>, meta: &BlockMeta, account: &Account) -> Result<()> {
        let limits = &self.limits;
        if self.found().has_newer_than(meta, limits.traces) {
            return Ok(());
        }
        BLOCKS_READ.with_label_values(&["search"]).inc();
        let reader = query.open(meta, account).await?;
        for row_group in 0..reader.row_groups() {
            let reader = columns::reserved(&reader, row_group, &self.query, &[], query.admission).await?;
            let oldest = self.found().oldest_needed(limits.traces).unwrap_or(0);
            let found = reader.search(row_group, &self.query, limits, oldest, account).await?;
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
            self.add_trace(trace);
            if self.traces.len() > limit
                && let Some((_, oldest)) = self.newest_first.pop_last()
            {
                self.traces.remove(&oldest);
            }
        }
    }

    /// A find of a trace that is known already adds to it: copies and parts of one trace count once.
    fn add_trace(&mut self, trace: TraceSearchMetadata) {
        let id = trace.trace_id.clone();
        let start = match self.traces.entry(id.clone()) {
            Entry::Vacant(entry) => entry.insert(trace).start_time_unix_nano,
            Entry::Occupied(mut entry) => {
                self.newest_first.remove(&(Reverse(entry.get().start_time_unix_nano), id.clone()));
                merge_trace(entry.get_mut(), trace);
                entry.get().start_time_unix_nano
            }
        };
        self.newest_first.insert((Reverse(start), id));
    }

    /// The start of the oldest of the newest; `None` while there are fewer than `limit`.
    fn oldest_needed(&self, limit: usize) -> Option<u64> {
        let (Reverse(oldest), _) = self.newest_first.last()?;
        (self.traces.len() >= limit).then_some(*oldest)
    }

    /// Whether nothing in the block can be among the newest.
    fn has_newer_than(&self, meta: &BlockMeta, limit: usize) -> bool {
        self.oldest_needed(limit).is_some_and(|oldest| i128::from(oldest) > meta.end_time.as_nanosecond())
    }

    fn into_traces(mut self) -> Vec<TraceSearchMetadata> {
        self.newest_first.into_iter().filter_map(|(_, id)| self.traces.remove(&id)).collect()
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
        all.add(found(&[("a", 10), ("b", 30), ("c", 20)]), 2);
        assert_eq!((all.inspected_traces, all.inspected_spans), (1, 2));
        let ids: Vec<_> = all.into_traces().into_iter().map(|trace| trace.trace_id).collect();
        assert_eq!(ids, ["b", "c"]);
    }

    #[test]
    fn copies_of_a_trace_count_once() {
        let mut all = Found::default();
        all.add(found(&[("a", 10), ("b", 30)]), 2);
        all.add(found(&[("b", 25), ("b", 30)]), 2);
        assert_eq!(all.oldest_needed(2), Some(10));
        assert_eq!(all.oldest_needed(3), None);
        let found: Vec<_> =
            all.into_traces().into_iter().map(|one| (one.trace_id, one.start_time_unix_nano)).collect();
        assert_eq!(found, [("b".to_owned(), 25), ("a".to_owned(), 10)]);
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
