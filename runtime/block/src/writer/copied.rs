//! Builds a vParquet4 block from rows of others, column by column: levels and values are appended as they are, no span is
//! put together. Only numbers of dictionaries change.
//!
//! Columns whose levels are the same in all inputs (those of spans, those of events, …) get them with one copy, and
//! their encoded form is made once a page.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use parquet::file::writer::SerializedFileWriter;
use tempoform_core::TraceId;

use super::chunk::{Chunk, Compressor, Levels};
use super::columns::ByteColumn;
use super::dictionary::Dictionary;
use super::encode::put_levels;
use super::pages::{PageEncoder, Scratch};
use super::rows::{PAGE_BYTES, PAGE_ROWS, Size, TraceTimes, chunks};
use super::shell::Shell;
use super::{WriteError, WriterOptions, WrittenBlock};
use crate::extra::{CopiedPatterns, Extra};
use crate::reader::{ChunkPages, DecodedPage, LevelMemo, Malformed, Values};
use crate::schema::v4::{self, at, attribute};
use crate::schema::{Leaf, LeafEncoding, LeafType};

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
        self.shell.end_row_group();
        Ok(())
    }
}

/// Bytes of OTLP of a span, before any was seen.
const USUAL_SPAN_BYTES: u64 = 512;

/// The row group that is written.
struct CopiedGroup {
    /// How many there were before.
    number: usize,
    row_group_bytes: usize,
    leaves: Vec<LeafBuffer>,
    chunks: Vec<Chunk>,
    compressor: Compressor,
    scratch: Scratch,
    page: Size,
    group: Size,
    /// Of the whole block so far.
    spans: u64,
    bytes: u64,
}

/// A column's part of the current page, and its dictionary.
struct LeafBuffer {
    rep: Vec<u8>,
    def: Vec<u8>,
    rep_like: Like,
    def_like: Like,
    values: LeafValues,
    dictionary: Dictionary,
}

/// Which column before has the same levels in the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Like {
    /// There are none yet.
    #[default]
    Empty,
    Leaf(usize),
    /// Not one for all rows, as far as is known.
    Unknown,
}

impl Like {
    /// Rows were added, with the levels of `other`.
    fn add(&mut self, other: Option<usize>) {
        *self = match (*self, other) {
            (Self::Empty, Some(other)) => Self::Leaf(other),
            (Self::Leaf(leaf), Some(other)) if leaf == other => Self::Leaf(leaf),
            _ => Self::Unknown,
        };
    }
}

enum LeafValues {
    Numbers(Vec<u32>),
    Bytes(ByteColumn),
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
}

impl LeafValues {
    fn new(leaf: &Leaf) -> Self {
        match (leaf.leaf_type, leaf.encoding) {
            (_, LeafEncoding::Dictionary) => Self::Numbers(Vec::new()),
            (LeafType::Bytes | LeafType::Text, _) => Self::Bytes(ByteColumn::default()),
            (LeafType::Bool, _) => Self::Bools(Vec::new()),
            (LeafType::Double, _) => Self::Doubles(Vec::new()),
            (LeafType::Int32 | LeafType::UInt32 | LeafType::Int64 | LeafType::UInt64, _) => {
                Self::Ints(Vec::new())
            }
        }
    }

    const fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Bytes(column) => column.lengths.len(),
            Self::Ints(ints) => ints.len(),
            Self::Doubles(doubles) => doubles.len(),
            Self::Bools(bools) => bools.len(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Numbers(numbers) => numbers.clear(),
            Self::Bytes(column) => column.clear(),
            Self::Ints(ints) => ints.clear(),
            Self::Doubles(doubles) => doubles.clear(),
            Self::Bools(bools) => bools.clear(),
        }
    }
}

/// One of the two kinds of levels.
#[derive(Clone, Copy)]
enum Kind {
    Rep,
    Def,
}

impl Kind {
    fn of_page(self, page: &DecodedPage) -> &[u8] {
        match self {
            Self::Rep => page.rep.as_ref().map_or(&[], |rep| &rep.levels),
            Self::Def => page.def.as_deref().unwrap_or_default(),
        }
    }

    fn is_same(self, a: &DecodedPage, b: &DecodedPage) -> bool {
        match self {
            Self::Rep => matches!((&a.rep, &b.rep), (Some(a), Some(b)) if Arc::ptr_eq(a, b)),
            Self::Def => matches!((&a.def, &b.def), (Some(a), Some(b)) if Arc::ptr_eq(a, b)),
        }
    }

