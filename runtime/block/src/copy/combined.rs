//! Traces that several inputs have: decoded, combined, and written as a block in memory.

use bytes::Bytes;
use prost::Message as _;
use tempoform_core::TraceId;
use tempoform_wire::otlp::TracesData;

use super::CopyError;
use super::batch::Pieces;
use super::input::Input;
use crate::combine_traces;
use crate::extra::Extra;
use crate::reader::{ChunkPages, Footer, Malformed};
use crate::schema::v4;
use crate::writer::copied::Part;
use crate::writer::{BlockWriter, EncodedTrace, WriterOptions, WrittenBlock};

/// Combined traces, as rows.
#[derive(Debug)]
pub(super) struct Combined {
    pub(super) part: Part,
    /// Of its rows.
    pub(super) ids: Vec<TraceId>,
    /// Spans that were there more than once.
    pub(super) duplicate_spans: u64,
}

/// Combines traces (ids ascending) of up to `most_bytes`, whose rows are at hand.
pub(super) fn combine(
    inputs: &[Input],
    parts: &[Part],
    traces: &[Pieces],
    most_bytes: u64,
    options: &WriterOptions,
) -> Result<Combined, CopyError> {
    let mut decoded = Vec::with_capacity(inputs.len());
    for (at, (input, part)) in inputs.iter().zip(parts).enumerate() {
        let rows = traces.iter().flat_map(|trace| &trace.rows).filter(|(of, _)| *of == at);
        let rows: Vec<u64> = rows.map(|(_, row)| *row).collect();
        decoded.push(decode(input, part, &rows)?.into_iter());
    }
    let mut data = Vec::new();
    // All in one row group: it is then the part's.
    let options = WriterOptions {
        row_group_bytes: usize::MAX,
        expected_traces: traces.len() as u64,
        ..options.clone()
    };
    let mut writer = BlockWriter::new(&mut data, options)?;
    let mut duplicate_spans = 0;
    for trace in traces {
        let pieces: Vec<_> =
            trace.rows.iter().filter_map(|(of, _)| decoded[*of].next()).map(|(_, piece)| piece).collect();
        let bytes = pieces.iter().map(|piece| piece.encoded_len() as u64).sum();
        if pieces.len() > 1 && bytes > most_bytes {
            let blocks = trace.rows.iter().map(|(of, _)| inputs[*of].reader.meta().block_id).collect();
            return Err(CopyError::TooLarge { trace: trace.id, bytes, blocks });
        }
        let before: usize = pieces.iter().map(spans).sum();
        let combined = combine_traces(pieces);
        duplicate_spans += (before - spans(&combined)) as u64;
        writer.add_trace(trace.id, &EncodedTrace::of(&combined).resources())?;
    }
    let written = writer.finish()?;
    let part = part(data.into(), &written).map_err(|error| CopyError::Combined(error.to_string()))?;
    let ids = (0..written.total_objects).filter_map(|row| part.id(row)).collect();
    Ok(Combined { part, ids, duplicate_spans })
}

fn decode(input: &Input, part: &Part, rows: &[u64]) -> Result<Vec<(TraceId, TracesData)>, CopyError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let traces = input.reader.traces_of_columns(input.row_group, |leaf| part.leaf(leaf).column(rows));
    let mut traces = traces.map_err(|error| input.failed(error))?;
    if let Some((extra, first)) = part.extra() {
        traces.iter_mut().zip(rows).for_each(|((_, trace), row)| extra.apply(first + row, trace));
    }
    Ok(traces)
}

/// The rows of a block of one row group.
fn part(data: Bytes, written: &WrittenBlock) -> Result<Part, Malformed> {
    let footer_start = data.len().saturating_sub(8 + written.footer_size as usize);
    let footer = data.slice(footer_start..data.len().saturating_sub(8));
    let footer = Footer::parse(&footer, data.len() as u64)?;
    let mut leaves = Vec::with_capacity(v4::LEAVES.len());
    for (leaf, chunk) in footer.leaves.iter().zip(footer.row_groups.iter().flat_map(|group| &group.chunks)) {
        let bytes = data.slice(chunk.range.start as usize..chunk.range.end as usize);
        leaves.push(ChunkPages::of_chunk(leaf, chunk, &bytes)?);
    }
    let sidecar = written.sidecars.first();
    let extra = sidecar.map(|(_, object)| Extra::decode(object)).transpose();
    let extra = extra.map_err(|error| Malformed::new(error.to_string()))?;
    let mut part = Part::new(leaves, 0, extra.map(std::sync::Arc::new));
    if written.total_objects > 0 {
        part.move_to(&(0..written.total_objects)).map_err(|(_, error)| error)?;
    }
    Ok(part)
}

fn spans(trace: &TracesData) -> usize {
    let scopes = trace.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}
