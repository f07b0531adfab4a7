//! Queries over spans that are still in the log: decoded in slices, then the same columns and the same
//! evaluation as for blocks.

mod batch;
mod summary;
mod tags;

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use tempoform_block::results::{shown_spans, trace_result};
use tempoform_block::{SearchLimits, SpanFacts, TraceSummary, combine_traces};
use tempoform_core::{Error, ErrorKind, MemoryBudget, Reservation, Result};
use tempoform_traceql::{Batch, Match, Query};
use tempoform_wire::internal::{Failure, SearchRequest, SearchResponse};
use tempoform_wire::otlp::{Span, TracesData};
use tempoform_wire::tempopb::TraceSearchMetadata;
use tokio_util::sync::CancellationToken;

use self::batch::{LiveTrace, batch};
use self::summary::Summary;
use crate::ingester::{failure, fresh};
use crate::merge::{Merged, MergedTraces};
use crate::tenant_log::Snapshot;

pub(crate) use tags::{tag_names, tag_values};

/// Encoded bytes that are decoded and evaluated at a time.
const SLICE_BYTES: usize = 4 << 20;
/// Memory a slice takes, decoded and as columns, for each encoded byte.
const DECODED_FACTOR: usize = 8;

/// What a query over live traces may use.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) memory: MemoryBudget,
    /// Set once nobody waits for the answer any more.
    pub(crate) stop: CancellationToken,
}

/// Traces of the log that match, newest first.
pub(crate) fn search(snapshot: &Snapshot, request: &SearchRequest, work: &Work) -> Result<SearchResponse> {
    let query = Query::parse(&request.query)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("invalid TraceQL query: {error}")))?;
    let mut response = SearchResponse { fresh_blocks: fresh(snapshot), ..SearchResponse::default() };
    let fields = query.fields();
    let limits = SearchLimits {
        traces: request.limit.max(1) as usize,
        spans_per_span_set: request.spans_per_span_set as usize,
        omit_span_sets: request.omit_span_sets,
        ..SearchLimits::default()
    };
    let mut failures = Vec::new();
    each_slice(snapshot, (request.start, request.end), work, &mut failures, |traces| {
        response.inspected_traces += traces.len() as u32;
        let columns = batch(&traces, &fields);
        response.inspected_spans += u64::from(columns.layout.spans());
        let matches =
            query.evaluate(&columns).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        response
            .traces
            .extend(matches.iter().map(|found| metadata(&query, &limits, &traces, &columns, found)));
        keep_newest(&mut response.traces, limits.traces);
        Ok(())
    })?;
    response.failures = failures;
    Ok(response)
}

impl Work {
    /// Memory to decode and evaluate `encoded` bytes.
    fn reserve(&self, encoded: usize) -> Result<Reservation> {
        self.memory.reserve((encoded * DECODED_FACTOR) as u64, "a search over recent traces")
    }
}

fn keep_newest(traces: &mut Vec<TraceSearchMetadata>, limit: usize) {
    traces.sort_by_key(|trace| std::cmp::Reverse(trace.start_time_unix_nano));
    traces.truncate(limit);
}

fn metadata(
    query: &Query,
    limits: &SearchLimits,
    traces: &[LiveTrace],
    columns: &Batch,
    found: &Match,
) -> TraceSearchMetadata {
    let trace = &traces[found.trace as usize];
    let first = columns.layout.spans_of_trace(found.trace).start;
    let spans: Vec<&Span> = spans(&trace.data).collect();
    let facts: HashMap<u32, SpanFacts> = shown_spans(std::slice::from_ref(found), limits)
        .into_iter()
        .map(|row| (row, facts(spans[(row - first) as usize])))
        .collect();
    let summary = TraceSummary {
        trace_id: trace.id,
        root_service_name: trace.summary.root_service.clone(),
        root_span_name: trace.summary.root_name.clone(),
        start_unix_nano: trace.summary.start,
        duration_nanos: trace.summary.duration_nanos(),
        service_stats: trace.summary.services.clone(),
    };
    trace_result(query, columns, found, &summary, &facts, limits)
}

