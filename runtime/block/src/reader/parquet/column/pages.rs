//! A chunk page by page: each decoded once, and kept for as long as its rows are needed.
//!
//! Levels of several columns are most often the same, bytes and all. Such are decoded once and shared ([`LevelMemo`]),
//! so that who copies them sees that they are the same.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Column, levels};
use crate::reader::parquet::footer::{Chunk, Codec, Leaf, Physical};
use crate::reader::parquet::page::{Encoding, Page, PageKind};
use crate::reader::parquet::values::{self, NumberDictionary, Selection, Strings, Values};
use crate::reader::parquet::{Malformed, Result};

/// The pages of one column of a row group that are at hand.
#[derive(Debug)]
pub(crate) struct ChunkPages {
    max_def: u8,
    max_rep: u8,
    physical: Physical,
    codec: Codec,
    dictionary: Strings,
    numbers: Option<NumberDictionary>,
    dictionary_entries: usize,
    /// Not decoded yet, with the rows they hold.
    waiting: VecDeque<(Bytes, Range<u64>)>,
    decoded: VecDeque<DecodedPage>,
}

/// A data page.
#[derive(Debug)]
pub(crate) struct DecodedPage {
    rows: Range<u64>,
    /// `None` when the column does not repeat: a row is an entry.
    pub(crate) rep: Option<Arc<Repetition>>,
    /// `None` when every entry has a value.
    pub(crate) def: Option<Arc<[u8]>>,
    values_of: ValuesOf,
    pub(crate) values: Values,
    /// Whether strings are numbers of the chunk's dictionary.
    pub(crate) in_dictionary: bool,
}

/// Repetition levels, and where rows start.
#[derive(Debug)]
pub(crate) struct Repetition {
    pub(crate) levels: Vec<u8>,
    /// Of each row of the page, and behind the last.
    starts: Vec<u32>,
}

/// Which values belong to which rows.
#[derive(Debug)]
enum ValuesOf {
    /// Each entry has one.
    Entries,
    /// There are none.
    Nothing,
    /// The first value of each row of the page, and behind the last.
    Rows(Vec<u32>),
}

impl DecodedPage {
    /// Rows of the row group that it holds.
    pub(crate) const fn rows(&self) -> &Range<u64> {
        &self.rows
    }

    /// The entries of `rows`, which must lie in the page.
    pub(crate) fn entries(&self, rows: &Range<u64>) -> Range<usize> {
        let (first, end) = ((rows.start - self.rows.start) as usize, (rows.end - self.rows.start) as usize);
        match &self.rep {
            None => first..end,
            Some(rep) => rep.starts[first] as usize..rep.starts[end] as usize,
        }
    }

    /// Positions of the values of `rows`, which must lie in the page.
    pub(crate) fn positions(&self, rows: &Range<u64>) -> Range<usize> {
        match &self.values_of {
            ValuesOf::Entries => self.entries(rows),
            ValuesOf::Nothing => 0..0,
            ValuesOf::Rows(starts) => {
                let at = |row: u64| starts[(row - self.rows.start) as usize] as usize;
                at(rows.start)..at(rows.end)
            }
        }
    }

    /// Whether no row has a value.
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self.values_of, ValuesOf::Nothing)
    }
}

/// Levels decoded lately, by their encoded form.
#[derive(Debug, Default)]
pub(crate) struct LevelMemo {
    rep: Memo<Arc<Repetition>>,
    def: Memo<Arc<[u8]>>,
}

/// More than differ in the columns of some pages.
const REMEMBERED: usize = 64;

