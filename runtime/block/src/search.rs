//! Searching a row group: what it can do without is not read, what results show only of the traces that are shown.

use std::collections::HashMap;

use tempoform_core::Account;
use tempoform_traceql::{Batch, EvaluateError, Field, Match, Query, SpanSet, Types};
use tempoform_wire::tempopb;

use crate::columns::{Absent, Plan};
use crate::error::BlockError;
use crate::prune::Candidates;
use crate::reader::{BlockReader, Malformed};
use crate::results::{SearchLimits, shown_spans, trace_result};

/// What a search found in a row group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchFound {
    /// The traces, newest first.
    pub traces: Vec<tempopb::TraceSearchMetadata>,
    /// Traces looked at.
    pub inspected_traces: u32,
    /// Spans looked at: those whose values were read.
    pub inspected_spans: u64,
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The block cannot be read.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The query cannot be evaluated on the data.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

impl From<SearchError> for tempoform_core::Error {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Block(error) => error.into(),
            SearchError::Evaluate(error) => {
                Self::new(tempoform_core::ErrorKind::Invalid, format!("the query failed: {error}"))
            }
        }
    }
}

/// A query's matches in a row group, see [`BlockReader::evaluate`].
#[derive(Clone, Debug, Default)]
pub struct Evaluated {
    /// The traces that were looked at.
    pub batch: Batch,
    /// Those that match; rows are the batch's.
    pub matches: Vec<Match>,
    /// The rows of the batch's traces in the row group; `None`: they are the same.
    rows: Option<Vec<u32>>,
}

impl Evaluated {
    fn row_of(&self, trace: u32) -> u32 {
        self.rows.as_ref().map_or(trace, |rows| rows[trace as usize])
    }
}

