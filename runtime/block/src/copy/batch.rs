//! Which rows come next, and how: as many as are at hand of all inputs.

use std::collections::BTreeSet;
use std::ops::Range;

use tempoform_core::TraceId;

use super::CopyError;
use super::input::Input;
use crate::writer::copied::{Part, Run};

/// Some traces, ids ascending.
#[derive(Debug)]
pub(super) struct Batch {
    /// Rows of each input that are in it, those left out included.
    pub(super) rows: Vec<Range<u64>>,
    /// Rows in the order of the output. Those of combined traces stand for positions in `combined`, until they have
    /// their [`place`](Self::place).
    pub(super) runs: Vec<Run>,
    /// Traces that have to be put together.
    pub(super) combined: Vec<Pieces>,
}

/// The rows of one trace: the input, and the row in its row group.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) id: TraceId,
    pub(super) rows: Vec<(usize, u64)>,
}

/// Where combined traces are before it is known.
const NOWHERE: usize = usize::MAX;

impl Batch {
    /// The next traces, as many as there is `room` for (traces, spans), and rows are at hand; `None` at the end.
    pub(super) fn plan(
        inputs: &mut [Input],
        parts: &mut [Part],
        without: &BTreeSet<TraceId>,
        room: (usize, u64),
    ) -> Result<Option<Self>, CopyError> {
        let starts: Vec<u64> = inputs.iter().map(|input| input.next).collect();
        let mut batch = Self { rows: Vec::new(), runs: Vec::new(), combined: Vec::new() };
        let (mut rows, mut spans) = room;
        let mut scratch = Vec::new();
        let mut is_empty = true;
        while let Some(id) = inputs.iter().filter_map(Input::head).min() {
            is_empty = false;
            let mut pieces = Vec::new();
            let mut ended = false;
            let mut doubled = false;
            for (at, (input, part)) in inputs.iter_mut().zip(&*parts).enumerate() {
                if input.head() == Some(id) {
                    let row = input.advance(part)?;
                    ended |= input.is_empty();
                    let count = look_at_spans(part, row, &mut scratch, &mut doubled);
                    spans = spans.saturating_sub(count);
                    pieces.push((at, row));
                }
            }
            if !without.contains(&id) {
                match pieces.as_slice() {
                    [(part, row)] if !doubled => batch.push(*part, *row),
                    _ => {
                        batch.push(NOWHERE, batch.combined.len() as u64);
                        batch.combined.push(Pieces { id, rows: pieces });
                    }
                }
                rows = rows.saturating_sub(1);
            }
            if ended || rows == 0 || spans == 0 {
                break;
            }
        }
        batch.rows = starts.into_iter().zip(inputs).map(|(start, input)| start..input.next).collect();
        Ok((!is_empty).then_some(batch))
    }

    fn push(&mut self, part: usize, row: u64) {
        match self.runs.last_mut() {
            Some(run) if run.part == part && run.rows.end == row => run.rows.end += 1,
            _ => self.runs.push(Run { part, rows: row..row + 1 }),
        }
    }

    /// Puts combined traces where they are in a part; those that have no row there are left out.
    pub(super) fn place(&mut self, part: usize, combined: &[TraceId]) {
        let mut places = vec![None; self.combined.len()];
        for (pieces, place) in self.combined.iter().zip(&mut places) {
            *place = combined.binary_search(&pieces.id).ok().map(|row| row as u64);
        }
        let runs = std::mem::take(&mut self.runs);
        for run in runs {
            if run.part != NOWHERE {
                self.runs.push(run);
                continue;
            }
            for row in run.rows {
                if let Some(row) = places[row as usize] {
                    self.push(part, row);
                }
            }
        }
    }
}

/// Counts the spans of a row. Notes when there is none, or one twice (so it seems: by the first 8 bytes of its id).
fn look_at_spans(part: &Part, row: u64, scratch: &mut Vec<u64>, doubled: &mut bool) -> u64 {
    scratch.clear();
    scratch.extend(part.span_ids(row).map(|id| {
        let mut first = [0; 8];
        let length = id.len().min(8);
        first[..length].copy_from_slice(&id[..length]);
        u64::from_be_bytes(first)
    }));
    scratch.sort_unstable();
    *doubled |= scratch.is_empty() || scratch.windows(2).any(|pair| pair[0] == pair[1]);
    scratch.len() as u64
}
