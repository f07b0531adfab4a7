use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, ErrorKind, Result};

/// A process's memory ceiling: what is held for queues, live traces and queries is reserved here
/// first, and what does not fit is refused with a reason. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: u64,
    used: AtomicU64,
    /// What this is a part of.
    whole: Option<MemoryBudget>,
}

/// Bytes held of a [`MemoryBudget`]; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    bytes: u64,
}

impl MemoryBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Budget { limit, used: AtomicU64::new(0), whole: None }))
    }

    /// A budget of `limit` bytes at most of this one: what is reserved of it counts in both.
    #[must_use]
    pub fn part(&self, limit: u64) -> Self {
        let whole = Some(self.clone());
        Self(Arc::new(Budget { limit: limit.min(self.limit()), used: AtomicU64::new(0), whole }))
    }

    /// Most encoded bytes of one trace that are worked on in one piece: a larger trace is stored in parts. Decoded they take
    /// several times as much, so it is a small share of the ceiling; and at most 32 MiB, so that components with less memory
    /// than the one that wrote can read.
    pub fn trace_part_bytes(&self) -> u64 {
        (self.limit() / 16).clamp(4 << 20, 32 << 20)
    }

    /// Whether `bytes` are free in this budget, whatever it is a part of.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.limit()
    }

    /// Bytes reserved now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The ceiling, bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Reserves as much of `bytes` as there is now; it may be nothing.
    pub fn reserve_up_to(&self, bytes: u64) -> Reservation {
        let of_whole = self.0.whole.as_ref().map(|whole| whole.reserve_up_to(bytes));
        let bytes = of_whole.as_ref().map_or(bytes, Reservation::bytes);
        let mut taken = 0;
        let reserved = self.0.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            taken = bytes.min(self.0.limit.saturating_sub(used));
            Some(used + taken)
        });
        let bytes = if reserved.is_ok() { taken } else { 0 };
        keep(of_whole, bytes);
        Reservation { budget: self.clone(), bytes }
    }

    /// Reserves `bytes` for `purpose`.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when the ceiling would be passed.
    pub fn reserve(&self, bytes: u64, purpose: &str) -> Result<Reservation> {
        let of_whole = self.0.whole.as_ref().map(|whole| whole.reserve(bytes, purpose)).transpose()?;
        let reserved = self.0.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.0.limit)
        });
        match reserved {
            Ok(_) => {
                keep(of_whole, bytes);
                Ok(Reservation { budget: self.clone(), bytes })
            }
            Err(used) => Err(Error::new(
                ErrorKind::Exhausted,
                format!(
                    "memory ceiling reached: {purpose} needs {bytes} bytes, {used} of {} are in use",
                    self.0.limit
                ),
            )),
        }
    }
}

/// Of the whole, `bytes` are held from now on by the reservation of the part.
fn keep(of_whole: Option<Reservation>, bytes: u64) {
    if let Some(mut of_whole) = of_whole {
        of_whole.bytes -= bytes;
    }
}

impl Budget {
    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(MemoryBudget(whole)) = &self.whole {
            whole.give_back(bytes);
        }
    }
}

impl Reservation {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes over what another reservation of the same budget holds.
    pub fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Holds at least `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when the ceiling would be passed; what was held stays held.
    pub fn grow_to(&mut self, bytes: u64, purpose: &str) -> Result<()> {
        if bytes > self.bytes {
            let more = self.budget.reserve(bytes - self.bytes, purpose)?;
            self.absorb(more);
        }
        Ok(())
    }

    /// Gives back all but `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.budget.0.give_back(surplus);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_passes_the_ceiling_and_comes_back() {
        let budget = MemoryBudget::new(100);
        let mut first = budget.reserve(60, "a test").expect("fits");
        let refused = budget.reserve(50, "a test").expect_err("does not fit");
        assert_eq!(refused.kind(), ErrorKind::Exhausted);
        first.absorb(budget.reserve(40, "a test").expect("fits exactly"));
        assert_eq!((first.bytes(), budget.used()), (100, 100));
        first.shrink_to(30);
        assert_eq!(budget.used(), 30);
        assert_eq!(budget.reserve_up_to(500).bytes(), 70);
        drop(first);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_a_part_holds_counts_in_the_whole() {
        let whole = MemoryBudget::new(100);
        let part = whole.part(40);
        let mut held = part.reserve(30, "a test").expect("fits");
        assert_eq!((part.used(), whole.used()), (30, 30));
        assert!(part.reserve(20, "a test").is_err() && !part.has_room(20), "more than the part");
        let others = whole.reserve(65, "a test").expect("fits");
        assert!(part.reserve(10, "a test").is_err() && part.has_room(10), "more than the whole has left");
        assert_eq!((part.used(), whole.used()), (30, 95), "what was refused is given back");
        let up_to = part.reserve_up_to(50);
        assert_eq!((up_to.bytes(), part.used(), whole.used()), (5, 35, 100));
        drop((up_to, others));
        assert_eq!(part.reserve_up_to(50).bytes(), 10);
        held.grow_to(40, "a test").expect("fits");
        held.shrink_to(5);
        assert_eq!((part.used(), whole.used()), (5, 5));
        drop(held);
        assert_eq!((part.used(), whole.used()), (0, 0));
    }
}
