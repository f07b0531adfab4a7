//! Search: the newest matching traces of all blocks in a time range.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tempoform_block::results::merge_trace;
use tempoform_block::{BlockMeta, SearchFound, SearchLimits};
use tempoform_core::{Account, Error, ErrorKind, MemoryBudget, Reservation, Result};
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
    let search = Search { query: parsed, limits, found: Mutex::new(Found::new(&query.options.memory)) };
    let failures = query.each_block(&search).await?;
    let mut found = search.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(refused) = found.refused.take() {
        return Err(refused);
    }
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
struct Found {
    /// By id.
    traces: HashMap<String, TraceSearchMetadata>,
    /// Starts and ids of `traces`.
    newest_first: BTreeSet<(Reverse<u64>, String)>,
    inspected_traces: u32,
    inspected_spans: u64,
    blocks: u32,
    block_bytes: u64,
    /// Memory of `traces`.
    held: Reservation,
    /// That there was not enough for them: then the search is over.
    refused: Option<Error>,
}

#[async_trait::async_trait]
impl BlockWork for Search {
    async fn run(&self, query: &BlockQuery<'_>, meta: &BlockMeta, account: &Account) -> Result<()> {
        let limits = &self.limits;
        if self.found().has_newer_than(meta, limits.traces) || self.found().refused.is_some() {
            return Ok(());
        }
        BLOCKS_READ.with_label_values(&["search"]).inc();
        let reader = query.open(meta, account).await?;
        for row_group in 0..reader.row_groups() {
            let reader = columns::reserved(&reader, row_group, &self.query, &[], query.admission).await?;
            let oldest = self.found().oldest_needed(limits.traces).unwrap_or(0);
            let found = reader.search(row_group, &self.query, limits, oldest, account).await?;
            let mut all = self.found();
            all.add(found, limits.traces);
            if all.refused.is_some() {
                return Ok(());
            }
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
    fn new(memory: &MemoryBudget) -> Self {
        Self {
            traces: HashMap::new(),
            newest_first: BTreeSet::new(),
            inspected_traces: 0,
            inspected_spans: 0,
            blocks: 0,
            block_bytes: 0,
            held: memory.reserve_up_to(0),
            refused: None,
        }
    }

    fn add(&mut self, found: SearchFound, limit: usize) {
        let SearchFound { traces, inspected_traces, inspected_spans } = found;
        self.inspected_traces = self.inspected_traces.saturating_add(inspected_traces);
        self.inspected_spans += inspected_spans;
        for trace in traces {
            if let Err(refused) = self.add_trace(trace) {
                self.refused = Some(refused);
                return;
            }
            if self.traces.len() > limit
                && let Some((_, oldest)) = self.newest_first.pop_last()
                && let Some(oldest) = self.traces.remove(&oldest)
            {
                self.held.shrink_to(self.held.bytes().saturating_sub(memory_of(&oldest)));
            }
        }
    }

    /// A find of a trace that is known already adds to it: copies and parts of one trace count once.
    fn add_trace(&mut self, trace: TraceSearchMetadata) -> Result<()> {
        let id = trace.trace_id.clone();
        let (others, trace) = match self.traces.remove(&id) {
            None => (self.held.bytes(), trace),
            Some(mut known) => {
                self.newest_first.remove(&(Reverse(known.start_time_unix_nano), id.clone()));
                let others = self.held.bytes().saturating_sub(memory_of(&known));
                merge_trace(&mut known, trace);
                (others, known)
            }
        };
        let bytes = others + memory_of(&trace);
        self.held.shrink_to(bytes);
        self.held.grow_to(bytes, "what a search found")?;
        self.newest_first.insert((Reverse(trace.start_time_unix_nano), id.clone()));
        self.traces.insert(id, trace);
        Ok(())
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

/// What a find takes in memory, about: many small strings, and its id in two more places.
fn memory_of(trace: &TraceSearchMetadata) -> u64 {
    (trace.encoded_len() as u64 + 64) * 4
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
        let mut all = Found::new(&MemoryBudget::new(u64::MAX));
        all.add(found(&[("a", 10), ("b", 30), ("c", 20)]), 2);
        assert_eq!((all.inspected_traces, all.inspected_spans), (1, 2));
        let ids: Vec<_> = all.into_traces().into_iter().map(|trace| trace.trace_id).collect();
        assert_eq!(ids, ["b", "c"]);
    }

    #[test]
    fn finds_are_reserved_and_what_has_no_room_ends_the_search() {
        let one = memory_of(&found(&[("a", 10)]).traces[0]);
        let memory = MemoryBudget::new(2 * one);
        let mut all = Found::new(&memory);
        all.add(found(&[("a", 10)]), 1);
        all.add(found(&[("a", 10), ("b", 30), ("c", 20)]), 1);
        assert!(all.refused.is_none() && memory.used() == one, "only the newest is kept");
        all.add(found(&[("d", 1), ("e", 2)]), 9);
        assert_eq!(all.refused.as_ref().map(Error::kind), Some(ErrorKind::Exhausted));
        drop(all);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn copies_of_a_trace_count_once() {
        let mut all = Found::new(&MemoryBudget::new(u64::MAX));
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
        let mut all = Found::new(&MemoryBudget::new(u64::MAX));
        all.add(found(&[("a", 5_000_000_000), ("b", 6_000_000_000)]), 2);
        let mut meta = BlockMeta::new(BlockVersion::VParquet4, Uuid::nil(), "t");
        meta.end_time = Timestamp::from_second(4).unwrap();
        assert!(all.has_newer_than(&meta, 2));
        assert!(!all.has_newer_than(&meta, 3));
        meta.end_time = Timestamp::from_second(5).unwrap();
        assert!(!all.has_newer_than(&meta, 2));
    }
}