    const fn of_buffer(self, leaf: &LeafBuffer) -> &Vec<u8> {
        match self {
            Self::Rep => &leaf.rep,
            Self::Def => &leaf.def,
        }
    }

    const fn of_buffer_mut(self, leaf: &mut LeafBuffer) -> &mut Vec<u8> {
        match self {
            Self::Rep => &mut leaf.rep,
            Self::Def => &mut leaf.def,
        }
    }

    const fn like(self, leaf: &LeafBuffer) -> Like {
        match self {
            Self::Rep => leaf.rep_like,
            Self::Def => leaf.def_like,
        }
    }

    const fn like_mut(self, leaf: &mut LeafBuffer) -> &mut Like {
        match self {
            Self::Rep => &mut leaf.rep_like,
            Self::Def => &mut leaf.def_like,
        }
    }

    const fn max(self, leaf: &Leaf) -> u8 {
        match self {
            Self::Rep => leaf.max_rep,
            Self::Def => leaf.max_def,
        }
    }
}

impl CopiedGroup {
    fn new(options: &WriterOptions) -> Self {
        let leaf = |leaf: &Leaf| LeafBuffer {
            rep: Vec::new(),
            def: Vec::new(),
            rep_like: Like::Empty,
            def_like: Like::Empty,
            values: LeafValues::new(leaf),
            dictionary: Dictionary::default(),
        };
        Self {
            number: 0,
            row_group_bytes: options.row_group_bytes,
            leaves: v4::LEAVES.iter().map(leaf).collect(),
            chunks: chunks(),
            compressor: Compressor::new(options.compression),
            scratch: Scratch::default(),
            page: Size::default(),
            group: Size::default(),
            spans: 0,
            bytes: 0,
        }
    }

    /// Appends rows to the page; gives how many bytes of OTLP they are, about.
    fn append(&mut self, parts: &mut [Part], runs: &[Run]) -> usize {
        let mut used: Vec<usize> = runs.iter().map(|run| run.part).collect();
        used.sort_unstable();
        used.dedup();
        let before: Vec<_> = self.leaves.iter().map(|leaf| (leaf.rep.len(), leaf.def.len())).collect();
        let mut bytes = 0;
        for (leaf, schema) in v4::LEAVES.iter().enumerate() {
            for kind in [Kind::Rep, Kind::Def] {
                if kind.max(schema) > 0 {
                    self.append_levels(kind, leaf, &before, parts, &used, runs);
                }
            }
            let has_values =
                |part: &usize| !parts[*part].leaves[leaf].pages().iter().all(DecodedPage::is_empty);
            if used.iter().any(has_values) {
                bytes += append_values(&mut self.leaves[leaf], leaf, parts, runs);
            }
        }
        bytes
    }

