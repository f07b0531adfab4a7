//! Getting the bytes of columns, and decoding them.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use tempoform_core::Account;

use super::parquet::Bounds;
use super::parquet::column::{self, ChunkBytes, Column, Strings, Want};
use super::parquet::footer::{Chunk, Leaf};
use super::parquet::page_index::{self, PageLocation};
use super::placed::{Layers, Placed};
use super::{BlockReader, Malformed};
use crate::error::{BlockError, Result};
use crate::paths::BlockObject;

/// Bytes of some columns of a row group, ready to be decoded.
#[derive(Debug)]
pub(crate) struct Fetched {
    reader: BlockReader,
    row_group: usize,
    rows: Range<u64>,
    chunks: HashMap<usize, ChunkBytes>,
}

/// Pages of a column and the bounds of each.
pub(super) type BoundedPages = (Vec<PageLocation>, Vec<Bounds>);

impl BlockReader {
    /// Fetches whole column chunks; names that the file does not have are passed over.
    pub(crate) async fn fetch(&self, row_group: usize, names: &[&str], account: &Account) -> Result<Fetched> {
        let rows = self.row_group(row_group)?.rows;
        let columns = self.find_columns(names);
        let ranges: Vec<_> = columns.iter().map(|i| self.chunk(row_group, *i).range.clone()).collect();
        let bytes = self.read_data(&ranges, account).await?;
        let chunks = columns.into_iter().zip(bytes.into_iter().map(ChunkBytes::Whole)).collect();
        Ok(Fetched { reader: self.clone(), row_group, rows: 0..rows, chunks })
    }

    /// Fetches what is needed of columns for one row: its page where the file has an offset index.
    pub(super) async fn fetch_row(
        &self,
        row_group: usize,
        names: &[&str],
        row: u64,
        account: &Account,
    ) -> Result<Fetched> {
        let columns = self.find_columns(names);
        let indexes = self.offset_indexes(row_group, &columns, account).await?;
        let mut ranges = Vec::new();
        let mut pages = Vec::new();
        for (column, index) in columns.iter().zip(&indexes) {
            let chunk = self.chunk(row_group, *column);
            let page = index.as_ref().and_then(|pages| column::ranges_of_row(chunk, pages, row));
            match &page {
                Some((dictionary, page, _)) => {
                    ranges.extend([dictionary.clone().unwrap_or(0..0), page.clone()])
                }
                None => ranges.extend([0..0, chunk.range.clone()]),
            }
            pages.push(page);
        }
        let bytes = self.read_data(&ranges, account).await?;
        let chunks = columns.into_iter().zip(pages).zip(bytes.as_chunks::<2>().0);
        let chunks = chunks.map(|((column, page), [dictionary, data])| {
            let bytes = match page {
                None => ChunkBytes::Whole(data.clone()),
                Some((has_dictionary, _, first_row)) => ChunkBytes::Page {
                    dictionary: has_dictionary.map(|_| dictionary.clone()),
                    page: data.clone(),
                    first_row,
                },
            };
            (column, bytes)
        });
        Ok(Fetched { reader: self.clone(), row_group, rows: row..row + 1, chunks: chunks.collect() })
    }

    /// Fetches just the dictionaries of string columns, or the whole chunk where the file does not tell
    /// where a dictionary ends.
    pub(super) async fn fetch_dictionaries(
        &self,
        row_group: usize,
        names: &[&str],
        account: &Account,
    ) -> Result<Fetched> {
        let columns = self.find_columns(names);
        let indexes = self.offset_indexes(row_group, &columns, account).await?;
        let range = |(column, index): (&usize, &Option<Vec<PageLocation>>)| {
            let range = self.chunk(row_group, *column).range.clone();
            match index.as_ref().and_then(|pages| pages.first()) {
                Some(first) if first.offset > range.start && first.offset <= range.end => {
                    range.start..first.offset
                }
                _ => range,
            }
        };
        let ranges: Vec<_> = columns.iter().zip(&indexes).map(range).collect();
        let bytes = self.read_data(&ranges, account).await?;
        let chunks = columns.into_iter().zip(bytes.into_iter().map(ChunkBytes::Whole)).collect();
        Ok(Fetched { reader: self.clone(), row_group, rows: 0..0, chunks })
    }

