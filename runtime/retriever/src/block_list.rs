//! Which blocks there are, by tenant, as of the last poll.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tempoform_block::BlockMeta;
use tempoform_core::TenantId;
use tempoform_wire::internal::Failure;
use uuid::Uuid;

/// How far the clocks of the store, of the one who lists and ours may be apart, the time of a listing included.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// All tenants' blocks.
#[derive(Clone, Debug)]
pub(crate) struct BlockList {
    /// When the poll that this is from began.
    pub(crate) polled: Instant,
    pub(crate) tenants: HashMap<TenantId, Arc<TenantBlocks>>,
    /// Tenants that are there but could not be listed yet, with the reason.
    pub(crate) unlisted: HashMap<TenantId, String>,
}

impl BlockList {
    /// Without tenants.
    pub(crate) fn empty(polled: Instant) -> Self {
        Self { polled, tenants: HashMap::new(), unlisted: HashMap::new() }
    }
}

/// One tenant's blocks.
#[derive(Clone, Debug)]
pub(crate) struct TenantBlocks {
    /// Latest end first.
    pub(crate) live: Vec<Arc<BlockMeta>>,
    pub(crate) compacted: Vec<Compacted>,
    /// No answer that they may have something for is complete.
    pub(crate) unreadable: Vec<Unreadable>,
    /// When the listing that this is from began.
    pub(crate) as_of: Timestamp,
    /// When the last poll began that could list the tenant. (With an index, that is after `as_of`: newer blocks are added.)
    pub(crate) polled: Instant,
}

/// A block that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    pub(crate) failure: Failure,
    /// If that at least can be read.
    pub(crate) meta: Option<Arc<BlockMeta>>,
}

/// A block whose spans are in another one by now, or that is past its retention.
#[derive(Clone, Debug)]
pub(crate) struct Compacted {
    pub(crate) meta: Arc<BlockMeta>,
    pub(crate) since: Timestamp,
}

impl Unreadable {
    /// A block of a format that is not read.
    fn version(meta: Arc<BlockMeta>) -> Self {
        let failure = Failure {
            source: format!("block {}", meta.block_id),
            message: format!("has format {}; readable are vParquet3, vParquet4 and vParquet5", meta.version),
        };
        Self { failure, meta: Some(meta) }
    }
}

impl TenantBlocks {
    pub(crate) fn new(
        mut live: Vec<Arc<BlockMeta>>,
        mut compacted: Vec<Compacted>,
        mut unreadable: Vec<Unreadable>,
        as_of: Timestamp,
    ) -> Self {
        live.retain(|meta| !meta.version.is_preview());
        compacted.retain(|block| block.meta.version.is_readable());
        live.sort_by_key(|meta| (std::cmp::Reverse(meta.end_time), meta.block_id));
        let unsupported = live.extract_if(.., |meta| !meta.version.is_readable());
        unreadable.extend(unsupported.map(Unreadable::version));
        Self { live, compacted, unreadable, as_of, polled: Instant::now() }
    }

    pub(crate) fn empty(as_of: Timestamp) -> Self {
        Self::new(Vec::new(), Vec::new(), Vec::new(), as_of)
    }

    /// The list as one of a poll that began then.
    pub(crate) fn polled_at(self, polled: Instant) -> Self {
        Self { polled, ..self }
    }

    /// That the list is older than `max_age`, if it is.
    pub(crate) fn stale(&self, max_age: Duration) -> Option<Failure> {
        let age = self.polled.elapsed();
        (age > max_age).then(|| Failure {
            source: "the block list".to_owned(),
            message: format!("is {} min old, polls fail; newer blocks may be missing", age.as_secs() / 60),
        })
    }

    /// The blocks in which a trace is looked for: all live ones whose times touch the range, and compacted
    /// ones younger than `keep`, since the list may not have the block that their spans went to.
    pub(crate) fn for_trace(
        &self,
        range: Range,
        keep: SignedDuration,
        now: Timestamp,
    ) -> Vec<Arc<BlockMeta>> {
        let young = self.compacted.iter().filter(|block| now.duration_since(block.since) < keep);
        let metas = self.live.iter().chain(young.map(|block| &block.meta));
        metas.filter(|meta| range.touches(meta)).cloned().collect()
    }

    /// The blocks that are searched, latest end first: live ones, and those that were compacted while they were
    /// being listed. The block that their spans went to may have been written behind the listing's back.
    pub(crate) fn for_search(&self, range: Range) -> Vec<Arc<BlockMeta>> {
        let listed = self.as_of - CLOCK_MARGIN;
        let during_listing =
            self.compacted.iter().filter(|block| block.since >= listed).map(|block| &block.meta);
        let mut metas: Vec<_> =
            self.live.iter().chain(during_listing).filter(|meta| range.touches(meta)).cloned().collect();
        metas.sort_by_key(|meta| std::cmp::Reverse(meta.end_time));
        metas
    }

    /// The blocks that cannot be read and may have something in the range.
    pub(crate) fn unreadable(&self, range: Range) -> Vec<Failure> {
        let may_matter = |one: &&Unreadable| one.meta.as_ref().is_none_or(|meta| range.touches(meta));
        self.unreadable.iter().filter(may_matter).map(|one| one.failure.clone()).collect()
    }

    /// Whether this very block is listed: one of the same id may have been written again after a crash.
    pub(crate) fn knows(&self, meta: &BlockMeta) -> bool {
        self.live.iter().any(|live| **live == *meta)
            || self.compacted.iter().any(|compacted| compacted.meta.block_id == meta.block_id)
    }

