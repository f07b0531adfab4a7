//! Columns: pages put together into levels and values.

pub(crate) mod pages;
mod walk;

use std::ops::Range;

use bytes::Bytes;

use super::footer::{Chunk, Leaf, Physical};
use super::page::{Page, PageKind};
use super::page_index::PageLocation;
use super::values::{self, NumberDictionary, Selection};
use super::{Malformed, Result, hybrid};

pub(crate) use super::values::{Strings, Values};
pub(crate) use walk::{WalkedPage, walk};

/// Some rows of a column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Repetition level of each entry; empty when the column does not repeat.
    pub(crate) rep: Vec<u8>,
    /// Definition level of each entry; empty when every entry has a value.
    pub(crate) def: Vec<u8>,
    /// Number of entries.
    pub(crate) entries: usize,
    /// The values of the entries that have one.
    pub(crate) values: Values,
}

/// Bytes of a chunk that were fetched.
#[derive(Debug)]
pub(crate) enum ChunkBytes {
    /// All of it.
    Whole(Bytes),
    /// Some data pages, and the dictionary page if the chunk has one.
    Pages { dictionary: Option<Bytes>, pages: Vec<(Bytes, Range<u64>)> },
}

/// What to fetch of a chunk for some rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// The range of the file that holds the dictionary, if there is one.
    pub(crate) dictionary: Option<Range<u64>>,
    /// Ranges of the file, and the rows of the row group in each.
    pub(crate) pages: Vec<(Range<u64>, Range<u64>)>,
}

/// What to decode of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Levels and values.
    Values,
    /// Levels alone: how rows hang together.
    Levels,
}

/// Where the pages are that touch `rows` (ascending and disjoint ranges) of a row group of `total` rows; `None` when
/// the offset index is wrong.
pub(crate) fn pieces_of_rows(
    chunk: &Chunk,
    pages: &[PageLocation],
    rows: &[Range<u64>],
    total: u64,
) -> Option<Pieces> {
    let first = pages.first()?.offset;
    let mut found = Vec::new();
    let mut rows = rows.iter().peekable();
    for (i, page) in pages.iter().enumerate() {
        let end_row = pages.get(i + 1).map_or(total, |next| next.first_row);
        while rows.next_if(|range| range.end <= page.first_row).is_some() {}
        if rows.peek().is_none_or(|range| range.start >= end_row) {
            continue;
        }
        let end = page.offset.checked_add(page.length).filter(|end| *end <= chunk.range.end)?;
        if page.offset < first {
            return None;
        }
        found.push((page.offset..end, page.first_row..end_row));
    }
    let start = chunk.range.start;
    if first < start || first > chunk.range.end {
        return None;
    }
    Some(Pieces { dictionary: (first > start).then_some(start..first), pages: found })
}

/// Decodes the `rows` (of the row group, ascending and disjoint) of a column from the bytes of its chunk.
pub(crate) fn decode(
    leaf: &Leaf,
    chunk: &Chunk,
    bytes: &ChunkBytes,
    rows: &[Range<u64>],
    want: Want,
) -> Result<Column> {
    let mut decoder = Decoder::new(leaf, chunk, want)?;
    match bytes {
        ChunkBytes::Whole(bytes) => decoder.whole(bytes, rows)?,
        ChunkBytes::Pages { dictionary, pages } => {
            if let Some(dictionary) = dictionary {
                decoder.page(&Page::read(dictionary)?.0, 0, rows)?;
            }
            for (page, page_rows) in pages {
                let held = decoder.page(&Page::read(page)?.0, page_rows.start, rows)?;
                if held != page_rows.end - page_rows.start {
                    return Err(Malformed::new("has a page with other rows than its index says"));
                }
            }
        }
    }
    Ok(decoder.column)
}

