//! A row group that is put together from pieces of others: pages of levels and values, and dictionaries of its own.

use std::io::Write;
use std::sync::Arc;

use parquet::file::writer::SerializedFileWriter;

use super::{Part, Run, UNKNOWN};
use crate::reader::{DecodedPage, Values};
use crate::schema::v4::{self, at, attribute};
use crate::schema::{Leaf, LeafEncoding, LeafType};
use crate::writer::chunk::{Chunk, Compressor, Levels};
use crate::writer::columns::ByteColumn;
use crate::writer::dictionary::Dictionary;
use crate::writer::encode::put_levels;
use crate::writer::pages::{PageEncoder, Scratch};
use crate::writer::rows::{PAGE_BYTES, PAGE_ROWS, Size, chunks};
use crate::writer::{WriteError, WriterOptions};

/// The row group that is written.
pub(super) struct CopiedGroup {
    /// How many there were before.
    pub(super) number: usize,
    pub(super) row_group_bytes: usize,
    leaves: Vec<LeafBuffer>,
    chunks: Vec<Chunk>,
    compressor: Compressor,
    scratch: Scratch,
    pub(super) page: Size,
    pub(super) group: Size,
    /// Of the whole block so far.
    pub(super) spans: u64,
    pub(super) bytes: u64,
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

    /// Whether any rows of two pages of the same rows have the same levels.
    fn is_same(self, a: &DecodedPage, b: &DecodedPage) -> bool {
        let is_rep_same = match (&a.rep, &b.rep) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        // Definition levels that are the same in a whole page belong to other rows where repetition levels differ.
        is_rep_same
            && match self {
                Self::Rep => a.rep.is_some(),
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
    pub(super) fn new(options: &WriterOptions) -> Self {
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
    pub(super) fn append(&mut self, parts: &mut [Part], runs: &[Run]) -> usize {
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

    pub(super) fn grow(&mut self, size: Size) -> Result<(), WriteError> {
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

    pub(super) const fn is_full(&self) -> bool {
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
    pub(super) fn end<W: Write + Send>(
        &mut self,
        file: &mut SerializedFileWriter<W>,
    ) -> Result<(), WriteError> {
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
