//! Getting the bytes of columns, and decoding them.

use std::collections::HashMap;
use std::iter;
use std::ops::Range;

use bytes::Bytes;
use tempoform_core::{Account, RequestKind};

use super::parquet::Bounds;
use super::parquet::column::{self, ChunkBytes, Column, Pieces, Strings, Want};
use super::parquet::footer::{Chunk, Leaf};
use super::parquet::page_index::{self, PageLocation};
use super::placed::{Layers, Placed};
use super::{BlockReader, Malformed};
use crate::error::{BlockError, Result};

/// Memory of an entry of a column besides its value's bytes.
pub(super) const ENTRY: u64 = 16;

/// Bytes of some columns of a row group, ready to be decoded.
#[derive(Debug)]
pub(crate) struct Fetched {
    reader: BlockReader,
    row_group: usize,
    /// Ascending and disjoint.
    rows: Vec<Range<u64>>,
    chunks: HashMap<usize, ChunkBytes>,
}

/// What to fetch for some rows.
#[derive(Debug)]
pub(super) struct RowsPlan {
    row_group: usize,
    rows: Vec<Range<u64>>,
    /// `None`: the whole chunk.
    columns: Vec<(usize, Option<Pieces>)>,
}

impl RowsPlan {
    /// Bytes to fetch.
    pub(super) fn bytes(&self, reader: &BlockReader) -> u64 {
        self.ranges(reader).iter().map(|range| range.end - range.start).sum()
    }

    /// Bytes in memory of what is fetched once it is decoded and put together to traces, roughly: as
    /// [`BlockReader::memory_of_columns`], of the pages alone, and as much again for the messages.
    ///
    /// How many entries a page has is not in the footer. Their share is that of the bytes of the pages of `reference`, a
    /// column whose values are about random, so that its pages are as long as they have entries.
    pub(super) fn memory(&self, reader: &BlockReader, reference: &str) -> u64 {
        let reference = reader.column_named(reference);
        let share = |wanted: usize| {
            let (_, pieces) = self.columns.iter().find(|(column, _)| *column == wanted)?;
            let Pieces { dictionary: _, pages } = pieces.as_ref()?;
            let range = &reader.chunk(self.row_group, wanted).range;
            let bytes: u64 = pages.iter().map(|(range, _)| range.end - range.start).sum();
            Some((bytes as f64 / (range.end - range.start).max(1) as f64).min(1.0))
        };
        let share = reference.and_then(share).unwrap_or(1.0);
        let of_column = |(column, _): &(usize, Option<Pieces>)| {
            let chunk = reader.chunk(self.row_group, *column);
            chunk.uncompressed.saturating_add(chunk.entries.saturating_mul(ENTRY))
        };
        let decoded = self.columns.iter().map(of_column).fold(0, u64::saturating_add);
        self.bytes(reader).saturating_add((decoded as f64 * share * 2.0) as u64)
    }

    /// What to fetch, column by column: the chunk, or its dictionary and pages.
    pub(super) fn ranges(&self, reader: &BlockReader) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        for (column, pieces) in &self.columns {
            match pieces {
                None => ranges.push(reader.chunk(self.row_group, *column).range.clone()),
                Some(Pieces { dictionary, pages }) => {
                    ranges.extend(dictionary.clone());
                    ranges.extend(pages.iter().map(|(range, _)| range.clone()));
                }
            }
        }
        ranges
    }
}

