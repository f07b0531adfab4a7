//! Which blocks are merged with which.

use std::collections::BTreeMap;
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

/// What must be the same of blocks that are merged.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    window: i64,
    /// 0 for all in old windows.
    level: u32,
    replication_factor: u32,
    dedicated_columns: &'a [DedicatedColumn],
}

/// The jobs there are, most urgent first, and how many blocks are more than there need be.
pub(crate) fn plan<'a>(
    blocks: impl IntoIterator<Item = &'a BlockMeta>,
    limits: Limits,
    now: Timestamp,
) -> (Vec<Job>, usize) {
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
    let mut jobs = Vec::new();
    let mut outstanding = 0;
    for (kind, mut metas) in groups {
        // Small ones first: they cost readers as much as large ones.
        metas.sort_by_key(|meta| (meta.size, meta.block_id));
        for share in shares(&metas, limits) {
            outstanding += share.len() - 1;
            let mut inputs: Vec<Uuid> = share.iter().map(|meta| meta.block_id).collect();
            inputs.sort_unstable();
            jobs.push(Job { window: kind.window, inputs });
        }
    }
    // Whatever takes most blocks off the list; among these the newest, which is read most.
    jobs.sort_by_key(|job| (std::cmp::Reverse(job.inputs.len()), std::cmp::Reverse(job.window)));
    (jobs, outstanding)
}

/// Cuts `metas`, small ones first, into shares that may become one block each.
fn shares<'a, 'm>(metas: &'a [&'m BlockMeta], limits: Limits) -> Vec<&'a [&'m BlockMeta]> {
    let mut shares = Vec::new();
    let mut rest = metas;
    while rest.len() >= FEWEST {
        let (mut bytes, mut traces) = (0u64, 0u64);
        let fits = rest.iter().take(MOST).take_while(|meta| {
            bytes = bytes.saturating_add(meta.size);
            traces = traces.saturating_add(meta.total_objects);
            bytes <= limits.max_bytes && traces <= limits.max_traces
        });
        let count = fits.count();
        if count < FEWEST {
            // All that follow are larger.
            break;
        }
        let (share, others) = rest.split_at(count);
        shares.push(share);
        rest = others;
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

    fn jobs(metas: &[BlockMeta]) -> (Vec<Vec<u128>>, usize) {
        let (jobs, outstanding) = plan(metas, LIMITS, now());
        (jobs.iter().map(|job| job.inputs.iter().map(Uuid::as_u128).collect()).collect(), outstanding)
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
        assert_eq!(jobs(&metas), (vec![vec![1, 2, 5]], 2));
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
        assert_eq!((jobs.iter().map(Vec::len).collect::<Vec<_>>(), outstanding), (vec![8, 8, 4], 17));
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
