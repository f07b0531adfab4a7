//! Which blocks are merged with which.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use tempoform_block::{BlockMeta, DedicatedColumn};
use uuid::Uuid;

/// Fewest and most blocks merged at once: fewer waste work, more need more memory.
const FEWEST: usize = 2;
const MOST: usize = 8;
/// Within this time only blocks that were merged equally often are merged, so that no span is written again too often.
/// What is older comes into as few blocks as its limits allow.
const ACTIVE: Duration = Duration::from_secs(24 * 3600);

/// What blocks made by merging may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) window: Duration,
    pub(crate) max_bytes: u64,
    pub(crate) max_traces: u64,
}

/// Blocks to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Window of time, counted since 1970; also who does the job depends on it.
    pub(crate) window: i64,
    /// Ascending.
    pub(crate) inputs: Vec<Uuid>,
}

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Merges that can be done now, most urgent first.
    pub(crate) jobs: Vec<Job>,
    pub(crate) backlog: Backlog,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Blocks that are more than there would be once all is merged, with what merged blocks are merged into later.
    pub(crate) blocks: u64,
    /// Of the blocks in jobs that can be done now.
    pub(crate) bytes: u64,
}

impl std::ops::AddAssign for Backlog {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

/// What must be the same of blocks that are merged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    window: i64,
    /// 0 for all in old windows.
    level: u32,
    replication_factor: u32,
    dedicated_columns: &'a [DedicatedColumn],
}

/// What there is to do about `blocks`.
pub(crate) fn plan<'a>(
    blocks: impl IntoIterator<Item = &'a BlockMeta>,
    limits: Limits,
    now: Timestamp,
) -> Plan {
    let width = i64::try_from(limits.window.as_secs()).unwrap_or(i64::MAX).max(1);
    let active = now.checked_sub(ACTIVE).unwrap_or(Timestamp::MIN).as_second().div_euclid(width);
    let mut groups: BTreeMap<Kind<'a>, Vec<&'a BlockMeta>> = BTreeMap::new();
    for meta in blocks.into_iter().filter(|meta| meta.version.is_readable()) {
        let window = meta.end_time.as_second().div_euclid(width);
        let kind = Kind {
            window,
            level: if window > active { meta.compaction_level } else { 0 },
            replication_factor: meta.replication_factor,
            dedicated_columns: &meta.dedicated_columns,
        };
        groups.entry(kind).or_default().push(meta);
    }
    let mut plan = Plan::default();
    let mut extents: BTreeMap<Kind<'a>, Vec<Extent>> = BTreeMap::new();
    for (kind, mut metas) in groups {
        // Small ones first: they cost readers as much as large ones.
        metas.sort_by_key(|meta| (meta.size, meta.block_id));
        let of: Vec<Extent> = metas.iter().map(|meta| Extent::of(meta)).collect();
        for share in shares(&of, limits) {
            plan.backlog.bytes += of[share.clone()].iter().map(|extent| extent.bytes).sum::<u64>();
            let mut inputs: Vec<Uuid> = metas[share].iter().map(|meta| meta.block_id).collect();
            inputs.sort_unstable();
            plan.jobs.push(Job { window: kind.window, inputs });
        }
        extents.insert(kind, of);
    }
    plan.backlog.blocks = surplus(extents, limits, active);
    // Whatever takes most blocks off the list; among these the newest, which is read most.
    plan.jobs.sort_by_key(|job| (std::cmp::Reverse(job.inputs.len()), std::cmp::Reverse(job.window)));
    plan
}

/// How large a block is, or a merged one will be at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Extent {
    bytes: u64,
    traces: u64,
}

impl Extent {
    fn of(meta: &BlockMeta) -> Self {
        Self { bytes: meta.size, traces: meta.total_objects }
    }

    fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            traces: self.traces.saturating_add(other.traces),
        }
    }
}

/// How many blocks go if everything is merged, what comes of that as well, until nothing is left to do.
fn surplus(mut groups: BTreeMap<Kind<'_>, Vec<Extent>>, limits: Limits, active: i64) -> u64 {
    let mut surplus = 0;
    // A merged block comes into the same group again, or into one behind it.
    while let Some((kind, mut extents)) = groups.pop_first() {
        extents.sort_unstable();
        let shares = shares(&extents, limits);
        let Some(taken) = shares.last().map(|last| last.end) else { continue };
        let merged: Vec<Extent> = shares
            .iter()
            .filter_map(|share| extents[share.clone()].iter().copied().reduce(Extent::and))
            .collect();
        surplus += (taken - shares.len()) as u64;
        let level = if kind.window > active { kind.level + 1 } else { 0 };
        groups.entry(Kind { level, ..kind }).or_default().extend(merged);
        if level == kind.level {
            groups.entry(kind).or_default().extend_from_slice(&extents[taken..]);
        }
    }
    surplus
}