#[derive(Debug)]
struct Memo<T>(VecDeque<(u8, usize, Box<[u8]>, T)>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Memo<T> {
    /// The levels of `count` entries that `bytes` encode for a column whose greatest is `max`.
    fn get(&mut self, bytes: &[u8], max: u8, count: usize, decode: impl FnOnce() -> Result<T>) -> Result<T> {
        // The same bytes may be too high for another column, so the greatest level is part of what they mean, but
        // that of the width: the lists below an attribute have its levels in the width of one more.
        let known = self.0.iter().rev().find(|(of, entries, known, _)| {
            *entries == count && *of <= max && of.leading_zeros() == max.leading_zeros() && **known == *bytes
        });
        if let Some((_, _, _, levels)) = known {
            return Ok(levels.clone());
        }
        let levels = decode()?;
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((max, count, bytes.into(), levels.clone()));
        Ok(levels)
    }
}

impl LevelMemo {
    /// Forgets all levels: those of other rows are of no use.
    pub(crate) fn clear(&mut self) {
        self.rep.0.clear();
        self.def.0.clear();
    }
}

impl ChunkPages {
    /// The pages of a chunk; `dictionary` is the page with its dictionary.
    pub(crate) fn new(leaf: &Leaf, chunk: &Chunk, dictionary: Option<&Bytes>) -> Result<Self> {
        let mut pages = Self {
            max_def: leaf.max_def,
            max_rep: leaf.max_rep,
            physical: leaf.physical,
            codec: chunk.codec,
            dictionary: Strings::default(),
            numbers: None,
            dictionary_entries: 0,
            waiting: VecDeque::new(),
            decoded: VecDeque::new(),
        };
        if let Some(dictionary) = dictionary {
            pages.set_dictionary(&Page::read(dictionary)?.0)?;
        }
        Ok(pages)
    }

    /// The pages of a whole chunk of `rows` rows.
    pub(crate) fn of_chunk(leaf: &Leaf, chunk: &Chunk, bytes: &Bytes) -> Result<Self> {
        let mut pages = Self::new(leaf, chunk, None)?;
        let (mut at, mut row) = (0, 0);
        while at < bytes.len() {
            let (page, length) = Page::read(&bytes.slice(at..))?;
            match (page.header.kind, page.header.rows) {
                (PageKind::Dictionary, _) => pages.set_dictionary(&page)?,
                (PageKind::DataV2, Some(rows)) => {
                    let end = row + u64::from(rows);
                    pages.add(bytes.slice(at..at + length), row..end);
                    row = end;
                }
                _ => return Err(Malformed::new("has a page of an unexpected kind")),
            }
            at += length;
        }
        Ok(pages)
    }

    fn set_dictionary(&mut self, page: &Page) -> Result<()> {
        if page.header.kind != PageKind::Dictionary {
            return Err(Malformed::new("has another page where its dictionary should be"));
        }
        let bytes = page.dictionary(self.codec)?;
        let count = page.header.entries as usize;
        // Every entry takes a byte at least (strings: four).
        if count > bytes.len() {
            return Err(Malformed::new("has a dictionary with more values than bytes"));
        }
        if self.physical == Physical::ByteArray {
            self.dictionary.set_dictionary(bytes.into_owned(), count)?;
        } else {
            self.numbers = Some(values::number_dictionary(self.physical, &bytes, count)?);
        }
        self.dictionary_entries = count;
        Ok(())
    }

    /// Number of strings in the dictionary.
    pub(crate) fn dictionary_entries(&self) -> usize {
        self.dictionary.entries()
    }

    /// A string of the dictionary.
    pub(crate) fn dictionary_entry(&self, number: u32) -> &[u8] {
        self.dictionary.entry(number)
    }

    /// Adds the next page, which holds `rows`.
    pub(crate) fn add(&mut self, page: Bytes, rows: Range<u64>) {
        self.waiting.push_back((page, rows));
    }

    /// Decodes pages up to the row `end`, and forgets those before the row `start`.
    pub(crate) fn move_to(&mut self, start: u64, end: u64, memo: &mut LevelMemo) -> Result<()> {
        while self.decoded.front().is_some_and(|page| page.rows.end <= start) {
            self.decoded.pop_front();
        }
        while self.decoded.back().map_or(start, |page| page.rows.end) < end {
            let (bytes, rows) =
                self.waiting.pop_front().ok_or(Malformed::new("has fewer rows than the row group"))?;
            if rows.end <= start {
                continue;
            }
            let expected = self.decoded.back().map_or(start, |page| page.rows.end);
            if rows.start > expected {
                return Err(Malformed::new("has a page with other rows than its index says"));
            }
            let page = self.decode(&bytes, rows, memo)?;
            self.decoded.push_back(page);
        }
        Ok(())
    }

    /// The pages at hand, in order and without a gap.
    pub(crate) const fn pages(&self) -> &VecDeque<DecodedPage> {
        &self.decoded
    }

    /// What the pages at hand have of `rows`, in order.
    pub(crate) fn pieces(&self, rows: Range<u64>) -> impl Iterator<Item = (&DecodedPage, Range<u64>)> {
        self.decoded.iter().filter_map(move |page| {
            let within = rows.start.max(page.rows.start)..rows.end.min(page.rows.end);
            (!within.is_empty()).then_some((page, within))
        })
    }

    /// The string at a position of one of the pages.
    pub(crate) fn text<'a>(&'a self, page: &'a DecodedPage, position: usize) -> &'a [u8] {
        match &page.values {
            Values::Strings(strings) if page.in_dictionary => {
                strings.ids.get(position).map_or(&[], |id| self.dictionary.entry(*id))
            }
            Values::Strings(strings) => strings.value(position),
            _ => &[],
        }
    }

    fn decode(&self, bytes: &Bytes, rows: Range<u64>, memo: &mut LevelMemo) -> Result<DecodedPage> {
        let (page, _) = Page::read(bytes)?;
        if !matches!(page.header.kind, PageKind::DataV1 | PageKind::DataV2) {
            return Err(Malformed::new("has no page where its index says"));
        }
        let count = page.header.entries as usize;
        let parts = page.parts(self.codec, self.max_rep > 0, self.max_def > 0)?;
        let rep = if self.max_rep == 0 {
            None
        } else {
            let decode = || Repetition::new(levels(&parts.rep, self.max_rep, count)?).map(Arc::new);
            Some(memo.rep.get(&parts.rep, self.max_rep, count, decode)?)
        };
        let held = rep.as_ref().map_or(count, |rep| rep.starts.len() - 1);
        if held as u64 != rows.end - rows.start {
            return Err(Malformed::new("has a page with other rows than its index says"));
        }
        let def = if self.max_def == 0 {
            None
        } else {
            let decode = || Ok(levels(&parts.def, self.max_def, count)?.into());
            Some(memo.def.get(&parts.def, self.max_def, count, decode)?)
        };
        let (of, values_of) = values_of(def.as_deref(), self.max_def, rep.as_deref(), count);
        let mut values = Values::new(self.physical)?;
        let encoding = page.header.encoding;
        values::decode(
            &mut values,
            self.physical,
            encoding,
            &parts.values,
            &Selection { of, ranges: std::iter::once(0..of).collect() },
            self.numbers.as_ref(),
            self.dictionary_entries,
        )?;
        Ok(DecodedPage { rows, rep, def, values_of, values, in_dictionary: encoding == Encoding::Dictionary })
    }

    /// Some rows (ascending) on their own, without the dictionary.
    pub(crate) fn column(&self, rows: &[u64]) -> Result<Column> {
        let mut column =
            Column { rep: Vec::new(), def: Vec::new(), entries: 0, values: Values::new(self.physical)? };
        for row in rows {
            let missing = || Malformed::new("has fewer rows than the row group");
            let (page, row) = self.pieces(*row..*row + 1).next().ok_or_else(missing)?;
            let entries = page.entries(&row);
            column.entries += entries.len();
            if let Some(rep) = &page.rep {
                column.rep.extend_from_slice(&rep.levels[entries.clone()]);
            }
            if let Some(def) = &page.def {
                column.def.extend_from_slice(&def[entries]);
            }
            let positions = page.positions(&row);
            match (&mut column.values, &page.values) {
                (Values::Strings(out), Values::Strings(_)) => {
                    positions.into_iter().try_for_each(|at| out.add_value(self.text(page, at)))?;
                }
                (Values::Ints(out), Values::Ints(ints)) => out.extend_from_slice(&ints[positions]),
                (Values::Doubles(out), Values::Doubles(doubles)) => {
                    out.extend_from_slice(&doubles[positions]);
                }
                (Values::Bools(out), Values::Bools(bools)) => out.extend_from_slice(&bools[positions]),
                _ => {}
            }
        }
        Ok(column)
    }
}

impl Repetition {
    fn new(levels: Vec<u8>) -> Result<Self> {
        if levels.first().is_some_and(|first| *first != 0) {
            return Err(Malformed::new("has a page that starts inside a row"));
        }
        let rows = levels.iter().filter(|level| **level == 0).count();
        let mut starts = Vec::with_capacity(rows + 1);
        starts.extend(levels.iter().zip(0..).filter(|(level, _)| **level == 0).map(|(_, at)| at));
        starts.push(levels.len() as u32);
        Ok(Self { levels, starts })
    }
}

/// How many values a page has, and where each row's are.
fn values_of(def: Option<&[u8]>, max_def: u8, rep: Option<&Repetition>, count: usize) -> (usize, ValuesOf) {
    let Some(def) = def else { return (count, ValuesOf::Entries) };
    let values_in = |range: Range<usize>| def[range].iter().filter(|level| **level == max_def).count();
    match values_in(0..count) {
        0 => (0, ValuesOf::Nothing),
        all if all == count => (all, ValuesOf::Entries),
        some => {
            let mut seen = 0;
            let mut starts = Vec::with_capacity(rep.map_or(count, |rep| rep.starts.len()) + 1);
            let mut add = |entries: Range<usize>| {
                starts.push(seen);
                seen += values_in(entries) as u32;
            };
            match rep {
                Some(rep) => {
                    rep.starts.windows(2).for_each(|row| add(row[0] as usize..row[1] as usize));
                }
                None => (0..count).for_each(|row| add(row..row + 1)),
            }
            starts.push(seen);
            (some, ValuesOf::Rows(starts))
        }
    }
}
