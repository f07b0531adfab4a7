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
        Self(Arc::new(Budget { limit, used: AtomicU64::new(0) }))
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
        let mut taken = 0;
        let reserved = self.0.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            taken = bytes.min(self.0.limit.saturating_sub(used));
            Some(used + taken)
        });
        let bytes = if reserved.is_ok() { taken } else { 0 };
        Reservation { budget: self.clone(), bytes }
    }

    /// Reserves `bytes` for `purpose`.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when the ceiling would be passed.
    pub fn reserve(&self, bytes: u64, purpose: &str) -> Result<Reservation> {
        let reserved = self.0.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.0.limit)
        });
        match reserved {
            Ok(_) => Ok(Reservation { budget: self.clone(), bytes }),
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
        self.budget.0.used.fetch_sub(surplus, Ordering::AcqRel);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::AcqRel);
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
}