    /// The ids of all blocks that are listed, readable or not.
    pub(crate) fn heard_of(&self) -> HashSet<Uuid> {
        let unreadable = self.unreadable.iter().filter_map(|one| one.meta.as_ref());
        self.metas().chain(unreadable).map(|meta| meta.block_id).collect()
    }

    /// Adds a live block, in place of one of the same id.
    pub(crate) fn add(&mut self, meta: Arc<BlockMeta>) {
        if meta.version.is_preview() {
            return;
        }
        if !meta.version.is_readable() {
            self.unreadable.push(Unreadable::version(meta));
            return;
        }
        self.live.retain(|live| live.block_id != meta.block_id);
        let at = self.live.partition_point(|live| live.end_time > meta.end_time);
        self.live.insert(at, meta);
    }

    /// Whether what was written at a time may be newer than this list.
    pub(crate) fn may_miss(&self, written: Timestamp) -> bool {
        written >= self.as_of - CLOCK_MARGIN
    }

    /// All metas, to be used again by the next poll.
    pub(crate) fn metas(&self) -> impl Iterator<Item = &Arc<BlockMeta>> {
        self.live.iter().chain(self.compacted.iter().map(|block| &block.meta))
    }
}

/// A time range of a query, inclusive. 0 = no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    start: Timestamp,
    end: Timestamp,
}

impl Range {
    /// From unix seconds.
    pub(crate) fn of_seconds(start: u64, end: u64) -> Self {
        let at = |seconds: u64| {
            i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok())
        };
        Self {
            start: if start == 0 { Timestamp::MIN } else { at(start).unwrap_or(Timestamp::MAX) },
            end: if end == 0 { Timestamp::MAX } else { at(end).unwrap_or(Timestamp::MAX) },
        }
    }

    pub(crate) fn touches(&self, meta: &BlockMeta) -> bool {
        meta.overlaps(self.start, self.end)
    }

    /// The bounds as nanoseconds since 1970.
    pub(crate) fn unix_nanos(&self) -> (u64, u64) {
        let nanos = |at: Timestamp| u64::try_from(at.as_nanosecond().max(0)).unwrap_or(u64::MAX);
        (nanos(self.start), if self.end == Timestamp::MAX { u64::MAX } else { nanos(self.end) })
    }
}

#[cfg(test)]
mod tests {
    use tempoform_block::BlockVersion;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn meta(number: u128, start: i64, end: i64) -> Arc<BlockMeta> {
        let mut meta = BlockMeta::new(BlockVersion::VParquet4, Uuid::from_u128(number), "t");
        (meta.start_time, meta.end_time) = (at(start), at(end));
        Arc::new(meta)
    }

    fn numbers(metas: &[Arc<BlockMeta>]) -> Vec<u128> {
        metas.iter().map(|meta| meta.block_id.as_u128()).collect()
    }

    fn list() -> TenantBlocks {
        let compacted = |number, since| Compacted { meta: meta(number, 100, 250), since: at(since) };
        TenantBlocks::new(
            vec![meta(1, 100, 200), meta(2, 150, 300)],
            vec![compacted(3, 1000), compacted(4, 500)],
            Vec::new(),
            at(1030),
        )
    }

    #[test]
    fn newest_blocks_are_searched_first_and_only_where_times_touch() {
        let list =
            TenantBlocks::new(vec![meta(1, 100, 200), meta(2, 150, 300)], Vec::new(), Vec::new(), at(0));
        assert_eq!(numbers(&list.for_search(Range::of_seconds(0, 0))), [2, 1]);
        assert_eq!(numbers(&list.for_search(Range::of_seconds(200, 900))), [2, 1]);
        assert_eq!(numbers(&list.for_search(Range::of_seconds(201, 900))), [2]);
        assert_eq!(numbers(&list.for_search(Range::of_seconds(1, 149))), [1]);
    }

    #[test]
    fn a_block_compacted_during_the_listing_is_still_searched() {
        assert_eq!(numbers(&list().for_search(Range::of_seconds(0, 0))), [2, 3, 1]);
    }

    #[test]
    fn traces_are_found_in_compacted_blocks_for_a_while() {
        let (keep, all) = (SignedDuration::from_secs(120), Range::of_seconds(0, 0));
        assert_eq!(numbers(&list().for_trace(all, keep, at(1100))), [2, 1, 3]);
        assert_eq!(numbers(&list().for_trace(all, keep, at(1120))), [2, 1]);
        assert!(list().knows(&meta(4, 0, 0)) && !list().knows(&meta(5, 0, 0)));
    }

    #[test]
    fn formats_that_cannot_be_read_are_named_and_previews_ignored() {
        let mut old = BlockMeta::new(BlockVersion::Other("v2".into()), Uuid::from_u128(9), "t");
        old.end_time = at(1);
        let preview =
            BlockMeta::new(BlockVersion::Other("vParquet9-preview".into()), Uuid::from_u128(8), "t");
        let list = TenantBlocks::new(vec![Arc::new(old), Arc::new(preview)], Vec::new(), Vec::new(), at(0));
        assert!(list.live.is_empty());
        let [failure] = &list.unreadable(Range::of_seconds(0, 0))[..] else { panic!("{list:?}") };
        assert!(list.unreadable(Range::of_seconds(5, 9)).is_empty(), "its times are known");
        assert!(failure.source.ends_with("09") && failure.message.contains("v2"), "{failure:?}");
    }

    #[test]
    fn bounds_in_nanoseconds() {
        assert_eq!(Range::of_seconds(0, 0).unix_nanos(), (0, u64::MAX));
        assert_eq!(Range::of_seconds(10, 20).unix_nanos(), (10_000_000_000, 20_000_000_000));
    }
}