fn facts(span: &Span) -> SpanFacts {
    SpanFacts {
        span_id: span.span_id.clone(),
        name: span.name.clone(),
        start_unix_nano: span.start_time_unix_nano,
        duration_nanos: span.end_time_unix_nano.wrapping_sub(span.start_time_unix_nano),
    }
}

fn spans(data: &TracesData) -> impl Iterator<Item = &Span> {
    data.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
}

/// Decodes the traces that touch `range` (unix seconds, 0 = open) and gives them to `visit` in slices
/// of bounded size. What cannot be read is named in `failures`.
fn each_slice(
    snapshot: &Snapshot,
    range: (u32, u32),
    work: &Work,
    failures: &mut Vec<Failure>,
    mut visit: impl FnMut(Vec<LiveTrace>) -> Result<()>,
) -> Result<()> {
    failures.extend_from_slice(&snapshot.failures);
    // More for a trace that is larger than a slice.
    let mut held = vec![work.reserve(SLICE_BYTES)?];
    let mut slice = Vec::new();
    let mut bytes = 0;
    let mut failed: HashSet<usize> = HashSet::new();
    for merged in MergedTraces::new(&snapshot.views, &work.memory)? {
        if work.stop.is_cancelled() {
            return Err(Error::new(ErrorKind::Unavailable, "the query was given up"));
        }
        let read = match merged {
            Ok(merged) => {
                if let Some(error) = &merged.no_room {
                    failures.push(too_large(&merged, error));
                    continue;
                }
                let bytes = usize::try_from(merged.bytes).unwrap_or(usize::MAX / DECODED_FACTOR);
                if bytes > SLICE_BYTES {
                    match work.reserve(bytes) {
                        Ok(reserved) => held.push(reserved),
                        // The others are looked at all the same.
                        Err(error) => {
                            failures.push(too_large(&merged, &error));
                            continue;
                        }
                    }
                }
                read(snapshot, &merged)
            }
            Err(error) => Err(error),
        };
        let (trace, size) = match read {
            Ok(read) => read,
            Err((view, error)) => {
                if failed.insert(view) {
                    failures.push(failure(&snapshot.views[view].id(), &error));
                }
                continue;
            }
        };
        if !trace.touches(range) {
            continue;
        }
        slice.push(trace);
        bytes += size;
        if bytes >= SLICE_BYTES {
            visit(std::mem::take(&mut slice))?;
            held.truncate(1);
            bytes = 0;
        }
    }
    if slice.is_empty() { Ok(()) } else { visit(slice) }
}

/// Names a trace that there is no memory for.
fn too_large(merged: &Merged, error: &Error) -> Failure {
    let (trace, bytes) = (merged.id, merged.bytes);
    tracing::warn!(%trace, bytes, %error, "a large recent trace is left out of a search");
    Failure { source: format!("trace {trace} ({bytes} bytes)"), message: error.message().to_owned() }
}

fn read(
    snapshot: &Snapshot,
    merged: &Merged,
) -> std::result::Result<(LiveTrace, usize), (usize, std::io::Error)> {
    let mut encoded = Vec::new();
    for (view, runs) in &merged.parts {
        encoded.extend(snapshot.views[*view].piece_of(runs).map_err(|error| (*view, error))?);
    }
    let last = merged.parts.last().map_or(0, |(view, _)| *view);
    let data = TracesData::decode(encoded.as_slice())
        .map_err(|error| (last, std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
    let data = combine_traces(vec![data]);
    let summary = Summary::of(&data);
    Ok((LiveTrace { id: merged.id, data, summary }, encoded.len()))
}

impl LiveTrace {
    fn touches(&self, (start, end): (u32, u32)) -> bool {
        const SECOND: u64 = 1_000_000_000;
        let after = start == 0 || self.summary.end / SECOND >= u64::from(start);
        let before = end == 0 || self.summary.start / SECOND <= u64::from(end);
        after && before
    }
}