/// Decodes just the dictionary of a chunk of strings, when every value is in it (as far as the
/// first data page tells). Without values there is none: an empty column.
pub(crate) fn decode_dictionary(leaf: &Leaf, chunk: &Chunk, bytes: &Bytes) -> Result<Option<Strings>> {
    if leaf.physical != Physical::ByteArray || bytes.is_empty() {
        return Ok(None);
    }
    let (page, _) = Page::read(bytes)?;
    if page.header.kind != PageKind::Dictionary {
        let missing = Malformed::new("has another page where its dictionary should be");
        return if chunk.has_dictionary { Err(missing) } else { Ok(None) };
    }
    let mut strings = Strings::default();
    strings.set_dictionary(page.dictionary(chunk.codec)?.into_owned(), page.header.entries as usize)?;
    Ok(Some(strings))
}

struct Decoder<'a> {
    leaf: &'a Leaf,
    chunk: &'a Chunk,
    want: Want,
    column: Column,
    dictionary: Option<NumberDictionary>,
    dictionary_entries: usize,
    /// Entries of the data pages so far, whether wanted or not.
    seen: u64,
}

impl<'a> Decoder<'a> {
    fn new(leaf: &'a Leaf, chunk: &'a Chunk, want: Want) -> Result<Self> {
        let column =
            Column { rep: Vec::new(), def: Vec::new(), entries: 0, values: Values::new(leaf.physical)? };
        Ok(Self { leaf, chunk, want, column, dictionary: None, dictionary_entries: 0, seen: 0 })
    }

    /// All pages that touch `rows`.
    fn whole(&mut self, bytes: &Bytes, rows: &[Range<u64>]) -> Result<()> {
        let first = rows.first().map_or(0, |range| range.start);
        let end = rows.last().map_or(0, |range| range.end);
        let mut at = 0;
        let mut row = 0;
        while at < bytes.len() && row < end {
            let (page, length) = Page::read(&bytes.slice(at..))?;
            at += length;
            row += match page.header.rows {
                _ if page.header.kind == PageKind::Other => 0,
                Some(count) if row + u64::from(count) <= first => {
                    self.count_entries(&page)?;
                    u64::from(count)
                }
                _ => self.page(&page, row, rows)?,
            };
        }
        if row < end {
            return Err(Malformed::new("has a column with fewer rows than the row group"));
        }
        // What comes behind the last row says nothing of it, unless it is the last of all.
        if at == bytes.len() && self.seen != self.chunk.entries {
            return Err(Malformed::new("has a column with fewer values than it says"));
        }
        Ok(())
    }

    /// Takes one page whose first row is `first_row`; returns how many rows it holds.
    fn page(&mut self, page: &Page, first_row: u64, rows: &[Range<u64>]) -> Result<u64> {
        match page.header.kind {
            PageKind::Dictionary => self.set_dictionary(page).map(|()| 0),
            PageKind::DataV1 | PageKind::DataV2 => self.data_page(page, first_row, rows),
            PageKind::Other => Err(Malformed::new("has no page where its index says")),
        }
    }

    /// The entries of a data page; a chunk has no more than its metadata says.
    fn count_entries(&mut self, page: &Page) -> Result<usize> {
        let entries = u64::from(page.header.entries);
        self.seen += entries;
        if self.seen > self.chunk.entries {
            return Err(Malformed::new("has pages with more values than the column"));
        }
        Ok(entries as usize)
    }

    fn set_dictionary(&mut self, page: &Page) -> Result<()> {
        if self.want == Want::Levels {
            return Ok(());
        }
        let bytes = page.dictionary(self.chunk.codec)?;
        let count = page.header.entries as usize;
        // Every entry takes a byte at least (strings: four).
        if count > bytes.len() {
            return Err(Malformed::new("has a dictionary with more values than bytes"));
        }
        match &mut self.column.values {
            Values::Strings(strings) => strings.set_dictionary(bytes.into_owned(), count)?,
            _ => self.dictionary = Some(values::number_dictionary(self.leaf.physical, &bytes, count)?),
        }
        self.dictionary_entries = count;
        Ok(())
    }

