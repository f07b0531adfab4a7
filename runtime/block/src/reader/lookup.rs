//! A trace by its id: bloom, footer, pages. Three reads, each of which has to wait for the one before, if all goes well.
//!
//! The row that a trace is in is known once the page of ids is read, and only then the pages of the other columns. To save
//! that fourth read the pages are read ahead together with the ids: all that go with the page of ids where they are few,
//! else those around the row where the id should be. Ids are sorted, and most are random numbers.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use tempoform_core::{Account, TraceId};
use tempoform_wire::otlp::TracesData;

use super::fetch::{Indexes, RowsPlan};
use super::parquet::Bounds;
use super::parquet::page_index::PageLocation;
use super::placed::Placed;
use super::traces::SPAN_ID;
use super::window::Window;
use super::{BlockReader, level};
use crate::bloom;
use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{BlockObject, BlockPath};
use crate::store::BlockStore;

pub(crate) const TRACE_ID: &str = "TraceID";
/// Most bytes that are read ahead, of those in [`BlockReader::MAX_LOCATE_MEMORY`].
const MAX_READ_AHEAD: u64 = 4 << 20;
/// Most bytes between wanted ones that are read with them, so that a lookup makes one request and not one for each column.
const MAX_IN_VAIN: u64 = 8 << 20;

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
    /// One, but where replicas of a trace were merged by somebody who did not put them together.
    pub(super) rows: Range<u64>,
    pub(super) plan: RowsPlan,
    pub(super) memory: u64,
    /// What was read already.
    pub(super) window: Option<Arc<Window>>,
}

impl TracePlace {
    /// Bytes in memory of reading the trace, roughly: its pages, decoded and put together, and what was read ahead.
    pub fn memory(&self) -> u64 {
        let ahead = self.window.as_ref().map_or(0, |window| window.bytes());
        self.memory.saturating_add(ahead)
    }

    /// Drops what was read ahead; it is read again.
    pub fn forget_read_ahead(&mut self) {
        self.window = None;
    }
}

impl BlockReader {
    /// Most bytes that [`locate`](Self::locate) holds besides the page of ids: pages that it reads ahead in the hope that the
    /// trace is in them, and what lies between them. They come in about the time that other reads would take.
    pub const MAX_LOCATE_MEMORY: u64 = MAX_READ_AHEAD + MAX_IN_VAIN;

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
    /// One read once the block is open, of the page of ids and most often all that [`read_trace`](Self::read_trace) needs,
    /// which is another one otherwise; one more before where the page index did not fit in what was read to open the block.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] or the store's error.
    pub async fn locate(&self, id: TraceId, account: &Account) -> Result<Option<TracePlace>> {
        let column = self.inner.file.schema.find(TRACE_ID);
        let column = column.ok_or_else(|| self.damaged(TRACE_ID, super::Malformed::new("is not there")))?;
        let names = self.trace_columns();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for row_group in 0..self.row_groups() {
            let bounds = &self.chunk(row_group, column).bounds;
            if bounds.as_ref().is_some_and(|bounds| !may_lie_within(bounds, id)) {
                continue;
            }
            let indexes = self.indexes(row_group, &names, Some(TRACE_ID), account).await?;
            let mut pages = self.pages_with(&indexes, row_group, column, id)?.into_iter().peekable();
            while let Some(page) = pages.next() {
                let first = page.rows.start;
                let ids = self.plan_rows(&indexes, &[TRACE_ID], vec![page.rows.clone()])?;
                // The sidecar depends on neither, and the trace is most likely here.
                let ahead = self.reading_ahead(&indexes, &names, &page, id, &ids, account);
                let (reader, ()) = tokio::try_join!(ahead, self.load_extra(account))?;
                let ids = reader.fetch_rows(ids, account).await?.required(TRACE_ID, level::TRACE)?;
                let Some(found) = rows_with(&ids, id) else { continue };
                let mut rows = first + found.start..first + found.end;
                while let Some(next) = pages.next_if(|next| next.rows.start == rows.end) {
                    let ids = self.plan_rows(&indexes, &[TRACE_ID], vec![next.rows])?;
                    let ids = self.fetch_rows(ids, account).await?.required(TRACE_ID, level::TRACE)?;
                    rows.end += rows_with(&ids, id).map_or(0, |found| found.end);
                }
                let plan = self.plan_rows(&indexes, &names, iter::once(rows.clone()).collect())?;
                let memory = plan.memory(self, SPAN_ID);
                return Ok(Some(TracePlace { id, row_group, rows, plan, memory, window: reader.window }));
            }
        }
        Ok(None)
    }

