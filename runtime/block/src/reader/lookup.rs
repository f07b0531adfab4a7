//! A trace by its id: bloom, row group, page, row; then only the pages that hold the row.

use std::iter;
use std::ops::Range;

use tempoform_core::{Account, TraceId};
use tempoform_wire::otlp::TracesData;

use super::fetch::{Indexes, RowsPlan};
use super::parquet::Bounds;
use super::parquet::page_index::PageLocation;
use super::{BlockReader, level};
use crate::bloom;
use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{BlockObject, BlockPath};
use crate::store::BlockStore;

pub(crate) const TRACE_ID: &str = "TraceID";

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
    let bytes = store.read_cached(path, &object, meta.into(), account).await?;
    let shard = bloom::BloomShard::parse(bytes).map_err(|error| BlockError::Corrupt {
        block: path.clone(),
        object: object.to_string(),
        what: error.to_string(),
    })?;
    Ok(shard.may_contain(&id))
}

/// Where a trace lies in a block, see [`BlockReader::locate`].
#[derive(Debug)]
pub struct TracePlace {
    pub(super) id: TraceId,
    pub(super) row_group: usize,
    pub(super) row: u64,
    pub(super) plan: RowsPlan,
    bytes: u64,
}

impl TracePlace {
    /// Bytes to be fetched for the trace: the pages that it lies in.
    pub fn stored_bytes(&self) -> u64 {
        self.bytes
    }
}

impl BlockReader {
    /// The trace with this id; `None` when the block does not hold it.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] or the store's error.
    pub async fn find_trace(&self, id: TraceId, account: &Account) -> Result<Option<TracesData>> {
        match self.locate(id, account).await? {
            Some(place) => self.read_trace(place, account).await.map(Some),
            None => Ok(None),
        }
    }

    /// Where the trace with this id lies; `None` when the block does not hold it. Ask [`may_contain`] first.
    ///
    /// One read once the block is open, of the page of ids; two where the page index did not fit in what was read to
    /// open it. [`read_trace`](Self::read_trace) is one more, or two likewise.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] or the store's error.
    pub async fn locate(&self, id: TraceId, account: &Account) -> Result<Option<TracePlace>> {
        let column = self.0.file.schema.find(TRACE_ID);
        let column = column.ok_or_else(|| self.damaged(TRACE_ID, super::Malformed::new("is not there")))?;
        let names = self.trace_columns();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for row_group in 0..self.row_groups() {
            let bounds = &self.chunk(row_group, column).bounds;
            if bounds.as_ref().is_some_and(|bounds| !may_lie_within(bounds, id)) {
                continue;
            }
            let indexes = self.indexes(row_group, &names, Some(TRACE_ID), account).await?;
            for rows in self.pages_with(&indexes, row_group, column, id)? {
                let first = rows.start;
                let ids = self.plan_rows(&indexes, &[TRACE_ID], vec![rows])?;
                let ids = self.fetch_rows(ids, account).await?.required(TRACE_ID, level::TRACE)?;
                if let Some(position) = (0..ids.rows.len()).find(|i| ids.bytes(*i) == id.as_bytes()) {
                    let row = first + position as u64;
                    let plan = self.plan_rows(&indexes, &names, iter::once(row..row + 1).collect())?;
                    let bytes = plan.bytes(self);
                    return Ok(Some(TracePlace { id, row_group, row, plan, bytes }));
                }
            }
        }
        Ok(None)
    }

    /// By what a lookup finds the ids of a row group.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] or the store's error.
    pub(crate) async fn id_bounds(&self, row_group: usize, account: &Account) -> Result<IdBounds> {
        let column = self.0.file.schema.find(TRACE_ID);
        let column = column.ok_or_else(|| self.damaged(TRACE_ID, super::Malformed::new("is not there")))?;
        let indexes = self.indexes(row_group, &[TRACE_ID], Some(TRACE_ID), account).await?;
        let of_page = |(page, bounds): (&PageLocation, &Bounds)| (page.first_row, bounds.clone());
        let pages =
            indexes.bounded(column).map(|(pages, bounds)| pages.iter().zip(bounds).map(of_page).collect());
        Ok(IdBounds { chunk: self.chunk(row_group, column).bounds.clone(), pages })
    }

    /// The rows of the pages that may hold the id.
    fn pages_with(
        &self,
        indexes: &Indexes,
        row_group: usize,
        column: usize,
        id: TraceId,
    ) -> Result<Vec<Range<u64>>> {
        let rows = self.row_group(row_group)?.rows;
        let Some((pages, bounds)) = indexes.bounded(column) else { return Ok(iter::once(0..rows).collect()) };
        let end = |i: usize| pages.get(i + 1).map_or(rows, |next| next.first_row);
        let may_hold = |i: &usize| may_lie_within(&bounds[*i], id);
        Ok((0..pages.len()).filter(may_hold).map(|i| pages[i].first_row..end(i)).collect())
    }
}

/// The bounds of a row group's trace ids.
#[derive(Debug)]
pub(crate) struct IdBounds {
    chunk: Option<Bounds>,
    /// First row and bounds of each page.
    pages: Option<Vec<(u64, Bounds)>>,
}

impl IdBounds {
    /// Whether a lookup of `id` would look at `row`.
    pub(crate) fn lead_to(&self, row: u64, id: TraceId) -> bool {
        let page = self.pages.as_ref().and_then(|pages| {
            let next = pages.partition_point(|(first, _)| *first <= row);
            pages.get(next.checked_sub(1)?)
        });
        self.chunk.iter().chain(page.map(|(_, bounds)| bounds)).all(|bounds| may_lie_within(bounds, id))
    }
}

/// Whether an id is between two bounds. A greatest value that was cut short without being rounded up
/// still covers what begins with it. Bounds that are not there cover everything.
fn may_lie_within((least, greatest): &Bounds, id: TraceId) -> bool {
    let id: &[u8] = id.as_bytes();
    greatest.is_empty() || (&**least <= id && (id <= &**greatest || id.starts_with(greatest)))
}
