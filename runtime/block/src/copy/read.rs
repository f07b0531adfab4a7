//! Reading blocks that are copied: window by window, pages as they are stored.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use tempoform_core::Account;
use tokio::sync::mpsc;

use super::CopyInput;
use crate::dedicated::DedicatedColumn;
use crate::error::Result;
use crate::extra::Extra;
use crate::meta::BlockVersion;
use crate::reader::{BlockReader, Chunk, Leaf, Malformed, PageLocation, Physical, pieces_of_rows};
use crate::schema::v4::{self, at};

/// Stored bytes of a window, about. A window is a request a column, so that few are better where requests cost.
const WINDOW_BYTES: u64 = 1 << 20;
/// Windows that are read or wait, of each block.
const WINDOWS_WAITING: usize = 1;
/// Most bytes that the decoded pages of one row may be, by what the page index says. Those of our blocks are a few MiB.
const MAX_DECODED_BYTES: u64 = 16 << 20;

/// A block that can be copied.
#[derive(Debug)]
pub struct CopySource {
    reader: BlockReader,
    /// The pages of each column, by row group.
    pages: Vec<Vec<Vec<PageLocation>>>,
    extra: Option<Arc<Extra>>,
}

/// Some rows as stored.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) row_group: usize,
    pub(super) rows: Range<u64>,
    /// Of each column; only with the first rows of a row group.
    pub(super) dictionaries: Option<Vec<Option<Bytes>>>,
    /// Pages that were in no window before: the column, and the rows in them.
    pub(super) pages: Vec<(usize, Bytes, Range<u64>)>,
}

/// Reads a block, for the [`CopyInput`] that it came with.
#[derive(Debug)]
pub struct CopyReader {
    source: CopySource,
    windows: mpsc::Sender<Window>,
}

impl CopySource {
    /// Prepares a block to be copied into one with these dedicated columns. `None` when that cannot be: it is of another
    /// format, has other dedicated columns, or pages so large that decoding traces takes less memory.
    ///
    /// # Errors
    /// When the block's page index or sidecar is damaged, or the store's error.
    pub async fn open(
        reader: BlockReader,
        dedicated_columns: &[DedicatedColumn],
        account: &Account,
    ) -> Result<Option<Self>> {
        let meta = reader.meta();
        if meta.version != BlockVersion::VParquet4
            || meta.dedicated_columns != dedicated_columns
            || !is_vparquet4(&reader.file().footer.leaves)
        {
            return Ok(None);
        }
        let pages = (0..reader.row_groups()).map(|row_group| reader.pages_of_all(row_group, account));
        let (pages, ()) = tokio::try_join!(try_join_all(pages), reader.load_extra(account))?;
        let Some(pages) = pages.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        if pages
            .iter()
            .enumerate()
            .any(|(group, pages)| decoded_bytes(&reader, group, pages) > MAX_DECODED_BYTES)
        {
            return Ok(None);
        }
        let extra = reader.file().extra.get().cloned().flatten().map(Arc::new);
        Ok(Some(Self { reader, pages, extra }))
    }

    /// The two ends: what reads the block, and what is copied.
    pub fn split(self) -> (CopyReader, CopyInput) {
        let (windows, received) = mpsc::channel(WINDOWS_WAITING);
        let input = CopyInput { reader: self.reader.clone(), extra: self.extra.clone(), windows: received };
        (CopyReader { source: self, windows }, input)
    }
}

/// Whether the columns are those that are written: names, types and levels.
fn is_vparquet4(leaves: &[Leaf]) -> bool {
    leaves.len() == v4::LEAVES.len()
        && leaves.iter().zip(&v4::LEAVES).all(|(leaf, expected)| {
            leaf.path.iter().map(String::as_str).eq(expected.path.split('.'))
                && is_physical(leaf.physical, expected.leaf_type.physical())
                && (leaf.max_def, leaf.max_rep) == (expected.max_def, expected.max_rep)
        })
}

fn is_physical(physical: Physical, expected: parquet::basic::Type) -> bool {
    use parquet::basic::Type;
    matches!(
        (physical, expected),
        (Physical::ByteArray, Type::BYTE_ARRAY)
            | (Physical::Boolean, Type::BOOLEAN)
            | (Physical::Int32, Type::INT32)
            | (Physical::Int64, Type::INT64)
            | (Physical::Double, Type::DOUBLE)
    )
}

