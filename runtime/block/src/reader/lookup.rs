//! A trace by its id: bloom, row group, page, row; then only the pages that hold the row.

use std::ops::Range;

use tempoform_core::{Account, TraceId};
use tempoform_wire::otlp::TracesData;

use super::parquet::Bounds;
use super::parquet::column::{self, ChunkBytes, Want};
use super::{BlockReader, level, placed::Placed};
use crate::bloom;
use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{BlockObject, BlockPath};
use crate::store::BlockStore;

const TRACE_ID: &str = "TraceID";

/// Whether a block may hold a trace, by its bloom filter. One read.
///
/// # Errors
/// The store's error; [`BlockError::Corrupt`] when the shard is not a bloom filter.
pub async fn may_contain(
    store: &BlockStore,
    path: &BlockPath,
    meta: &BlockMeta,
    id: TraceId,
    account: &Account,
) -> Result<bool> {
    let object = BlockObject::Bloom(bloom::shard_of(&id, meta.bloom_shard_count()));
    let bytes = store.read(path, &object, account).await?;
    let shard = bloom::BloomShard::parse(bytes).map_err(|error| BlockError::Corrupt {
        block: path.clone(),
        object: object.to_string(),
        what: error.to_string(),
    })?;
    Ok(shard.may_contain(&id))
}

impl BlockReader {
    /// The trace with this id; `None` when the block does not hold it.
    ///
    /// Two dependent reads once the block is open: the page of ids, then everything else at once. Ask
    /// [`may_contain`] first.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] or the store's error.
    pub async fn find_trace(&self, id: TraceId, account: &Account) -> Result<Option<TracesData>> {
        for row_group in 0..self.row_groups() {
            if let Some(row) = self.find_row(row_group, id, account).await? {
                return self.trace_at(row_group, row, account).await.map(Some);
            }
        }
        Ok(None)
    }

    async fn find_row(&self, row_group: usize, id: TraceId, account: &Account) -> Result<Option<u64>> {
        let column = self.0.file.schema.find(TRACE_ID);
        let column = column.ok_or_else(|| self.damaged(TRACE_ID, super::Malformed::new("is not there")))?;
        let chunk = self.chunk(row_group, column);
        if chunk.bounds.as_ref().is_some_and(|bounds| !may_lie_within(bounds, id)) {
            return Ok(None);
        }
        let rows = self.row_group(row_group)?.rows;
        if let Some((pages, bounds)) = self.page_bounds(row_group, column, account).await? {
            let candidates = (0..pages.len()).filter(|i| may_lie_within(&bounds[*i], id));
            for i in candidates {
                let end = pages.get(i + 1).map_or(rows, |next| next.first_row);
                let page_rows = pages[i].first_row..end;
                let Some((dictionary, page, first_row)) =
                    column::ranges_of_row(chunk, &pages, pages[i].first_row)
                else {
                    return Err(self.damaged(TRACE_ID, super::Malformed::new("has a wrong offset index")));
                };
                let ranges = [dictionary.clone().unwrap_or(0..0), page];
                let bytes = self.read_data(&ranges, account).await?;
                let [dictionary_bytes, page] = bytes.as_slice() else { return Ok(None) };
                let dictionary = dictionary.map(|_| dictionary_bytes.clone());
                let bytes = ChunkBytes::Page { dictionary, page: page.clone(), first_row };
                if let Some(row) = self.find_in(row_group, column, &bytes, page_rows, id)? {
                    return Ok(Some(row));
                }
            }
            return Ok(None);
        }
        let mut bytes = self.read_data(std::slice::from_ref(&chunk.range), account).await?;
        let bytes = ChunkBytes::Whole(bytes.pop().unwrap_or_default());
        self.find_in(row_group, column, &bytes, 0..rows, id)
    }

    fn find_in(
        &self,
        row_group: usize,
        column: usize,
        bytes: &ChunkBytes,
        rows: Range<u64>,
        id: TraceId,
    ) -> Result<Option<u64>> {
        let leaf = self.leaf(column);
        let first = rows.start;
        let ids = column::decode(leaf, self.chunk(row_group, column), bytes, rows, Want::Values)
            .and_then(|ids| Placed::new(leaf, ids, level::TRACE))
            .map_err(|error| self.damaged(TRACE_ID, error))?;
        let found = (0..ids.rows.len()).find(|i| ids.bytes(*i) == id.as_bytes());
        Ok(found.map(|position| first + position as u64))
    }
}

/// Whether an id is between two bounds. A greatest value that was cut short without being rounded up
/// still covers what begins with it. Bounds that are not there cover everything.
fn may_lie_within((least, greatest): &Bounds, id: TraceId) -> bool {
    let id: &[u8] = id.as_bytes();
    greatest.is_empty() || (&**least <= id && (id <= &**greatest || id.starts_with(greatest)))
}
