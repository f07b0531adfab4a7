//! Builds a vParquet4 block from rows of others, column by column: levels and values are appended as they are, no span is
//! put together. Only numbers of dictionaries change.
//!
//! Columns whose levels are the same in all inputs (those of spans, those of events, …) get them with one copy, and
//! their encoded form is made once a page.

mod group;

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use tempoform_core::TraceId;

use self::group::CopiedGroup;
use super::rows::{PAGE_BYTES, PAGE_ROWS, Size, TraceTimes};
use super::shell::Shell;
use super::{WriteError, WriterOptions, WrittenBlock};
use crate::extra::{CopiedPatterns, Extra};
use crate::reader::{ChunkPages, DecodedPage, LevelMemo, Malformed, Values};
use crate::schema::v4::at;

/// Rows of one row group of one block, as much of each column as is at hand.
#[derive(Debug)]
pub(crate) struct Part {
    leaves: Vec<ChunkPages>,
    memo: LevelMemo,
    /// The numbers that strings of each column's dictionary have in the row group that is written, and their lengths.
    numbers: Vec<Vec<(u32, u32)>>,
    /// The row group that `numbers` are of.
    numbered_for: usize,
    /// The block's row that the row group's first is.
    first_row: u64,
    extra: Option<Arc<Extra>>,
    patterns: CopiedPatterns,
}

/// Some rows of the row group of a [`Part`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Which part.
    pub(crate) part: usize,
    pub(crate) rows: Range<u64>,
}

/// Not a number yet.
const UNKNOWN: u32 = u32::MAX;

impl Part {
    /// A part without pages. `first_row` is the block's row that the row group's first is.
    pub(crate) fn new(leaves: Vec<ChunkPages>, first_row: u64, extra: Option<Arc<Extra>>) -> Self {
        let numbers = leaves.iter().map(|leaf| vec![(UNKNOWN, 0); leaf.dictionary_entries()]).collect();
        Self {
            leaves,
            memo: LevelMemo::default(),
            numbers,
            numbered_for: 0,
            first_row,
            extra,
            patterns: CopiedPatterns::default(),
        }
    }

    /// A column.
    pub(crate) fn leaf(&self, leaf: usize) -> &ChunkPages {
        &self.leaves[leaf]
    }

    /// A column, to add pages to.
    pub(crate) fn leaf_mut(&mut self, leaf: usize) -> &mut ChunkPages {
        &mut self.leaves[leaf]
    }

    /// What the sidecar has for a row, if there is one.
    pub(crate) fn extra(&self) -> Option<(&Extra, u64)> {
        self.extra.as_deref().map(|extra| (extra, self.first_row))
    }

    /// Decodes a column up to the row `end`, and forgets it before the row `start`.
    pub(crate) fn move_leaf(&mut self, leaf: usize, start: u64, end: u64) -> Result<(), Malformed> {
        self.leaves[leaf].move_to(start, end, &mut self.memo)
    }

    /// Has `rows` of all columns at hand. On failure, says which column it was.
    pub(crate) fn move_to(&mut self, rows: &Range<u64>) -> Result<(), (usize, Malformed)> {
        self.memo.clear();
        (0..self.leaves.len())
            .try_for_each(|leaf| self.move_leaf(leaf, rows.start, rows.end).map_err(|error| (leaf, error)))
    }

    /// The id of the trace in a row that is at hand; `None` when it has not 16 bytes.
    pub(crate) fn id(&self, row: u64) -> Option<TraceId> {
        let leaf = &self.leaves[at::TRACE_ID];
        let (page, at) = position(leaf, row)?;
        TraceId::from_slice(leaf.text(page, at))
    }

    /// The ids of the spans in a row that is at hand.
    pub(crate) fn span_ids(&self, row: u64) -> impl Iterator<Item = &[u8]> {
        let leaf = &self.leaves[at::SPAN_ID];
        leaf.pieces(row..row + 1)
            .flat_map(move |(page, rows)| page.positions(&rows).map(move |at| leaf.text(page, at)))
    }

