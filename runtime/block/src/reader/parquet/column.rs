//! Columns: pages put together into levels and values.

use std::ops::Range;

use bytes::Bytes;

use super::footer::{Chunk, Leaf, Physical};
use super::page::{Page, PageKind};
use super::page_index::PageLocation;
use super::values::{self, NumberDictionary, Window};
use super::{MAX_CHUNK_ENTRIES, Malformed, Result, hybrid};

pub(crate) use super::values::{Strings, Values};

/// Some rows of a column.
#[derive(Debug)]
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
    /// One data page, with its first row, and the dictionary page if the chunk has one.
    Page { dictionary: Option<Bytes>, page: Bytes, first_row: u64 },
}

/// What to decode of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Levels and values.
    Values,
    /// Levels alone: how rows hang together.
    Levels,
}

/// The ranges of the file to fetch for one row: dictionary and the page that holds it.
pub(crate) fn ranges_of_row(
    chunk: &Chunk,
    pages: &[PageLocation],
    row: u64,
) -> Option<(Option<Range<u64>>, Range<u64>, u64)> {
    let page = pages[..pages.partition_point(|page| page.first_row <= row)].last()?;
    let end = page.offset.checked_add(page.length)?;
    let first = pages.first()?.offset;
    if page.offset < chunk.range.start || end > chunk.range.end || first < chunk.range.start {
        return None;
    }
    let dictionary = (first > chunk.range.start).then_some(chunk.range.start..first);
    Some((dictionary, page.offset..end, page.first_row))
}

/// Decodes the `rows` (of the row group) of a column from the bytes of its chunk.
pub(crate) fn decode(
    leaf: &Leaf,
    chunk: &Chunk,
    bytes: &ChunkBytes,
    rows: Range<u64>,
    want: Want,
) -> Result<Column> {
    let mut decoder = Decoder::new(leaf, chunk, want)?;
    match bytes {
        ChunkBytes::Whole(bytes) => decoder.whole(bytes, rows)?,
        ChunkBytes::Page { dictionary, page, first_row } => {
            if let Some(dictionary) = dictionary {
                decoder.page(&Page::read(dictionary)?.0, 0, &rows)?;
            }
            decoder.page(&Page::read(page)?.0, *first_row, &rows)?;
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
        return Ok(None);
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
}

impl<'a> Decoder<'a> {
    fn new(leaf: &'a Leaf, chunk: &'a Chunk, want: Want) -> Result<Self> {
        let column =
            Column { rep: Vec::new(), def: Vec::new(), entries: 0, values: Values::new(leaf.physical)? };
        Ok(Self { leaf, chunk, want, column, dictionary: None, dictionary_entries: 0 })
    }

    /// All pages that touch `rows`.
    fn whole(&mut self, bytes: &Bytes, rows: Range<u64>) -> Result<()> {
        let mut at = 0;
        let mut row = 0;
        let mut seen = 0;
        while at < bytes.len() && seen < self.chunk.entries && row < rows.end {
            let (page, length) = Page::read(&bytes.slice(at..))?;
            at += length;
            match page.header.kind {
                PageKind::Other => continue,
                PageKind::Dictionary => {}
                PageKind::DataV1 | PageKind::DataV2 => seen += u64::from(page.header.entries),
            }
            match page.header.rows {
                Some(count) if row + u64::from(count) <= rows.start => row += u64::from(count),
                _ => row += self.page(&page, row, &rows)?,
            }
        }
        if row < rows.end {
            return Err(Malformed::new("has a column with fewer rows than the row group"));
        }
        Ok(())
    }

    /// Takes one page whose first row is `first_row`; returns how many rows it holds.
    fn page(&mut self, page: &Page, first_row: u64, rows: &Range<u64>) -> Result<u64> {
        match page.header.kind {
            PageKind::Dictionary => self.set_dictionary(page).map(|()| 0),
            PageKind::DataV1 | PageKind::DataV2 => self.data_page(page, first_row, rows),
            PageKind::Other => Err(Malformed::new("has no page where its index says")),
        }
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

    fn data_page(&mut self, page: &Page, first_row: u64, rows: &Range<u64>) -> Result<u64> {
        let Leaf { max_def, max_rep, physical, .. } = *self.leaf;
        let count = page.header.entries as usize;
        if self.column.entries as u64 + count as u64 > MAX_CHUNK_ENTRIES {
            return Err(Malformed::new("has a column with an absurd number of values"));
        }
        let parts = page.parts(self.chunk.codec, max_rep > 0, max_def > 0)?;
        let rep = levels(&parts.rep, max_rep, count)?;
        let def = levels(&parts.def, max_def, count)?;

        let (entries, page_rows) = entries_of_rows(&rep, max_rep, count, first_row, rows)?;
        let is_value = |level: &&u8| **level == max_def;
        let window = if max_def == 0 {
            Window { skip: entries.start, take: entries.len() }
        } else {
            let skip = def[..entries.start].iter().filter(is_value).count();
            Window { skip, take: def[entries.clone()].iter().filter(is_value).count() }
        };
        if max_rep > 0 {
            self.column.rep.extend_from_slice(&rep[entries.clone()]);
        }
        if max_def > 0 {
            self.column.def.extend_from_slice(&def[entries.clone()]);
        }
        self.column.entries += entries.len();
        if self.want == Want::Values {
            values::decode(
                &mut self.column.values,
                physical,
                page.header.encoding,
                &parts.values,
                window,
                self.dictionary.as_ref(),
                self.dictionary_entries,
            )?;
        }
        Ok(page_rows)
    }
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
    rows: &Range<u64>,
) -> Result<(Range<usize>, u64)> {
    let from = usize::try_from(rows.start.saturating_sub(first_row)).unwrap_or(usize::MAX);
    let to = usize::try_from(rows.end.saturating_sub(first_row)).unwrap_or(usize::MAX);
    if max_rep == 0 {
        return Ok((from.min(count)..to.min(count), count as u64));
    }
    if rep.first().is_some_and(|first| *first != 0) {
        return Err(Malformed::new("has a page that starts inside a row"));
    }
    let rows = rep.iter().filter(|level| **level == 0).count();
    let start = nth_zero(rep, from);
    let end = start + nth_zero(&rep[start..], to.saturating_sub(from));
    Ok((start..end, rows as u64))
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