/// Cuts `extents`, small ones first, into shares that may become one block each; the first begins with the first.
fn shares(extents: &[Extent], limits: Limits) -> Vec<Range<usize>> {
    let mut shares = Vec::new();
    let mut start = 0;
    while extents.len() - start >= FEWEST {
        let mut sum = Extent { bytes: 0, traces: 0 };
        let fits = extents[start..].iter().take(MOST).take_while(|extent| {
            sum = sum.and(**extent);
            sum.bytes <= limits.max_bytes && sum.traces <= limits.max_traces
        });
        let count = fits.count();
        if count < FEWEST {
            // All that follow are larger.
            break;
        }
        shares.push(start..start + count);
        start += count;
    }
    shares
}

#[cfg(test)]
mod tests {
    use tempoform_block::BlockVersion;

    use super::*;

    const LIMITS: Limits = Limits { window: Duration::from_secs(3600), max_bytes: 1000, max_traces: 1000 };

    fn now() -> Timestamp {
        Timestamp::from_second(10_000_000).expect("a time")
    }

    fn meta(number: u128, age: i64, level: u32, size: u64) -> BlockMeta {
        let mut meta = BlockMeta::new(BlockVersion::VParquet4, Uuid::from_u128(number), "t");
        meta.end_time = now() - jiff::SignedDuration::from_secs(age);
        (meta.compaction_level, meta.size, meta.total_objects) = (level, size, 1);
        meta
    }

    fn jobs(metas: &[BlockMeta]) -> (Vec<Vec<u128>>, u64) {
        let Plan { jobs, backlog } = plan(metas, LIMITS, now());
        (jobs.iter().map(|job| job.inputs.iter().map(Uuid::as_u128).collect()).collect(), backlog.blocks)
    }

    #[test]
    fn blocks_of_one_window_and_level_are_merged() {
        let metas = [
            meta(1, 10, 0, 10),
            meta(2, 20, 0, 10),
            meta(3, 30, 1, 10),
            meta(4, 7200, 0, 10),
            meta(5, 40, 0, 10),
        ];
        assert_eq!(jobs(&metas), (vec![vec![1, 2, 5]], 3), "two, and then the one of level 1");
    }

    #[test]
    fn old_windows_come_into_few_blocks_whatever_their_level() {
        let day = 48 * 3600;
        let metas = [meta(1, day, 0, 10), meta(2, day, 3, 10), meta(3, day + 36_000, 0, 10)];
        assert_eq!(jobs(&metas), (vec![vec![1, 2]], 1));
    }

    #[test]
    fn no_block_gets_larger_than_allowed() {
        let metas = [meta(1, 10, 0, 600), meta(2, 10, 0, 500), meta(3, 10, 0, 300), meta(4, 10, 0, 2000)];
        assert_eq!(jobs(&metas), (vec![vec![2, 3]], 1));
        assert_eq!(jobs(&[meta(1, 10, 0, 600), meta(2, 10, 0, 500)]), (Vec::new(), 0));
        let many: Vec<_> = (0..20).map(|n| meta(n, 10, 0, 1)).collect();
        let (jobs, outstanding) = jobs(&many);
        assert_eq!((jobs.iter().map(Vec::len).collect::<Vec<_>>(), outstanding), (vec![8, 8, 4], 19));
    }

    #[test]
    fn the_backlog_is_what_merging_takes_off_in_all() {
        for (age, count) in [(10, 1000), (48 * 3600, 1000), (10, 9)] {
            let metas: Vec<_> = (0..count).map(|n| meta(n, age, 0, 1)).collect();
            let limits = Limits { max_traces: 1 << 20, ..LIMITS };
            let backlog = plan(&metas, limits, now()).backlog;
            // Eight and one become two of different levels in the window that is written to now.
            let left = if count == 9 { 2 } else { 1 };
            assert_eq!(backlog.blocks, count as u64 - left, "{count} of age {age}");
            let in_jobs = if count == 9 { 8 } else { count as u64 };
            assert_eq!(backlog.bytes, in_jobs);
        }
    }

    #[test]
    fn only_like_is_merged_with_like() {
        let mut other = meta(2, 10, 0, 10);
        other.replication_factor = 1;
        let mut unreadable = meta(3, 10, 0, 10);
        unreadable.version = BlockVersion::Other("v2".into());
        assert_eq!(jobs(&[meta(1, 10, 0, 10), other, unreadable]), (Vec::new(), 0));
    }
}