    fn append_levels(
        &mut self,
        kind: Kind,
        leaf: usize,
        before: &[(usize, usize)],
        parts: &[Part],
        used: &[usize],
        runs: &[Run],
    ) {
        let is_same = |other: &usize| {
            used.iter().all(|part| {
                let (a, b) = (parts[*part].leaves[leaf].pages(), parts[*part].leaves[*other].pages());
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.rows() == b.rows() && kind.is_same(a, b))
            })
        };
        let other = (0..leaf).rev().find(is_same);
        let (others, rest) = self.leaves.split_at_mut(leaf);
        kind.like_mut(&mut rest[0]).add(other);
        let out = kind.of_buffer_mut(&mut rest[0]);
        if let Some(other) = other {
            let start = match kind {
                Kind::Rep => before[other].0,
                Kind::Def => before[other].1,
            };
            out.extend_from_slice(&kind.of_buffer(&others[other])[start..]);
            return;
        }
        for Run { part, rows } in runs {
            for (page, rows) in parts[*part].leaves[leaf].pieces(rows.clone()) {
                out.extend_from_slice(&kind.of_page(page)[page.entries(&rows)]);
            }
        }
    }

    fn grow(&mut self, size: Size) -> Result<(), WriteError> {
        for of in [&mut self.page, &mut self.group] {
            of.rows += size.rows;
            of.bytes += size.bytes;
        }
        self.bytes += size.bytes as u64;
        // Room for a little would make for a small piece of work.
        if self.page.bytes >= PAGE_BYTES - PAGE_BYTES / 8 || self.page.rows >= PAGE_ROWS {
            self.end_page()?;
        }
        Ok(())
    }

    const fn is_full(&self) -> bool {
        self.group.bytes >= self.row_group_bytes - self.row_group_bytes / 16
    }

    fn end_page(&mut self) -> Result<(), WriteError> {
        if self.page.rows == 0 {
            return Ok(());
        }
        let (mut reps, mut defs) = (Encoded(Vec::new()), Encoded(Vec::new()));
        let mut pages = PageEncoder {
            chunks: &mut self.chunks,
            compressor: &mut self.compressor,
            rows: self.page.rows,
            scratch: &mut self.scratch,
        };
        for (at, schema) in v4::LEAVES.iter().enumerate() {
            let leaf = &self.leaves[at];
            let entries = if schema.max_def == 0 { self.page.rows } else { leaf.def.len() };
            let levels = Levels {
                entries,
                nulls: entries - leaf.values.len(),
                rep: reps.levels(Kind::Rep, &self.leaves, at),
                def: defs.levels(Kind::Def, &self.leaves, at),
            };
            match &leaf.values {
                LeafValues::Numbers(numbers) => pages.numbers(at, levels, numbers, &leaf.dictionary)?,
                LeafValues::Bytes(column) => pages.bytes(at, levels, column)?,
                LeafValues::Ints(ints) if is_narrow(schema.leaf_type) => {
                    let ints: Vec<i32> = ints.iter().map(|int| *int as i32).collect();
                    pages.ints_32(at, levels, &ints)?;
                }
                LeafValues::Ints(ints) => pages.ints_64(at, levels, ints)?,
                LeafValues::Doubles(doubles) => pages.doubles(at, levels, doubles)?,
                LeafValues::Bools(bools) => pages.bools(at, levels, bools)?,
            }
        }
        for leaf in &mut self.leaves {
            leaf.rep.clear();
            leaf.def.clear();
            (leaf.rep_like, leaf.def_like) = (Like::Empty, Like::Empty);
            leaf.values.clear();
        }
        self.page = Size::default();
        Ok(())
    }

    /// Writes the row group to `file` and starts the next.
    fn end<W: Write + Send>(&mut self, file: &mut SerializedFileWriter<W>) -> Result<(), WriteError> {
        self.end_page()?;
        let mut writer = file.next_row_group()?;
        let chunks = std::mem::replace(&mut self.chunks, chunks());
        for (chunk, leaf) in chunks.into_iter().zip(&mut self.leaves) {
            let dictionary = matches!(leaf.values, LeafValues::Numbers(_)).then_some(&leaf.dictionary);
            let (bytes, close) = chunk.finish(self.group.rows, dictionary, &mut self.compressor)?;
            writer.append_column(&bytes, close)?;
            leaf.dictionary.clear();
        }
        writer.close()?;
        self.group = Size::default();
        self.number += 1;
        Ok(())
    }
}

const fn is_narrow(leaf_type: LeafType) -> bool {
    matches!(leaf_type, LeafType::Int32 | LeafType::UInt32)
}

/// Levels of the page, encoded: those of one column, for all that have the same.
struct Encoded(Vec<EncodedLevels>);

struct EncodedLevels {
    leaf: usize,
    /// Bits of a level: the same levels are the same bytes only in the same width.
    width: u32,
    bytes: Vec<u8>,
}

impl Encoded {
    fn levels(&mut self, kind: Kind, leaves: &[LeafBuffer], leaf: usize) -> &[u8] {
        let max = kind.max(&v4::LEAVES[leaf]);
        if max == 0 {
            return &[];
        }
        let (width, levels) = (max.ilog2() + 1, kind.of_buffer(&leaves[leaf]));
        let mut first = leaf;
        while let Like::Leaf(other) = kind.like(&leaves[first]) {
            first = other;
        }
        let of_first = |known: &EncodedLevels| known.width == width && known.leaf == first;
        // Looking at the levels themselves is slow where they are the same.
        let is_same = |known: &EncodedLevels| {
            known.width == width && first == leaf && kind.of_buffer(&leaves[known.leaf]) == levels
        };
        let known = self.0.iter().position(of_first).or_else(|| self.0.iter().rposition(is_same));
        let known = known.unwrap_or_else(|| {
            let mut bytes = Vec::new();
            put_levels(&mut bytes, levels, max);
            self.0.push(EncodedLevels { leaf: first, width, bytes });
            self.0.len() - 1
        });
        &self.0[known].bytes
    }
}

