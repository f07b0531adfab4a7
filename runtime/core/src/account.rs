//! What a query costs at the object store, and how much it may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempoform_wire::internal::{ReadAccount, RequestsByKind};
use tokio::time::Instant;

/// What a request to the object store is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestKind {
    /// Listing a folder. One, however many pages the list has.
    List,
    /// Asking for an object's size.
    Head,
    /// Reading a block's meta.
    Meta,
    /// Reading a tenant's index.
    Index,
    /// Reading a shard of a bloom filter.
    Bloom,
    /// Reading the end of a block's data: footer and page index.
    Footer,
    /// Reading a part of the page index that did not come with the footer.
    PageIndex,
    /// Reading pages, or whole columns.
    Range,
    /// Reading any other object of a block.
    Object,
    /// Writing or deleting.
    Write,
}

impl RequestKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::List,
        Self::Head,
        Self::Meta,
        Self::Index,
        Self::Bloom,
        Self::Footer,
        Self::PageIndex,
        Self::Range,
        Self::Object,
        Self::Write,
    ];

    /// The name in metrics and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Head => "head",
            Self::Meta => "meta",
            Self::Index => "index",
            Self::Bloom => "bloom",
            Self::Footer => "footer",
            Self::PageIndex => "page_index",
            Self::Range => "range",
            Self::Object => "object",
            Self::Write => "write",
        }
    }
}

/// Which cache had what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheTier {
    /// Memory.
    Memory,
    /// The disk cache.
    Disk,
}

impl CacheTier {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// How much a query may ask of the object store.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadLimits {
    /// Most requests, hedges and retries included; 0 = no limit.
    pub max_requests: u64,
    /// When reading ends; what is not there by then is missing from the answer.
    pub deadline: Option<Instant>,
}

/// What a query cost at the object store: counted while it runs, by every reader it uses. Clones are one account.
///
/// An account also knows how long the longest chain of reads is of which each had to wait for the one before. What
/// runs side by side must count on a [`branch`](Self::branch) of its own for that to be right.
#[derive(Clone, Debug, Default)]
pub struct Account {
    sums: Arc<Sums>,
    /// Reads behind this branch.
    depth: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Sums {
    limits: ReadLimits,
    requests: [AtomicU64; RequestKind::ALL.len()],
    /// Of accounts added that do not tell the kinds: those of an older version.
    of_unknown_kind: AtomicU64,
    bytes: AtomicU64,
    wait_nanos: AtomicU64,
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    cache_bytes: AtomicU64,
    joined: AtomicU64,
    hedged: AtomicU64,
    retried: AtomicU64,
    dependent: AtomicU64,
}

/// A read, as a link of the chain of reads that depend on one another.
#[derive(Clone, Debug)]
pub struct Step {
    account: Account,
    depth: u64,
}

impl Account {
    /// An account with limits, which readers respect.
    pub fn limited(limits: ReadLimits) -> Self {
        Self { sums: Arc::new(Sums { limits, ..Sums::default() }), depth: Arc::default() }
    }

    /// When reading ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.sums.limits.deadline
    }

    /// The same account for work that runs beside other work, and so does not wait for the other's reads.
    #[must_use]
    pub fn branch(&self) -> Self {
        let depth = AtomicU64::new(self.depth.load(Ordering::Relaxed));
        Self { sums: Arc::clone(&self.sums), depth: Arc::new(depth) }
    }

    /// Begins a read, or several at once, that had to wait for what this branch has read so far.
    pub fn step(&self) -> Step {
        Step { account: self.clone(), depth: self.depth.load(Ordering::Relaxed) + 1 }
    }

