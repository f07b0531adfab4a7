//! A block that is copied, and how far.

use std::sync::Arc;

use tempoform_core::TraceId;
use tokio::sync::mpsc;

use super::CopyError;
use super::read::Window;
use crate::error::BlockError;
use crate::extra::Extra;
use crate::reader::{BlockReader, ChunkPages, Malformed};
use crate::schema::v4::at;
use crate::writer::copied::Part;

/// A block that is copied, whose pages a [`CopyReader`](super::CopyReader) reads.
#[derive(Debug)]
pub struct CopyInput {
    pub(super) reader: BlockReader,
    pub(super) extra: Option<Arc<Extra>>,
    pub(super) windows: mpsc::Receiver<Window>,
}

/// How far a block is copied. Its pages are in a [`Part`] beside it.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) reader: BlockReader,
    extra: Option<Arc<Extra>>,
    windows: mpsc::Receiver<Window>,
    pub(super) row_group: usize,
    /// Rows of the block before this row group.
    rows_before: u64,
    /// The next row of the row group, and the end of those at hand.
    pub(super) next: u64,
    end: u64,
    head: Option<TraceId>,
    last: Option<TraceId>,
}

impl Input {
    pub(super) fn new(input: CopyInput) -> Self {
        let CopyInput { reader, extra, windows } = input;
        Self { reader, extra, windows, row_group: 0, rows_before: 0, next: 0, end: 0, head: None, last: None }
    }

    /// The id of the next row; `None` at the end of the block, or of what is at hand.
    pub(super) const fn head(&self) -> Option<TraceId> {
        self.head
    }

    /// Goes on to the next row, if it is at hand; gives the row that it was at.
    pub(super) fn advance(&mut self, part: &Part) -> Result<u64, CopyError> {
        let row = self.next;
        self.next += 1;
        self.last = self.head.take();
        if self.next < self.end {
            self.look(part)?;
        }
        Ok(row)
    }

    /// Whether more rows must come before it is known what the next is.
    pub(super) const fn is_empty(&self) -> bool {
        self.next >= self.end
    }

    /// Takes the next window when all rows at hand are done, if there is one.
    pub(super) fn fill(&mut self, part: &mut Part) -> Result<(), CopyError> {
        while self.is_empty() {
            let groups = (0..self.reader.row_groups()).skip(self.row_group);
            let left: u64 = groups.map(|group| self.reader.traces_in(group)).sum();
            if left <= self.next {
                return Ok(());
            }
            let window = self.windows.blocking_recv().ok_or(CopyError::Stopped)?;
            self.take(window, part)?;
        }
        Ok(())
    }

    fn take(&mut self, window: Window, part: &mut Part) -> Result<(), CopyError> {
        let Window { row_group, rows, dictionaries, pages } = window;
        if let Some(dictionaries) = dictionaries {
            let before = self.row_group..row_group;
            self.rows_before += before.map(|group| self.reader.traces_in(group)).sum::<u64>();
            self.row_group = row_group;
            let mut leaves = Vec::with_capacity(dictionaries.len());
            for (leaf, dictionary) in dictionaries.iter().enumerate() {
                let chunk = self.reader.chunk(row_group, leaf);
                let opened = ChunkPages::new(self.reader.leaf(leaf), chunk, dictionary.as_ref());
                leaves.push(opened.map_err(|error| self.damaged(leaf, error))?);
            }
            *part = Part::new(leaves, self.rows_before, self.extra.clone());
        }
        for (leaf, page, rows) in pages {
            part.leaf_mut(leaf).add(page, rows);
        }
        (self.next, self.end) = (rows.start, rows.end);
        for leaf in [at::TRACE_ID, at::SPAN_ID] {
            part.move_leaf(leaf, rows.start, rows.end).map_err(|error| self.damaged(leaf, error))?;
        }
        self.look(part)
    }

    fn look(&mut self, part: &Part) -> Result<(), CopyError> {
        let damaged = |what| Err(self.damaged(at::TRACE_ID, Malformed::new(what)));
        match (self.last, part.id(self.next)) {
            (_, None) => damaged("has an id that has not 16 bytes"),
            (Some(last), Some(id)) if last > id => damaged("has ids that are not in order"),
            (Some(last), Some(id)) if last == id => Err(CopyError::HasTwice(self.reader.meta().block_id, id)),
            (_, id) => {
                self.head = id;
                Ok(())
            }
        }
    }

    pub(super) fn damaged(&self, leaf: usize, error: Malformed) -> CopyError {
        self.failed(self.reader.damaged(&self.reader.name(leaf), error))
    }

    pub(super) fn failed(&self, error: BlockError) -> CopyError {
        CopyError::Input { block: self.reader.meta().block_id, error: Box::new(error) }
    }
}