    /// The page locations of some columns; `None` where the file has no offset index for one.
    async fn offset_indexes(
        &self,
        row_group: usize,
        columns: &[usize],
        account: &Account,
    ) -> Result<Vec<Option<Vec<PageLocation>>>> {
        let ranges = columns.iter().map(|i| self.chunk(row_group, *i).offset_index.clone().unwrap_or(0..0));
        let bytes = self.read_index(ranges.collect(), account).await?;
        let parsed = columns.iter().zip(bytes).map(|(column, bytes)| {
            if bytes.is_empty() {
                return Ok(None);
            }
            let name = self.leaf(*column).path.join(".");
            page_index::offset_index(&bytes).map(Some).map_err(|error| self.damaged(&name, error))
        });
        parsed.collect()
    }

    /// Bounds of the pages of one column and where they are, if the file tells.
    pub(super) async fn page_bounds(
        &self,
        row_group: usize,
        column: usize,
        account: &Account,
    ) -> Result<Option<BoundedPages>> {
        let chunk = self.chunk(row_group, column);
        let (Some(offsets), Some(bounds)) = (chunk.offset_index.clone(), chunk.column_index.clone()) else {
            return Ok(None);
        };
        let bytes = self.read_index(vec![offsets, bounds], account).await?;
        let [offsets, bounds] = bytes.as_slice() else { return Ok(None) };
        let name = self.leaf(column).path.join(".");
        let offsets = page_index::offset_index(offsets).map_err(|error| self.damaged(&name, error))?;
        let bounds = page_index::column_index(bounds).map_err(|error| self.damaged(&name, error))?;
        Ok((offsets.len() == bounds.len()).then_some((offsets, bounds)))
    }

    /// Parts of the page index: from the tail read at opening, else from the store.
    async fn read_index(&self, ranges: Vec<Range<u64>>, account: &Account) -> Result<Vec<Bytes>> {
        let file = &self.0.file;
        let cached: Option<Vec<_>> = ranges
            .iter()
            .map(|range| if range.is_empty() { Some(Bytes::new()) } else { file.in_tail(range) })
            .collect();
        match cached {
            Some(bytes) => Ok(bytes),
            None => self.read_data(&ranges, account).await,
        }
    }

    pub(super) async fn read_data(&self, ranges: &[Range<u64>], account: &Account) -> Result<Vec<Bytes>> {
        self.0.store.read_ranges(&self.0.path, &BlockObject::Data, ranges, account).await
    }

    fn find_columns(&self, names: &[&str]) -> Vec<usize> {
        let mut columns: Vec<_> = names.iter().filter_map(|name| self.0.file.schema.find(name)).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    pub(super) fn row_group(&self, row_group: usize) -> Result<&super::parquet::footer::RowGroup> {
        let missing = || Malformed::new(format!("has no row group {row_group}"));
        self.0.file.footer.row_groups.get(row_group).ok_or_else(|| self.damaged("", missing()))
    }

    pub(super) fn chunk(&self, row_group: usize, column: usize) -> &Chunk {
        &self.0.file.footer.row_groups[row_group].chunks[column]
    }

    pub(super) fn leaf(&self, column: usize) -> &Leaf {
        &self.0.file.footer.leaves[column]
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
    pub(super) fn dictionary(&self, name: &str) -> Result<Option<Strings>> {
        let schema = &self.reader.0.file.schema;
        let Some((column, ChunkBytes::Whole(bytes))) =
            schema.find(name).and_then(|column| Some((column, self.chunks.get(&column)?)))
        else {
            return Ok(None);
        };
        let (leaf, chunk) = (self.reader.leaf(column), self.reader.chunk(self.row_group, column));
        column::decode_dictionary(leaf, chunk, bytes).map_err(|error| self.reader.damaged(name, error))
    }

    fn column(&self, name: &str, want: Want) -> Result<Option<(&Leaf, Column)>> {
        let Some(column) = self.reader.0.file.schema.find(name) else { return Ok(None) };
        let Some(bytes) = self.chunks.get(&column) else { return Ok(None) };
        let (leaf, chunk) = (self.reader.leaf(column), self.reader.chunk(self.row_group, column));
        let decoded = column::decode(leaf, chunk, bytes, self.rows.clone(), want)
            .map_err(|error| self.reader.damaged(name, error))?;
        Ok(Some((leaf, decoded)))
    }

    fn missing(&self, name: &str) -> BlockError {
        self.reader.damaged(name, Malformed::new("is not there"))
    }
}