    /// By what a lookup finds the ids of a row group.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`] or the store's error.
    pub(crate) async fn id_bounds(&self, row_group: usize, account: &Account) -> Result<IdBounds> {
        let column = self.inner.file.schema.find(TRACE_ID);
        let column = column.ok_or_else(|| self.damaged(TRACE_ID, super::Malformed::new("is not there")))?;
        let indexes = self.indexes(row_group, &[TRACE_ID], Some(TRACE_ID), account).await?;
        let of_page = |(page, bounds): (&PageLocation, &Bounds)| (page.first_row, bounds.clone());
        let pages =
            indexes.bounded(column).map(|(pages, bounds)| pages.iter().zip(bounds).map(of_page).collect());
        Ok(IdBounds { chunk: self.chunk(row_group, column).bounds.clone(), pages })
    }

    /// A reader that has the page of ids, and the pages of other columns that the trace should be in.
    async fn reading_ahead(
        &self,
        indexes: &Indexes,
        names: &[&str],
        page: &IdPage,
        id: TraceId,
        ids: &RowsPlan,
        account: &Account,
    ) -> Result<Self> {
        let mut ranges = ids.ranges(self);
        for rows in [page.rows.clone(), page.likely_rows(id)] {
            let ahead = self.plan_rows(indexes, names, vec![rows])?;
            if ahead.bytes(self) <= MAX_READ_AHEAD {
                ranges.extend(ahead.ranges(self));
                break;
            }
        }
        let ranges = few_reads(ranges, MAX_IN_VAIN);
        let bytes = self.read_data(&ranges, account).await?;
        Ok(Self { window: Some(Arc::new(Window::new(&ranges, bytes))), ..self.clone() })
    }

    /// The pages of ids that may hold the id.
    fn pages_with(
        &self,
        indexes: &Indexes,
        row_group: usize,
        column: usize,
        id: TraceId,
    ) -> Result<Vec<IdPage>> {
        let rows = self.row_group(row_group)?.rows;
        let Some((pages, bounds)) = indexes.bounded(column) else {
            return Ok(vec![IdPage { rows: 0..rows, bounds: Bounds::default() }]);
        };
        let end = |i: usize| pages.get(i + 1).map_or(rows, |next| next.first_row);
        let may_hold = |i: &usize| may_lie_within(&bounds[*i], id);
        let page = |i: usize| IdPage { rows: pages[i].first_row..end(i), bounds: bounds[i].clone() };
        Ok((0..pages.len()).filter(may_hold).map(page).collect())
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

/// Where an id stands among those of a page, which are in order.
fn rows_with(ids: &Placed, id: TraceId) -> Option<Range<u64>> {
    let is_it = |at: &usize| ids.bytes(*at) == id.as_bytes();
    let start = (0..ids.rows.len()).find(is_it)?;
    let count = (start..ids.rows.len()).take_while(is_it).count();
    Some(start as u64..(start + count) as u64)
}

/// Ranges that cover `ranges`, as few as can be with at most `in_vain` bytes that none of them has.
fn few_reads(mut ranges: Vec<Range<u64>>, in_vain: u64) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    let mut ends = ranges.iter().scan(0, |end, range| {
        *end = range.end.max(*end);
        Some(*end)
    });
    let mut gaps: Vec<u64> = Vec::new();
    for next in ranges.iter().skip(1) {
        gaps.extend(ends.next().map(|end| next.start.saturating_sub(end)));
    }
    gaps.sort_unstable();
    let mut wasted = 0;
    let widest = gaps.into_iter().take_while(|gap| {
        wasted += gap;
        wasted <= in_vain
    });
    let widest = widest.last().unwrap_or(0);
    let mut few: Vec<Range<u64>> = Vec::new();
    // As wide as the widest there may be more of: the budget is for those that came first.
    let mut left = in_vain;
    for range in ranges {
        match few.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            Some(last) if range.start - last.end <= widest.min(left) => {
                left -= range.start - last.end;
                last.end = range.end;
            }
            _ => few.push(range),
        }
    }
    few
}

