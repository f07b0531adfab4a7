//! Trace by id: one trace from the pieces that sources have.

use bytes::Bytes;
use prost::Message as _;
use tempoform_core::{Error, ErrorKind, MemoryBudget, Reservation, Result, TenantId};
use tempoform_wire::internal::{FindTraceRequest, FindTraceResponse};
use tempoform_wire::otlp::TracesData;

use crate::fanout::Asking;
use crate::gathered::Gathered;
use crate::question::DECODED;
use crate::request::{Mode, TraceRequest};
use crate::search::Answer;
use crate::{ApiOptions, shared_ids};

/// Pieces may hold every span several times (replicas, a block that was compacted meanwhile); those
/// after this multiple of the largest trace are not decoded.
const COPIES: usize = 8;

/// A trace, or the part of it that may be shown.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Without spans if none was found. All submessages that clients rely on are present.
    pub(crate) data: TracesData,
    /// The limit in bytes that the whole trace is over; `data` is a part within it.
    pub(crate) over_limit: Option<usize>,
    /// Memory of the decoded spans.
    _held: Vec<Reservation>,
}

/// Finds a trace at all sources.
pub(crate) async fn find(
    asking: Asking<'_>,
    tenants: &[TenantId],
    request: TraceRequest,
    options: &ApiOptions,
) -> Result<Answer<Trace>> {
    let TraceRequest { id, start, end, mode } = request;
    let trace_id = Bytes::copy_from_slice(id.as_bytes());
    let question = FindTraceRequest { trace_id, start, end, ..FindTraceRequest::default() };
    let recent = (mode != Mode::Blocks).then(|| question.clone());
    let blocks = (mode != Mode::Ingesters).then_some(question);
    let (answers, rest) = asking.gather_all(tenants, recent, blocks).await?.split();

    let max = tenants.iter().map(|tenant| (options.limits)(tenant).max_bytes_per_trace).min().unwrap_or(0);
    let memory = asking.memory().clone();
    // Decoding and sorting a large trace takes milliseconds.
    let trace = tokio::task::spawn_blocking(move || combine(answers, max, &memory))
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, format!("combining trace {id}: {error}")))??;
    Ok((trace, rest))
}

fn combine(answers: Vec<FindTraceResponse>, max: usize, memory: &MemoryBudget) -> Result<Trace> {
    let enough = if max == 0 { usize::MAX } else { max.saturating_mul(COPIES) };
    let (mut read, mut cut_off) = (0_usize, false);
    let (mut pieces, mut held) = (Vec::new(), Vec::new());
    for piece in answers.into_iter().flat_map(|answer| answer.pieces) {
        if read >= enough {
            cut_off = true;
            break;
        }
        read += piece.len();
        held.push(memory.reserve((piece.len() as u64).saturating_mul(DECODED), "a trace")?);
        let decoded = TracesData::decode(piece).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("a source sent a piece of a trace that is not protobuf: {error}"),
            )
        })?;
        pieces.push(decoded);
    }
    let mut data = tempoform_block::combine_traces(pieces);
    shared_ids::take_apart(&mut data);
    let over_limit = (max > 0 && (cut_off || data.encoded_len() > max)).then_some(max);
    if let Some(max) = over_limit {
        cut(&mut data, max);
    }
    complete(&mut data);
    Ok(Trace { data, over_limit, _held: held })
}

/// Keeps the first spans, as many as fit into `max` bytes.
fn cut(data: &mut TracesData, max: usize) {
    /// Tag and length of a nested message: at most 1 + 5 bytes each at these sizes.
    const FRAME: usize = 6;
    let mut room = max;
    let mut take = |bytes: usize| match room.checked_sub(bytes + FRAME) {
        Some(left) => {
            room = left;
            true
        }
        None => {
            room = 0;
            false
        }
    };
    for resource_spans in &mut data.resource_spans {
        let scopes = std::mem::take(&mut resource_spans.scope_spans);
        if !take(resource_spans.encoded_len()) {
            break;
        }
        for mut scope_spans in scopes {
            let spans = std::mem::take(&mut scope_spans.spans);
            if !take(scope_spans.encoded_len()) {
                break;
            }
            scope_spans.spans = spans.into_iter().take_while(|span| take(span.encoded_len())).collect();
            resource_spans.scope_spans.push(scope_spans);
        }
    }
    data.resource_spans.iter_mut().for_each(|one| one.scope_spans.retain(|scope| !scope.spans.is_empty()));
    data.resource_spans.retain(|one| !one.scope_spans.is_empty());
}

