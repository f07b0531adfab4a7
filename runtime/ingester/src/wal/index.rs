use std::ops::Range;

use hashbrown::HashMap;
use tempoform_core::{BatchId, BatchSet, SpanBatch, SpanRef, TraceId};

/// A part of a segment file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// Where the surroundings of some spans stand in the segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopePlace {
    pub(crate) resource: Place,
    pub(crate) resource_schema_url: Place,
    pub(crate) scope: Place,
    pub(crate) scope_schema_url: Place,
}

impl ScopePlace {
    /// Bytes of all that stands around the spans.
    pub(crate) fn bytes(&self) -> u64 {
        let Self { resource, resource_schema_url, scope, scope_schema_url } = self;
        let places = [resource, resource_schema_url, scope, scope_schema_url];
        places.into_iter().map(|place| u64::from(place.length)).sum()
    }
}

/// Spans of one trace that follow each other in one `ScopeSpans`: their encoded fields, tags and
/// lengths included, so that the bytes can be put into another `ScopeSpans` as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) trace_id: TraceId,
    /// Index into the segment's scopes.
    pub(crate) scope: u32,
    pub(crate) place: Place,
}

/// The index of a segment in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex {
    pub(crate) scopes: Vec<ScopePlace>,
    pub(crate) runs: Vec<Run>,
    /// By run: the next run of the same trace, or [`NONE`].
    next: Vec<u32>,
    traces: HashMap<TraceId, Chain>,
    pub(crate) spans: u64,
    /// Bytes of the largest trace.
    pub(crate) largest_trace: u64,
    /// Names of the batches in it.
    pub(crate) batches: BatchSet,
}

#[derive(Debug)]
struct Chain {
    first: u32,
    last: u32,
    bytes: u64,
}

const NONE: u32 = u32::MAX;
/// Memory of a run: itself and its link in vectors that are up to twice as long as they need be, a share of the hash table,
/// and the copy that is sorted when the segment is closed.
const RUN_COST: usize = 128;
/// The same of a scope.
const SCOPE_COST: usize = 2 * size_of::<ScopePlace>();

/// Spans of a batch that follow each other in its bytes and belong together.
fn runs(batch: &SpanBatch) -> impl Iterator<Item = &[SpanRef]> {
    let follows = |a: &SpanRef, b: &SpanRef| {
        a.scope == b.scope && a.trace_id == b.trace_id && a.span.end == b.field_start
    };
    batch.spans.chunk_by(follows)
}

impl MemoryIndex {
    /// An estimate of the memory that indexing `batch` takes, bytes.
    pub(crate) fn cost(batch: &SpanBatch) -> u64 {
        let runs = runs(batch).count();
        (runs * RUN_COST + batch.scopes.len() * SCOPE_COST) as u64
    }

    /// Adds the spans of a record whose payload begins at `payload_at`.
    pub(crate) fn add(&mut self, id: Option<BatchId>, batch: &SpanBatch, payload_at: u32) {
        self.batches.extend(id);
        let place =
            |range: &Range<u32>| Place { start: payload_at + range.start, length: range.len() as u32 };
        let first_scope = self.scopes.len() as u32;
        self.scopes.extend(batch.scopes.iter().map(|scope| {
            let resource = &batch.resources[scope.resource as usize];
            ScopePlace {
                resource: place(&resource.resource),
                resource_schema_url: place(&resource.schema_url),
                scope: place(&scope.scope),
                scope_schema_url: place(&scope.schema_url),
            }
        }));
        for spans in runs(batch) {
            let (Some(first), Some(last)) = (spans.first(), spans.last()) else { continue };
            self.push(Run {
                trace_id: first.trace_id,
                scope: first_scope + first.scope,
                place: place(&(first.field_start..last.span.end)),
            });
        }
        self.spans += batch.spans.len() as u64;
    }

    fn push(&mut self, run: Run) {
        let at = self.runs.len() as u32;
        let bytes = u64::from(run.place.length);
        self.runs.push(run);
        self.next.push(NONE);
        let chain = self.traces.entry(run.trace_id).or_insert(Chain { first: at, last: at, bytes: 0 });
        chain.bytes += bytes;
        self.largest_trace = self.largest_trace.max(chain.bytes);
        if chain.last != at {
            self.next[chain.last as usize] = at;
            chain.last = at;
        }
    }

    /// The runs of a trace in the order they came.
    pub(crate) fn find(&self, id: &TraceId) -> impl Iterator<Item = Run> {
        let some = |at: u32| (at != NONE).then_some(at as usize);
        let first = self.traces.get(id).and_then(|chain| some(chain.first));
        std::iter::successors(first, move |at| some(self.next[*at])).map(|at| self.runs[at])
    }

    /// Bytes of a trace's spans.
    pub(crate) fn trace_bytes(&self, id: &TraceId) -> u64 {
        self.traces.get(id).map_or(0, |chain| chain.bytes)
    }

    /// An estimate of the memory that this index takes, bytes.
    pub(crate) fn memory(&self) -> u64 {
        (self.runs.len() * RUN_COST + self.scopes.len() * SCOPE_COST) as u64
    }

    /// The runs by trace id; within a trace in the order they came.
    pub(crate) fn sorted_runs(&self) -> Vec<Run> {
        let mut runs = self.runs.clone();
        sort_runs(&mut runs);
        runs
    }
}

/// By trace id; within a trace in the order they came.
pub(crate) fn sort_runs(runs: &mut [Run]) {
    runs.sort_unstable_by_key(|run| (run.trace_id, run.place.start));
}