    /// Counts a request that is about to be sent.
    ///
    /// # Errors
    /// The number allowed, when that many were sent already; this one is not counted then.
    pub fn admit(&self, kind: RequestKind) -> Result<(), u64> {
        let max = self.sums.limits.max_requests;
        // Racing requests may pass the limit by a few: it protects the store, not a bill.
        if max > 0 && self.sums.sent() >= max {
            return Err(max);
        }
        self.sums.requests[kind as usize].fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A request is over that brought `bytes` after `wait`.
    pub fn answered(&self, bytes: u64, wait: Duration) {
        self.sums.bytes.fetch_add(bytes, Ordering::Relaxed);
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.sums.wait_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// A read of `bytes` that a cache answered.
    pub fn cache_hit(&self, tier: CacheTier, bytes: u64) {
        let hits = match tier {
            CacheTier::Memory => &self.sums.memory_hits,
            CacheTier::Disk => &self.sums.disk_hits,
        };
        hits.fetch_add(1, Ordering::Relaxed);
        self.sums.cache_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A read that was answered by an equal one of somebody else, which was under way.
    pub fn joined(&self) {
        self.sums.joined.fetch_add(1, Ordering::Relaxed);
    }

    /// One of the requests was sent because another, equal one was slow.
    pub fn hedged(&self) {
        self.sums.hedged.fetch_add(1, Ordering::Relaxed);
    }

    /// One of the requests was sent because an equal one had failed.
    pub fn retried(&self) {
        self.sums.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what another account counted. That ran beside what this one counts.
    pub fn add(&self, other: &ReadAccount) {
        let ReadAccount {
            requests,
            bytes,
            wait_nanos,
            cache_hits,
            cache_bytes,
            disk_hits,
            joined,
            hedged,
            retried,
            dependent_reads,
            by_kind,
        } = other;
        let by_kind = by_kind.unwrap_or_default();
        let add = |sum: &AtomicU64, more: u64| {
            sum.fetch_add(more, Ordering::Relaxed);
        };
        let mut rest = *requests;
        for kind in RequestKind::ALL {
            add(&self.sums.requests[kind as usize], of_kind(&by_kind, kind));
            rest = rest.saturating_sub(of_kind(&by_kind, kind));
        }
        add(&self.sums.of_unknown_kind, rest);
        add(&self.sums.bytes, *bytes);
        add(&self.sums.wait_nanos, *wait_nanos);
        add(&self.sums.memory_hits, cache_hits.saturating_sub(*disk_hits));
        add(&self.sums.disk_hits, *disk_hits);
        add(&self.sums.cache_bytes, *cache_bytes);
        add(&self.sums.joined, *joined);
        add(&self.sums.hedged, *hedged);
        add(&self.sums.retried, *retried);
        self.sums.dependent.fetch_max(*dependent_reads, Ordering::Relaxed);
    }

    /// The figures so far.
    pub fn snapshot(&self) -> ReadAccount {
        let Sums {
            limits: _,
            requests,
            of_unknown_kind: _,
            bytes,
            wait_nanos,
            memory_hits,
            disk_hits,
            cache_bytes,
            joined,
            hedged,
            retried,
            dependent,
        } = &*self.sums;
        let get = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        let of = |kind: RequestKind| get(&requests[kind as usize]);
        let disk_hits = get(disk_hits);
        ReadAccount {
            requests: self.sums.sent(),
            bytes: get(bytes),
            wait_nanos: get(wait_nanos),
            cache_hits: get(memory_hits) + disk_hits,
            cache_bytes: get(cache_bytes),
            disk_hits,
            joined: get(joined),
            hedged: get(hedged),
            retried: get(retried),
            dependent_reads: get(dependent),
            by_kind: Some(RequestsByKind {
                list: of(RequestKind::List),
                head: of(RequestKind::Head),
                meta: of(RequestKind::Meta),
                index: of(RequestKind::Index),
                bloom: of(RequestKind::Bloom),
                footer: of(RequestKind::Footer),
                page_index: of(RequestKind::PageIndex),
                range: of(RequestKind::Range),
                object: of(RequestKind::Object),
                write: of(RequestKind::Write),
            }),
        }
    }
}

impl Sums {
    fn sent(&self) -> u64 {
        let sent = self.requests.iter().chain([&self.of_unknown_kind]);
        sent.map(|sent| sent.load(Ordering::Relaxed)).sum()
    }
}

impl Step {
    /// The read came from the store: what this branch reads next had to wait for it.
    pub fn done(&self) {
        self.account.depth.fetch_max(self.depth, Ordering::Relaxed);
        self.account.sums.dependent.fetch_max(self.depth, Ordering::Relaxed);
    }
}

/// The requests of a kind.
pub fn of_kind(by_kind: &RequestsByKind, kind: RequestKind) -> u64 {
    let RequestsByKind { list, head, meta, index, bloom, footer, page_index, range, object, write } =
        *by_kind;
    match kind {
        RequestKind::List => list,
        RequestKind::Head => head,
        RequestKind::Meta => meta,
        RequestKind::Index => index,
        RequestKind::Bloom => bloom,
        RequestKind::Footer => footer,
        RequestKind::PageIndex => page_index,
        RequestKind::Range => range,
        RequestKind::Object => object,
        RequestKind::Write => write,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_chain_counts_and_what_runs_side_by_side_does_not_add_up() {
        let account = Account::default();
        for reads in [1, 3, 2] {
            let branch = account.branch();
            for _ in 0..reads {
                // Two reads at once are one step.
                let step = branch.step();
                step.clone().done();
                step.done();
            }
        }
        assert_eq!(account.snapshot().dependent_reads, 3);
    }

    #[test]
    fn what_one_account_counted_another_can_take_over() {
        let one = Account::default();
        for kind in RequestKind::ALL {
            one.admit(kind).expect("no limit");
        }
        one.admit(RequestKind::Bloom).expect("no limit");
        one.answered(7, Duration::from_nanos(9));
        one.cache_hit(CacheTier::Memory, 2);
        one.cache_hit(CacheTier::Disk, 3);
        one.joined();
        one.hedged();
        one.retried();
        one.step().done();
        let other = Account::default();
        other.add(&one.snapshot());
        assert_eq!(other.snapshot(), one.snapshot());
        other.add(&one.snapshot());
        let twice = other.snapshot();
        assert_eq!((twice.requests, twice.cache_hits, twice.disk_hits, twice.dependent_reads), (22, 4, 2, 1));
    }

    #[test]
    fn no_more_requests_than_allowed() {
        let account = Account::limited(ReadLimits { max_requests: 2, deadline: None });
        let sent: Vec<_> = (0..4).map(|_| account.branch().admit(RequestKind::Range)).collect();
        assert_eq!(sent, [Ok(()), Ok(()), Err(2), Err(2)]);
        assert_eq!(account.snapshot().requests, 2);
    }
}