/// A page of ids.
struct IdPage {
    rows: Range<u64>,
    /// Empty where they are not known.
    bounds: Bounds,
}

impl IdPage {
    /// The rows among which the id is, if it is there and ids are random numbers: between those where it should be by
    /// its value, four times the standard deviation to both sides.
    fn likely_rows(&self, id: TraceId) -> Range<u64> {
        let [least, greatest, id] = [&*self.bounds.0, &*self.bounds.1, id.as_bytes().as_slice()].map(leading);
        if greatest <= least {
            return self.rows.clone();
        }
        let count = self.rows.end.saturating_sub(self.rows.start) as f64;
        let share = (id.saturating_sub(least) as f64 / (greatest - least) as f64).min(1.0);
        let (expected, margin) = (count * share, 4.0 * (count * share * (1.0 - share)).sqrt() + 1.0);
        let at = |row: f64| self.rows.start + row.clamp(0.0, count) as u64;
        at(expected - margin)..at(expected + margin + 1.0)
    }
}

/// The first bytes of an id as a number.
fn leading(id: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(bytes)
}

/// Whether an id is between two bounds. A greatest value that was cut short without being rounded up
/// still covers what begins with it. Bounds that are not there cover everything.
fn may_lie_within((least, greatest): &Bounds, id: TraceId) -> bool {
    let id: &[u8] = id.as_bytes();
    greatest.is_empty() || (&**least <= id && (id <= &**greatest || id.starts_with(greatest)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_smallest_gaps_are_read_too() {
        assert_eq!(few_reads(vec![50..60, 0..10, 12..20, 29..29, 25..30, 5..11], 6), [0..30, 50..60]);
        assert_eq!(few_reads(vec![50..60, 0..10], 40).as_slice(), std::slice::from_ref(&(0..60)));
        assert_eq!(few_reads(vec![50..60, 0..10], 39), [0..10, 50..60]);
        assert_eq!(few_reads(vec![0..100, 10..20, 30..40], 0).as_slice(), std::slice::from_ref(&(0..100)));
        assert!(few_reads(Vec::new(), 9).is_empty());
    }

    proptest! {
        #[test]
        fn few_reads_have_everything_and_little_else(starts in prop::collection::vec((0..1000_u64, 1..50_u64), 0..30), in_vain in 0..500_u64) {
            let ranges: Vec<_> = starts.into_iter().map(|(start, length)| start..start + length).collect();
            let few = few_reads(ranges.clone(), in_vain);
            prop_assert!(few.is_sorted_by(|a, b| a.end < b.start));
            for range in &ranges {
                prop_assert!(few.iter().any(|one| one.start <= range.start && range.end <= one.end), "{range:?}");
            }
            let wanted = (0..1100).filter(|at| ranges.iter().any(|range| range.contains(at))).count() as u64;
            prop_assert!(few.iter().map(|one| one.end - one.start).sum::<u64>() <= wanted + in_vain);
        }

        #[test]
        fn random_ids_are_where_they_should_be(mut ids in prop::collection::vec(any::<u128>(), 2..3000), at in any::<prop::sample::Index>()) {
            ids.sort_unstable();
            ids.dedup();
            let bytes = |id: u128| -> Box<[u8]> { id.to_be_bytes().into() };
            let bounds = (bytes(ids[0]), bytes(ids[ids.len() - 1]));
            let page = IdPage { rows: 1000..1000 + ids.len() as u64, bounds };
            let row = at.index(ids.len());
            let likely = page.likely_rows(TraceId::from_slice(&ids[row].to_be_bytes()).unwrap());
            prop_assert!(likely.contains(&(1000 + row as u64)), "{row} of {} is not in {likely:?}", ids.len());
            prop_assert!(page.rows.start <= likely.start && likely.end <= page.rows.end);
        }
    }
}
