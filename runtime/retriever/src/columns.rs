//! A row group's columns, evaluated.

use tempoform_block::BlockReader;
use tempoform_core::{Account, Error, ErrorKind, Result};
use tempoform_traceql::{Batch, Column, Condition, Field, Intrinsic, Level, Match, Query};

use crate::admission::{Admission, Held};

/// Decoded columns take about this many times their stored size.
const DECODED: u64 = 3;

/// What a query finds in a row group.
pub(crate) struct Evaluated {
    pub(crate) batch: Batch,
    pub(crate) matches: Vec<Match>,
    /// For as long as the batch is there.
    _memory: Held,
}

/// Reads the columns of `query` and `more` in a row group and evaluates the query; `None` when its conditions
/// rule the row group out.
pub(crate) async fn evaluate(
    reader: &BlockReader,
    row_group: usize,
    query: &Query,
    more: &[Field],
    admission: &Admission,
    account: &Account,
) -> Result<Option<Evaluated>> {
    let mut fields = query.fields();
    fields.extend(more.iter().filter(|field| !query.fields().contains(field)).cloned());
    let memory = admission.memory(estimate(reader, row_group, &fields)).await?;
    if ruled_out(reader, row_group, query, account).await? {
        return Ok(None);
    }
    let batch = reader.batch(row_group, &fields, account).await?;
    let query = query.clone();
    let evaluated = tokio::task::spawn_blocking(move || {
        let matches = query.evaluate(&batch);
        (batch, matches)
    });
    let (batch, matches) = evaluated.await.map_err(|error| {
        Error::new(ErrorKind::Internal, format!("evaluating row group {row_group}: {error}"))
    })?;
    let matches =
        matches.map_err(|error| Error::new(ErrorKind::Invalid, format!("the query failed: {error}")))?;
    Ok(Some(Evaluated { batch, matches, _memory: memory }))
}

/// Whether a condition on names has no value here that satisfies it. Such a column is small and has few distinct
/// values, so it is read before the others where there are others.
pub(crate) async fn ruled_out(
    reader: &BlockReader,
    row_group: usize,
    query: &Query,
    account: &Account,
) -> Result<bool> {
    const SMALL: [Field; 3] = [
        Field::Intrinsic(Intrinsic::Name),
        Field::Intrinsic(Intrinsic::RootName),
        Field::Intrinsic(Intrinsic::RootService),
    ];
    let conditions = query.prune();
    let small = |condition: &&Condition| condition.fields.iter().all(|field| SMALL.contains(field));
    let Some(condition) = conditions.iter().find(small) else { return Ok(false) };
    if query.fields().len() <= condition.fields.len() {
        return Ok(false);
    }
    let batch = reader.batch(row_group, &condition.fields, account).await?;
    let satisfied =
        |column: &Column| column.strings.dictionary.iter().any(|value| condition.matches_string(value));
    Ok(!batch.columns.values().any(satisfied))
}

/// Bytes that the columns take in memory, roughly.
pub(crate) fn estimate(reader: &BlockReader, row_group: usize, fields: &[Field]) -> u64 {
    let traces = reader.meta().total_objects.max(1);
    let share = reader.traces_in(row_group).min(traces);
    let stored = u128::from(reader.meta().size) * u128::from(share) / u128::from(traces);
    let stored = u64::try_from(stored).unwrap_or(u64::MAX);
    let has_attributes = fields.iter().any(|field| matches!(field, Field::Attribute { .. }));
    // Attribute columns are most of a block; the intrinsics of a query a small part.
    let read = if has_attributes { stored } else { stored / 4 };
    read.saturating_mul(DECODED)
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