/// Rows, ascending, as ranges.
fn ranges_of(rows: &[u32]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for row in rows.iter().copied().map(u64::from) {
        match ranges.last_mut() {
            Some(last) if last.end >= row => last.end = row + 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}

/// Where the pages of some columns are.
#[derive(Debug)]
pub(super) struct Indexes {
    row_group: usize,
    /// By column, ascending; `None` where the file does not tell.
    columns: Vec<(usize, Option<Vec<PageLocation>>)>,
    bounds: Option<Vec<Bounds>>,
}

impl Indexes {
    /// The pages of the column whose bounds were asked for, and the bounds of each.
    pub(super) fn bounded(&self, column: usize) -> Option<(&[PageLocation], &[Bounds])> {
        let position = self.columns.binary_search_by_key(&column, |(column, _)| *column).ok()?;
        let (pages, bounds) = (self.columns[position].1.as_deref()?, self.bounds.as_deref()?);
        (pages.len() == bounds.len()).then_some((pages, bounds))
    }
}

impl BlockReader {
    /// Fetches whole column chunks; names that the file does not have are passed over.
    pub(crate) async fn fetch(&self, row_group: usize, names: &[&str], account: &Account) -> Result<Fetched> {
        let rows = self.row_group(row_group)?.rows;
        let columns = self.find_columns(names);
        let ranges: Vec<_> = columns.iter().map(|i| self.chunk(row_group, *i).range.clone()).collect();
        let bytes = self.read_data(&ranges, account).await?;
        let chunks = columns.into_iter().zip(bytes.into_iter().map(ChunkBytes::Whole)).collect();
        Ok(Fetched { reader: self.clone(), row_group, rows: iter::once(0..rows).collect(), chunks })
    }

    /// Where the pages of columns are, and the bounds of the pages of `bounded`; one read unless it came with the footer.
    pub(super) async fn indexes(
        &self,
        row_group: usize,
        names: &[&str],
        bounded: Option<&str>,
        account: &Account,
    ) -> Result<Indexes> {
        self.row_group(row_group)?;
        let columns = self.find_columns(names);
        let bounded = bounded.and_then(|name| self.inner.file.schema.find(name));
        let mut ranges: Vec<_> =
            columns.iter().map(|i| self.chunk(row_group, *i).offset_index.clone().unwrap_or(0..0)).collect();
        let bounds = bounded.and_then(|column| self.chunk(row_group, column).column_index.clone());
        ranges.push(bounds.unwrap_or(0..0));
        let mut bytes = self.read_page_index(&ranges, account).await?;
        let bounds = match (bytes.pop(), bounded) {
            (Some(bytes), Some(column)) if !bytes.is_empty() => {
                let bounds = page_index::column_index(&bytes);
                Some(bounds.map_err(|error| self.damaged(&self.name(column), error))?)
            }
            _ => None,
        };
        let parsed = columns.into_iter().zip(bytes).map(|(column, bytes)| {
            if bytes.is_empty() {
                return Ok((column, None));
            }
            let pages = page_index::offset_index(&bytes);
            pages.map(|pages| (column, Some(pages))).map_err(|error| self.damaged(&self.name(column), error))
        });
        Ok(Indexes { row_group, columns: parsed.collect::<Result<_>>()?, bounds })
    }

    /// What is needed for some rows (ascending and disjoint) of the columns of `names`: the pages that touch them
    /// where the file has an offset index.
    pub(super) fn plan_rows(
        &self,
        indexes: &Indexes,
        names: &[&str],
        rows: Vec<Range<u64>>,
    ) -> Result<RowsPlan> {
        let row_group = indexes.row_group;
        let total = self.row_group(row_group)?.rows;
        let columns = self.find_columns(names);
        let wanted = indexes.columns.iter().filter(|(column, _)| columns.binary_search(column).is_ok());
        let columns = wanted.map(|(column, pages)| {
            let Some(pages) = pages else { return Ok((*column, None)) };
            let wrong = || self.damaged(&self.name(*column), Malformed::new("has a wrong offset index"));
            let pieces = column::pieces_of_rows(self.chunk(row_group, *column), pages, &rows, total);
            Ok((*column, Some(pieces.ok_or_else(wrong)?)))
        });
        Ok(RowsPlan { row_group, columns: columns.collect::<Result<_>>()?, rows })
    }

    /// Fetches what was planned, all at once. Decoded columns have these rows alone, numbered from 0.
    pub(super) async fn fetch_rows(&self, plan: RowsPlan, account: &Account) -> Result<Fetched> {
        let ranges = plan.ranges(self);
        let RowsPlan { row_group, rows, columns } = plan;
        let mut bytes = self.read_data(&ranges, account).await?.into_iter();
        let mut next = || bytes.next().unwrap_or_default();
        let chunks = columns.into_iter().map(|(column, pieces)| {
            let bytes = match pieces {
                None => ChunkBytes::Whole(next()),
                Some(Pieces { dictionary, pages }) => ChunkBytes::Pages {
                    dictionary: dictionary.map(|_| next()),
                    pages: pages.into_iter().map(|(_, rows)| (next(), rows)).collect(),
                },
            };
            (column, bytes)
        });
        Ok(Fetched { reader: self.clone(), row_group, rows, chunks: chunks.collect() })
    }

    /// Fetches what is needed of columns for some rows (ascending).
    pub(crate) async fn fetch_some(
        &self,
        row_group: usize,
        names: &[&str],
        rows: &[u32],
        account: &Account,
    ) -> Result<Fetched> {
        let indexes = self.indexes(row_group, names, None, account).await?;
        let plan = self.plan_rows(&indexes, names, ranges_of(rows))?;
        self.fetch_rows(plan, account).await
    }

    /// Fetches just the dictionaries of string columns. Where the file does not tell where a dictionary ends, or it is
    /// more than `share` percent of its column, the whole chunk is fetched, if all are `needed`.
    pub(crate) async fn fetch_dictionaries(
        &self,
        row_group: usize,
        names: &[&str],
        share: u64,
        needed: bool,
        account: &Account,
    ) -> Result<Fetched> {
        let indexes = self.indexes(row_group, names, None, account).await?;
        let range = |(column, index): (usize, Option<Vec<PageLocation>>)| {
            let range = self.chunk(row_group, column).range.clone();
            let end = index.as_ref().and_then(|pages| pages.first()).map(|first| first.offset);
            let end = end.filter(|end| *end > range.start && *end <= range.end);
            let end = end.filter(|end| (end - range.start) * 100 <= (range.end - range.start) * share);
            match end {
                Some(end) => Some((column, range.start..end)),
                None => needed.then_some((column, range)),
            }
        };
        let (columns, ranges): (Vec<_>, Vec<_>) = indexes.columns.into_iter().filter_map(range).unzip();
        let bytes = self.read_data(&ranges, account).await?;
        let chunks = columns.into_iter().zip(bytes.into_iter().map(ChunkBytes::Whole)).collect();
        Ok(Fetched { reader: self.clone(), row_group, rows: Vec::new(), chunks })
    }

    /// Ranges of the file: from what was read of it already, else from the store. None reaches beyond the file's end as
    /// the meta tells it: whatever a damaged index says, no more is asked for, or allocated, than there is.
    pub(crate) async fn read_data(&self, ranges: &[Range<u64>], account: &Account) -> Result<Vec<Bytes>> {
        self.read(RequestKind::Range, ranges, account).await
    }

    /// Parts of the page index, likewise.
    pub(crate) async fn read_page_index(
        &self,
        ranges: &[Range<u64>],
        account: &Account,
    ) -> Result<Vec<Bytes>> {
        self.read(RequestKind::PageIndex, ranges, account).await
    }

    async fn read(&self, kind: RequestKind, ranges: &[Range<u64>], account: &Account) -> Result<Vec<Bytes>> {
        if ranges.iter().any(|range| range.start > range.end || range.end > self.inner.meta.size) {
            return Err(self.damaged("", Malformed::new("points behind its end")));
        }
        let mut found: Vec<_> = ranges.iter().map(|range| self.read_ahead(range)).collect();
        let missing = ranges.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<_> = missing.map(|(range, _)| range.clone()).collect();
        if !missing.is_empty() {
            let (store, content) = (&self.inner.store, (&self.inner.meta).into());
            let read = store.read_ranges(kind, &self.inner.path, content, &missing, account).await?;
            found
                .iter_mut()
                .filter(|found| found.is_none())
                .zip(read)
                .for_each(|(at, read)| *at = Some(read));
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn read_ahead(&self, range: &Range<u64>) -> Option<Bytes> {
        if range.is_empty() {
            return Some(Bytes::new());
        }
        self.inner.file.in_tail(range).or_else(|| self.window.as_ref()?.get(range))
    }

    fn find_columns(&self, names: &[&str]) -> Vec<usize> {
        let mut columns: Vec<_> = names.iter().filter_map(|name| self.inner.file.schema.find(name)).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    pub(super) fn row_group(&self, row_group: usize) -> Result<&super::parquet::footer::RowGroup> {
        let missing = || Malformed::new(format!("has no row group {row_group}"));
        self.inner.file.footer.row_groups.get(row_group).ok_or_else(|| self.damaged("", missing()))
    }

    pub(crate) fn chunk(&self, row_group: usize, column: usize) -> &Chunk {
        &self.inner.file.footer.row_groups[row_group].chunks[column]
    }

    pub(crate) fn leaf(&self, column: usize) -> &Leaf {
        &self.inner.file.footer.leaves[column]
    }

    pub(crate) fn name(&self, column: usize) -> String {
        self.leaf(column).path.join(".")
    }
}

impl Fetched {
    pub(crate) fn reader(&self) -> &BlockReader {
        &self.reader
    }

    /// A column's values by row at `level`; `None` when the file has no such column.
    pub(crate) fn placed(&self, name: &str, level: u8) -> Result<Option<Placed>> {
        let Some((leaf, column)) = self.column(name, Want::Values)? else { return Ok(None) };
        Placed::new(leaf, column, level).map(Some).map_err(|error| self.reader.damaged(name, error))
    }

    /// As [`placed`](Self::placed), for a column that every block has.
    pub(crate) fn required(&self, name: &str, level: u8) -> Result<Placed> {
        self.placed(name, level)?.ok_or_else(|| self.missing(name))
    }

    /// A column's values and how its rows hang together, decoded once.
    pub(crate) fn placed_in_layers(&self, name: &str, level: u8) -> Result<Option<(Placed, Layers)>> {
        let Some((leaf, column)) = self.column(name, Want::Values)? else { return Ok(None) };
        let layers = Layers::new(leaf, &column, level);
        let both = layers.and_then(|layers| Ok((Placed::new(leaf, column, level)?, layers)));
        both.map(Some).map_err(|error| self.reader.damaged(name, error))
    }

    /// As [`placed_in_layers`](Self::placed_in_layers), for a column that every block has.
    pub(super) fn required_in_layers(&self, name: &str, level: u8) -> Result<(Placed, Layers)> {
        self.placed_in_layers(name, level)?.ok_or_else(|| self.missing(name))
    }

    /// How rows hang together down to `level`, by the levels of a column below it.
    pub(crate) fn layers(&self, name: &str, level: u8) -> Result<Layers> {
        let (leaf, column) = self.column(name, Want::Levels)?.ok_or_else(|| self.missing(name))?;
        Layers::new(leaf, &column, level).map_err(|error| self.reader.damaged(name, error))
    }

    /// A string column's dictionary; `None` when it has none.
    pub(crate) fn dictionary(&self, name: &str) -> Result<Option<Strings>> {
        let schema = &self.reader.inner.file.schema;
        let Some((column, ChunkBytes::Whole(bytes))) =
            schema.find(name).and_then(|column| Some((column, self.chunks.get(&column)?)))
        else {
            return Ok(None);
        };
        let (leaf, chunk) = (self.reader.leaf(column), self.reader.chunk(self.row_group, column));
        column::decode_dictionary(leaf, chunk, bytes).map_err(|error| self.reader.damaged(name, error))
    }

    fn column(&self, name: &str, want: Want) -> Result<Option<(&Leaf, Column)>> {
        let Some(column) = self.reader.inner.file.schema.find(name) else { return Ok(None) };
        let Some(bytes) = self.chunks.get(&column) else { return Ok(None) };
        let (leaf, chunk) = (self.reader.leaf(column), self.reader.chunk(self.row_group, column));
        let decoded = column::decode(leaf, chunk, bytes, &self.rows, want)
            .map_err(|error| self.reader.damaged(name, error))?;
        Ok(Some((leaf, decoded)))
    }

    fn missing(&self, name: &str) -> BlockError {
        self.reader.damaged(name, Malformed::new("is not there"))
    }
}