    fn data_page(&mut self, page: &Page, first_row: u64, rows: &[Range<u64>]) -> Result<u64> {
        let Leaf { max_def, max_rep, physical, .. } = *self.leaf;
        let count = self.count_entries(page)?;
        let parts = page.parts(self.chunk.codec, max_rep > 0, max_def > 0)?;
        let rep = levels(&parts.rep, max_rep, count)?;
        let def = levels(&parts.def, max_def, count)?;

        let (entries, page_rows) = entries_of_rows(&rep, max_rep, count, first_row, rows)?;
        if page.header.rows.is_some_and(|rows| u64::from(rows) != page_rows) {
            return Err(Malformed::new("has a page with other rows than it says"));
        }
        for range in &entries {
            if max_rep > 0 {
                self.column.rep.extend_from_slice(&rep[range.clone()]);
            }
            if max_def > 0 {
                self.column.def.extend_from_slice(&def[range.clone()]);
            }
            self.column.entries += range.len();
        }
        if self.want == Want::Values {
            values::decode(
                &mut self.column.values,
                physical,
                page.header.encoding,
                &parts.values,
                &values_of_entries(&def, max_def, count, entries),
                self.dictionary.as_ref(),
                self.dictionary_entries,
            )?;
        }
        Ok(page_rows)
    }
}

/// Which of a page's values the entries have.
fn values_of_entries(def: &[u8], max_def: u8, count: usize, entries: Vec<Range<usize>>) -> Selection {
    if max_def == 0 {
        return Selection { of: count, ranges: entries };
    }
    let values_in = |range: Range<usize>| def[range].iter().filter(|level| **level == max_def).count();
    let (mut at, mut values) = (0, 0);
    let mut ranges = Vec::with_capacity(entries.len());
    for range in entries {
        let start = values + values_in(at..range.start);
        at = range.end;
        values = start + values_in(range);
        ranges.push(start..values);
    }
    Selection { of: values + values_in(at..count), ranges }
}

/// Decodes a page's levels and checks that none is above `max`.
fn levels(bytes: &[u8], max: u8, count: usize) -> Result<Vec<u8>> {
    let mut levels = Vec::new();
    if max == 0 {
        return Ok(levels);
    }
    let width = 8 - max.leading_zeros() as u8;
    hybrid::decode(bytes, width, count, &mut levels)?;
    // A fold over all runs many times faster than a search that may end early.
    if levels.iter().fold(0, |most, level| most.max(*level)) > max {
        return Err(Malformed::new("has a level above the schema's"));
    }
    Ok(levels)
}

/// The entries of a page that belong to `rows`, and the number of rows in the page.
fn entries_of_rows(
    rep: &[u8],
    max_rep: u8,
    count: usize,
    first_row: u64,
    rows: &[Range<u64>],
) -> Result<(Vec<Range<usize>>, u64)> {
    if max_rep > 0 && rep.first().is_some_and(|first| *first != 0) {
        return Err(Malformed::new("has a page that starts inside a row"));
    }
    let held = if max_rep == 0 { count } else { rep.iter().filter(|level| **level == 0).count() };
    let within = |row: u64| usize::try_from(row.saturating_sub(first_row)).unwrap_or(usize::MAX).min(held);
    let ranges = rows.iter().map(|range| within(range.start)..within(range.end));
    let ranges = ranges.filter(|range| !range.is_empty());
    if max_rep == 0 {
        return Ok((ranges.collect(), held as u64));
    }
    let (mut at, mut row) = (0, 0);
    let mut entries = Vec::new();
    for range in ranges {
        let start = at + nth_zero(&rep[at..], range.start - row);
        let end = start + nth_zero(&rep[start..], range.len());
        entries.push(start..end);
        (at, row) = (end, range.end);
    }
    Ok((entries, held as u64))
}

/// Position of the zero that has `n` zeros before it; the length if there is none.
fn nth_zero(levels: &[u8], n: usize) -> usize {
    const CHUNK: usize = 256;
    let mut left = n;
    let mut at = 0;
    // Counting a chunk is a few instructions; looking for the one zero is not.
    for chunk in levels.chunks(CHUNK) {
        let zeros = chunk.iter().filter(|level| **level == 0).count();
        if left < zeros {
            let zeros = chunk.iter().enumerate().filter(|(_, level)| **level == 0);
            return at + zeros.map(|(i, _)| i).nth(left).unwrap_or(chunk.len());
        }
        left -= zeros;
        at += chunk.len();
    }
    levels.len()
}