/// Bytes of one decoded page of each column: levels, and values.
fn decoded_bytes(reader: &BlockReader, row_group: usize, pages: &[Vec<PageLocation>]) -> u64 {
    const LEVELS: u64 = 2;
    const VALUE: u64 = 12;
    let rows = reader.traces_in(row_group).max(1);
    let of_column = |(column, pages): (usize, &Vec<PageLocation>)| {
        let Chunk { entries, nulls, .. } = *reader.chunk(row_group, column);
        let values = entries - nulls.unwrap_or(0).min(entries);
        let ends = pages.iter().skip(1).map(|page| page.first_row).chain([rows]);
        let longest = pages.iter().zip(ends).map(|(page, end)| end.saturating_sub(page.first_row)).max();
        let of_all = entries.saturating_mul(LEVELS).saturating_add(values.saturating_mul(VALUE));
        (u128::from(of_all) * u128::from(longest.unwrap_or(0)) / u128::from(rows)) as u64
    };
    pages.iter().enumerate().map(of_column).fold(0, u64::saturating_add)
}

impl CopyReader {
    /// Reads the block to its end, or until nobody wants more.
    ///
    /// # Errors
    /// When the page index is wrong, or the store's error.
    pub async fn run(self, account: &Account) -> Result<()> {
        let Self { source, windows } = self;
        for row_group in 0..source.reader.row_groups() {
            for rows in source.windows_of(row_group) {
                // A window that could not be handed over would be memory that nobody counts on.
                let Ok(place) = windows.reserve().await else { return Ok(()) };
                place.send(source.read(row_group, rows, account).await?);
            }
        }
        Ok(())
    }
}

impl CopySource {
    /// Cuts a row group where pages begin, as far as they are small enough.
    fn windows_of(&self, row_group: usize) -> Vec<Range<u64>> {
        let rows = self.reader.traces_in(row_group);
        let chunks = (0..v4::LEAVES.len()).map(|column| &self.reader.chunk(row_group, column).range);
        let stored: u64 = chunks.map(|range| range.end - range.start).sum();
        let most = (u128::from(rows) * u128::from(WINDOW_BYTES) / u128::from(stored.max(1))) as u64;
        let most = most.max(1);
        let starts: Vec<u64> = self.pages[row_group][at::SPAN_ID].iter().map(|page| page.first_row).collect();
        let mut windows = Vec::new();
        let mut start = 0;
        while start < rows {
            let far = rows.min(start.saturating_add(most));
            let page = starts[..starts.partition_point(|row| *row <= far)].last().copied();
            let end = if far == rows { far } else { page.filter(|page| *page > start).unwrap_or(far) };
            windows.push(start..end);
            start = end;
        }
        windows
    }

    async fn read(&self, row_group: usize, rows: Range<u64>, account: &Account) -> Result<Window> {
        let mut ranges = Vec::new();
        // What each is: a column's dictionary, or its page with some rows.
        let mut wanted = Vec::new();
        let total = self.reader.traces_in(row_group);
        for (column, pages) in self.pages[row_group].iter().enumerate() {
            let chunk = self.reader.chunk(row_group, column);
            let pieces =
                pieces_of_rows(chunk, pages, std::slice::from_ref(&rows), total).ok_or_else(|| {
                    self.reader.damaged(&self.reader.name(column), Malformed::new("has a wrong offset index"))
                })?;
            if let Some(dictionary) = pieces.dictionary.filter(|_| rows.start == 0) {
                ranges.push(dictionary);
                wanted.push((column, None));
            }
            // The first may have been in the window before.
            for (range, held) in pieces.pages.into_iter().filter(|(_, held)| held.start >= rows.start) {
                ranges.push(range);
                wanted.push((column, Some(held)));
            }
        }
        let read = self.reader.read_data(&ranges, account).await?;
        let mut dictionaries = (rows.start == 0).then(|| vec![None; v4::LEAVES.len()]);
        let mut pages = Vec::with_capacity(wanted.len());
        for ((column, held), bytes) in wanted.into_iter().zip(read) {
            match (held, &mut dictionaries) {
                (Some(held), _) => pages.push((column, bytes, held)),
                (None, Some(dictionaries)) => dictionaries[column] = Some(bytes),
                (None, None) => {}
            }
        }
        Ok(Window { row_group, rows, dictionaries, pages })
    }
}