/// Grafana reads these submessages without asking whether they are there.
fn complete(data: &mut TracesData) {
    for resource_spans in &mut data.resource_spans {
        resource_spans.resource.get_or_insert_default();
        for scope_spans in &mut resource_spans.scope_spans {
            scope_spans.scope.get_or_insert_default();
            for span in &mut scope_spans.spans {
                span.status.get_or_insert_default();
            }
        }
    }
}

impl Trace {
    pub(crate) fn is_empty(&self) -> bool {
        self.data.resource_spans.is_empty()
    }

    /// Why the answer is partial, for a person; `None` if it is complete.
    pub(crate) fn partial(&self, rest: &Gathered<()>) -> Option<String> {
        let too_large = self
            .over_limit
            .map(|max| format!("trace exceeds the maximum size of {max} bytes, a partial trace is returned"));
        let missing = rest.missing().map(|missing| format!("some spans may be missing: {missing}"));
        match (too_large, missing) {
            (Some(too_large), Some(missing)) => Some(format!("{too_large}; {missing}")),
            (too_large, missing) => too_large.or(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempoform_wire::otlp::{ResourceSpans, ScopeSpans, Span};

    use super::*;

    fn pieces(spans: u8, name_bytes: usize) -> Vec<FindTraceResponse> {
        let span = |number: u8| Span {
            trace_id: vec![1; 16],
            span_id: vec![number; 8],
            name: "n".repeat(name_bytes),
            start_time_unix_nano: number.into(),
            ..Span::default()
        };
        let scope_spans = ScopeSpans { spans: (1..=spans).map(span).collect(), ..Default::default() };
        let data = TracesData {
            resource_spans: vec![ResourceSpans { scope_spans: vec![scope_spans], ..Default::default() }],
        };
        vec![FindTraceResponse { pieces: vec![data.encode_to_vec().into()], ..Default::default() }]
    }

    fn combined(answers: Vec<FindTraceResponse>, max: usize) -> Result<Trace> {
        combine(answers, max, &MemoryBudget::new(u64::MAX))
    }

    #[test]
    fn a_trace_that_has_no_room_is_refused_and_one_that_has_gives_it_back() {
        let memory = MemoryBudget::new(10_000);
        let refused = combine(pieces(100, 100), 0, &memory).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exhausted);
        let trace = combine(pieces(10, 100), 0, &memory).unwrap();
        assert!(memory.used() > 0);
        drop(trace);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn submessages_are_present() {
        let trace = combined(pieces(1, 1), 0).unwrap();
        let one = &trace.data.resource_spans[0];
        assert!(one.resource.is_some() && one.scope_spans[0].scope.is_some());
        assert!(one.scope_spans[0].spans[0].status.is_some());
    }

    #[test]
    fn a_large_trace_is_cut_to_its_limit() {
        let max = 1000;
        let trace = combined(pieces(100, 100), max).unwrap();
        assert_eq!(trace.over_limit, Some(max));
        let spans = &trace.data.resource_spans[0].scope_spans[0].spans;
        assert!(trace.data.encoded_len() <= max, "{}", trace.data.encoded_len());
        assert!((5..=8).contains(&spans.len()), "{}", spans.len());
        assert_eq!(combined(pieces(1, 10), max).unwrap().over_limit, None);
    }

    #[test]
    fn pieces_are_decoded_only_so_far() {
        let many: Vec<_> = (0..20).flat_map(|_| pieces(1, 900)).collect();
        assert_eq!(combined(many, 1000).unwrap().over_limit, Some(1000));
    }

    #[test]
    fn a_piece_that_is_no_message_is_an_error() {
        let broken =
            FindTraceResponse { pieces: vec![Bytes::from_static(b"\x0a\xff")], ..Default::default() };
        assert_eq!(combined(vec![broken], 0).unwrap_err().kind(), ErrorKind::Internal);
    }
}