    fn spans(&self, row: u64) -> u64 {
        let pieces = self.leaves[at::SPAN_ID].pieces(row..row + 1);
        pieces.map(|(page, rows)| page.positions(&rows).len() as u64).sum()
    }

    fn time(&self, leaf: usize, row: u64) -> u64 {
        match position(&self.leaves[leaf], row) {
            Some((DecodedPage { values: Values::Ints(ints), .. }, at)) => ints[at] as u64,
            _ => 0,
        }
    }

    /// Forgets numbers that are of another row group.
    fn number_for(&mut self, row_group: usize) {
        if self.numbered_for != row_group {
            self.numbered_for = row_group;
            self.numbers.iter_mut().for_each(|numbers| numbers.fill((UNKNOWN, 0)));
        }
    }
}

/// Where the first value of a row is.
fn position(leaf: &ChunkPages, row: u64) -> Option<(&DecodedPage, usize)> {
    let (page, rows) = leaf.pieces(row..row + 1).next()?;
    let positions = page.positions(&rows);
    (!positions.is_empty()).then_some((page, positions.start))
}

/// Writes one block's `data.parquet` out of rows of other blocks.
pub(crate) struct CopyWriter<W: Write + Send> {
    shell: Shell<W>,
    group: CopiedGroup,
}

impl<W: Write + Send> CopyWriter<W> {
    /// A writer of one block's data to `output`. Dedicated columns are those of the inputs.
    ///
    /// # Errors
    /// When `output` fails.
    pub(crate) fn new(output: W, options: &WriterOptions) -> Result<Self, WriteError> {
        Ok(Self { shell: Shell::new(output, options)?, group: CopiedGroup::new(options) })
    }

    /// Traces and spans (about) that the page, or row group, has room for; one at least.
    pub(crate) fn room(&self) -> (usize, u64) {
        let CopiedGroup { row_group_bytes, page, group, spans, bytes, .. } = &self.group;
        let bytes_of_span = if *spans == 0 { USUAL_SPAN_BYTES } else { (bytes / spans).max(1) };
        let room = PAGE_BYTES.saturating_sub(page.bytes).min(row_group_bytes.saturating_sub(group.bytes));
        (PAGE_ROWS.saturating_sub(page.rows).max(1), (room as u64 / bytes_of_span).max(1))
    }

    /// Appends rows that are at hand, in this order.
    ///
    /// # Errors
    /// When ids are not ascending, or the output fails: the block is then unusable.
    pub(crate) fn add(&mut self, parts: &mut [Part], runs: &[Run]) -> Result<(), WriteError> {
        let mut size = Size::default();
        for Run { part, rows } in runs {
            let part = &mut parts[*part];
            part.number_for(self.group.number);
            for row in rows.clone() {
                let Some(id) = part.id(row) else { continue };
                self.shell.check_order(id)?;
                let (start, end) = (part.time(at::START_TIME, row), part.time(at::END_TIME, row));
                let spans = part.spans(row);
                self.shell.add(id, spans, 0, TraceTimes { start, end });
                self.group.spans += spans;
                self.shell.extra.copy_row(part.extra.as_deref(), part.first_row + row, &mut part.patterns);
            }
            size.rows += (rows.end - rows.start) as usize;
        }
        size.bytes = self.group.append(parts, runs);
        self.group.grow(size)?;
        if self.group.is_full() {
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When the output fails; the block is then unusable.
    pub(crate) fn finish(mut self) -> Result<WrittenBlock, WriteError> {
        if self.group.group.rows > 0 {
            self.end_row_group()?;
        }
        self.shell.finish(0)
    }

    fn end_row_group(&mut self) -> Result<(), WriteError> {
        self.group.end(&mut self.shell.file)?;
        self.shell.end_row_group()
    }
}

/// Bytes of OTLP of a span, before any was seen.
const USUAL_SPAN_BYTES: u64 = 512;
