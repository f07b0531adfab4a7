//! A row group's columns, evaluated.

use tempoform_block::{BlockReader, Evaluated};
use tempoform_core::{Account, Result};
use tempoform_traceql::{Batch, Field, Level, Query};

use crate::admission::Admission;

/// Evaluates the query on a row group, with all of `more`, under a reservation of memory that lasts until decoding and
/// evaluation are over, also when nobody waits for them any more.
pub(crate) async fn evaluate(
    reader: &BlockReader,
    row_group: usize,
    query: &Query,
    more: &[Field],
    admission: &Admission,
    account: &Account,
) -> Result<(BlockReader, Evaluated)> {
    let reader = reserved(reader, row_group, query, more, admission).await?;
    let evaluated = reader.evaluate(row_group, query, more, account).await?;
    Ok((reader, evaluated))
}

/// The reader with a reservation for what the query, and `more`, take of a row group in memory.
pub(crate) async fn reserved(
    reader: &BlockReader,
    row_group: usize,
    query: &Query,
    more: &[Field],
    admission: &Admission,
) -> Result<BlockReader> {
    let mut fields = query.fields();
    fields.extend(more.iter().cloned());
    Ok(reader.holding(admission.memory(reader.memory_of(row_group, &fields)).await?))
}

/// The rows at each level that belong to matching spans.
pub(crate) struct MatchingRows<'a> {
    batch: &'a Batch,
    spans: Vec<bool>,
}

impl<'a> MatchingRows<'a> {
    pub(crate) fn new(evaluated: &'a Evaluated) -> Self {
        let batch = &evaluated.batch;
        let mut spans = vec![false; batch.layout.spans() as usize];
        for span in evaluated.matches.iter().flat_map(|found| &found.spansets).flat_map(|set| &set.spans) {
            if let Some(matches) = spans.get_mut(*span as usize) {
                *matches = true;
            }
        }
        Self { batch, spans }
    }

    /// By row of `level`: whether it belongs to a matching span.
    pub(crate) fn at(&self, level: Level) -> Vec<bool> {
        let layout = &self.batch.layout;
        let above = |rows: usize, of_span: &dyn Fn(u32) -> u32| {
            let mut matching = vec![false; rows];
            for (span, _) in self.spans.iter().enumerate().filter(|(_, matches)| **matches) {
                if let Some(matches) = matching.get_mut(of_span(span as u32) as usize) {
                    *matches = true;
                }
            }
            matching
        };
        let below = |span_of: &[u32]| {
            span_of.iter().map(|span| self.spans.get(*span as usize).copied().unwrap_or(false)).collect()
        };
        match level {
            Level::Span => self.spans.clone(),
            Level::Trace => above(layout.traces as usize, &|span| layout.trace_of_span(span)),
            Level::Resource => above(layout.trace_of_resource.len(), &|span| layout.resource_of_span(span)),
            Level::Scope => {
                above(layout.resource_of_scope.len(), &|span| layout.scope_of_span[span as usize])
            }
            Level::Event => below(&layout.span_of_event),
            Level::Link => below(&layout.span_of_link),
        }
    }
}