impl BlockReader {
    /// Evaluates a query on a row group. Of the query's fields the batch has what decides whether a span matches; of
    /// `more` it has everything.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn evaluate(
        &self,
        row_group: usize,
        query: &Query,
        more: &[Field],
        account: &Account,
    ) -> Result<Evaluated, SearchError> {
        let Some(absent) = self.prune(row_group, query, account).await? else {
            return Ok(Evaluated::default());
        };
        let candidates = self.candidates(row_group, query, &absent, account).await?;
        if candidates.rows.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Evaluated::default());
        }
        let mut reads = query.reads();
        reads.retain(|(field, _)| !more.contains(field));
        reads.extend(more.iter().map(|field| (field.clone(), Types::ALL)));
        let (batch, rows) = self.read_candidates(row_group, &reads, &absent, candidates, account).await?;
        let query = query.clone();
        let (batch, matches) = self
            .compute(move || {
                let matches = query.evaluate(&batch);
                Ok((batch, matches))
            })
            .await?;
        Ok(Evaluated { batch, matches: matches?, rows })
    }

    /// The columns of `reads` for the candidates, whose rows are given if they are not all.
    async fn read_candidates(
        &self,
        row_group: usize,
        reads: &[(Field, Types)],
        absent: &Absent,
        candidates: Candidates,
        account: &Account,
    ) -> Result<(Batch, Option<Vec<u32>>), BlockError> {
        let Candidates { rows, read } = candidates;
        if let Some(rows) = rows.filter(|rows| (rows.len() as u64) < self.traces_in(row_group) / 2) {
            let plan = Plan::new(self, row_group, reads, absent);
            let batch = self.run_on_rows(plan, row_group, &rows, account).await?;
            return Ok((batch, Some(rows)));
        }
        let known = read.unwrap_or_default();
        // Of attributes no more than the query's types was read.
        let is_known = |(field, types): &(Field, Types)| {
            known.columns.contains_key(field)
                && (*types != Types::ALL || matches!(field, Field::Intrinsic(_)))
        };
        let reads: Vec<_> = reads.iter().filter(|read| !is_known(read)).cloned().collect();
        let mut batch = self.run(Plan::new(self, row_group, &reads, absent), row_group, account).await?;
        // Events and links have rows in the layout only where they were asked for.
        if batch.layout.span_of_event.is_empty() {
            batch.layout.span_of_event = known.layout.span_of_event;
        }
        if batch.layout.span_of_link.is_empty() {
            batch.layout.span_of_link = known.layout.span_of_link;
        }
        for (field, column) in known.columns {
            batch.columns.entry(field).or_insert(column);
        }
        Ok((batch, None))
    }

    /// Searches a row group for the newest traces. Those that start before `oldest` are left out: as many as are wanted
    /// are known that are newer.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn search(
        &self,
        row_group: usize,
        query: &Query,
        limits: &SearchLimits,
        oldest: u64,
        account: &Account,
    ) -> Result<SearchFound, SearchError> {
        let inspected_traces = u32::try_from(self.traces_in(row_group)).unwrap_or(u32::MAX);
        if self.is_out_of_time(row_group, limits, oldest) {
            return Ok(SearchFound { inspected_traces, ..SearchFound::default() });
        }
        let mut evaluated = self.evaluate(row_group, query, &[], account).await?;
        let inspected_spans = u64::from(evaluated.batch.layout.spans());
        let found = |traces| SearchFound { traces, inspected_traces, inspected_spans };
        let matches = std::mem::take(&mut evaluated.matches);
        let hits = self.newest(row_group, &evaluated, matches, limits, oldest, account).await?;
        if hits.is_empty() {
            return Ok(found(Vec::new()));
        }
        Ok(found(self.show(row_group, query, &evaluated, hits, limits, account).await?))
    }

    /// Whether the footer tells that no trace is in the time range.
    fn is_out_of_time(&self, row_group: usize, limits: &SearchLimits, oldest: u64) -> bool {
        let bounds = |name: &str| {
            let (least, most) = self.chunk_named(row_group, name)?.int_bounds()?;
            Some((u64::try_from(least).ok()?, u64::try_from(most).ok()?))
        };
        let Some((first_start, last_start)) = bounds(START) else { return false };
        let Some((_, longest)) = bounds(DURATION) else { return false };
        first_start > limits.end_unix_nano
            || last_start < oldest
            || last_start.saturating_add(longest) < limits.start_unix_nano
    }

    /// The newest matches in the time range, newest first.
    async fn newest(
        &self,
        row_group: usize,
        evaluated: &Evaluated,
        mut matches: Vec<Match>,
        limits: &SearchLimits,
        oldest: u64,
        account: &Account,
    ) -> Result<Vec<Match>, BlockError> {
        if matches.is_empty() {
            return Ok(matches);
        }
        let rows: Vec<_> = matches.iter().map(|found| evaluated.row_of(found.trace)).collect();
        let times = self.times(row_group, &rows, account).await?;
        let mut hits: Vec<_> = matches.drain(..).zip(times).collect();
        hits.retain(|(_, time)| limits.includes(time.start, time.duration) && time.start >= oldest);
        // Rows are sorted by trace id.
        hits.sort_by_key(|(found, time)| (std::cmp::Reverse(time.start), found.trace));
        hits.truncate(if limits.traces == 0 { usize::MAX } else { limits.traces });
        Ok(hits.into_iter().map(|(found, _)| found).collect())
    }

    /// Results as they are shown: the values of the query's fields are read in full, for these traces alone.
    async fn show(
        &self,
        row_group: usize,
        query: &Query,
        evaluated: &Evaluated,
        mut hits: Vec<Match>,
        limits: &SearchLimits,
        account: &Account,
    ) -> Result<Vec<tempopb::TraceSearchMetadata>, BlockError> {
        let mut rows: Vec<_> = hits.iter().map(|found| evaluated.row_of(found.trace)).collect();
        rows.sort_unstable();
        let shows_spans = !shown_spans(&hits, limits).is_empty();
        let fields = if shows_spans { query.selected_fields() } else { Vec::new() };
        let shown = self.shown(row_group, &rows, &fields, account).await?;
        for found in &mut hits {
            let row = evaluated.row_of(found.trace);
            let trace = rows.partition_point(|known| *known < row) as u32;
            let old = evaluated.batch.layout.spans_of_trace(found.trace);
            let new = shown.batch.layout.spans_of_trace(trace);
            if old.len() != new.len() {
                return Err(self.damaged("", Malformed::new("has columns of different lengths")));
            }
            found.trace = trace;
            let sets = found.spansets.iter_mut().flat_map(|set: &mut SpanSet| &mut set.spans);
            sets.for_each(|span| *span = new.start + (*span - old.start));
        }
        let spans = shown_spans(&hits, limits).into_iter();
        let facts: HashMap<_, _> = spans.filter_map(|span| Some((span, shown.facts(span)?))).collect();
        let results = hits.iter().map(|found| {
            let summary = shown.summary(found.trace);
            trace_result(query, &shown.batch, found, &summary, &facts, limits)
        });
        Ok(results.collect())
    }
}

pub(crate) const START: &str = "StartTimeUnixNano";
pub(crate) const DURATION: &str = "DurationNano";

#[cfg(test)]
mod tests;