/// Appends the values of a column; gives how many bytes of OTLP they are, about.
fn append_values(out: &mut LeafBuffer, leaf: usize, parts: &mut [Part], runs: &[Run]) -> usize {
    let LeafBuffer { values: out, dictionary, .. } = out;
    let before = out.len();
    let mut text_bytes = 0;
    for Run { part, rows } in runs {
        let Part { leaves, numbers: known, .. } = &mut parts[*part];
        let (pages, known) = (&leaves[leaf], &mut known[leaf]);
        for (page, rows) in pages.pieces(rows.clone()) {
            let positions = page.positions(&rows);
            match (&mut *out, &page.values) {
                (LeafValues::Numbers(numbers), Values::Strings(strings)) if page.in_dictionary => {
                    for id in &strings.ids[positions] {
                        let known = &mut known[*id as usize];
                        if known.0 == UNKNOWN {
                            let text = pages.dictionary_entry(*id);
                            *known = (dictionary.intern(text), text.len() as u32);
                        }
                        numbers.push(known.0);
                        text_bytes += known.1 as usize;
                    }
                }
                (LeafValues::Numbers(numbers), Values::Strings(_)) => {
                    for at in positions {
                        let text = pages.text(page, at);
                        numbers.push(dictionary.intern(text));
                        text_bytes += text.len();
                    }
                }
                (LeafValues::Bytes(column), Values::Strings(_)) if page.in_dictionary => {
                    for at in positions {
                        let text = pages.text(page, at);
                        column.push(text);
                        text_bytes += text.len();
                    }
                }
                (LeafValues::Bytes(column), Values::Strings(strings)) => {
                    let (text, lengths) = strings.plain(positions);
                    column.bytes.extend_from_slice(text);
                    column.lengths.extend(lengths);
                    text_bytes += text.len();
                }
                (LeafValues::Ints(ints), Values::Ints(from)) => ints.extend_from_slice(&from[positions]),
                (LeafValues::Doubles(doubles), Values::Doubles(from)) => {
                    doubles.extend_from_slice(&from[positions]);
                }
                (LeafValues::Bools(bools), Values::Bools(from)) => bools.extend_from_slice(&from[positions]),
                // The columns of all inputs are of the types of the output's.
                _ => {}
            }
        }
    }
    let (each, of_text) = otlp_bytes(leaf);
    (out.len() - before) * each + if of_text { text_bytes } else { 0 }
}

/// Bytes that a value of a column is in OTLP, besides its text; and whether that counts. Rough: it is for the size of pages
/// and row groups alone.
fn otlp_bytes(leaf: usize) -> (usize, bool) {
    const ATTRIBUTES: [usize; 5] = [
        at::RESOURCE_ATTRIBUTES,
        at::SCOPE_ATTRIBUTES,
        at::SPAN_ATTRIBUTES,
        at::EVENT_ATTRIBUTES,
        at::LINK_ATTRIBUTES,
    ];
    let of_attribute =
        |first: usize| leaf.checked_sub(first).filter(|at| *at <= attribute::VALUE_UNSUPPORTED);
    match ATTRIBUTES.into_iter().find_map(of_attribute) {
        // Lengths and tags of the attribute, of its key and of its value.
        Some(attribute::KEY) => return (6, true),
        Some(attribute::IS_ARRAY) => return (0, false),
        Some(attribute::VALUE_DOUBLE) => return (9, false),
        Some(_) => return (2, true),
        None => {}
    }
    match leaf {
        // They are not in OTLP, or said of each span.
        ..at::RESOURCE_ATTRIBUTES | at::PARENT_ID | at::NESTED_SET_LEFT | at::NESTED_SET_RIGHT => (0, false),
        // Its length, the trace's id, and the fields that are there without a value.
        at::SPAN_ID => (2 + 18 + 2 + 4, true),
        at::SPAN_START_TIME | at::SPAN_DURATION | at::EVENT_TIME => (9, false),
        at::RESOURCE_DROPPED_ATTRIBUTES
        | at::SCOPE_DROPPED_ATTRIBUTES
        | at::SPAN_DROPPED_ATTRIBUTES
        | at::EVENT_DROPPED_ATTRIBUTES
        | at::LINK_DROPPED_ATTRIBUTES
        | at::DROPPED_EVENTS
        | at::DROPPED_LINKS => (0, false),
        // An attribute whose key is the column's name.
        at::SERVICE_NAME..at::SCOPE_NAME | at::HTTP_METHOD.. => (22, true),
        _ => (2, true),
    }
}
