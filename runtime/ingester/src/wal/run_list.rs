use std::ops::Deref;

use tempoform_core::{MemoryBudget, Reservation, Result};

use super::index::Run;

/// Runs that need not be reserved: as many as are read of an index at a time.
const UNCOUNTED: usize = 4096;
const PURPOSE: &str = "the places of a trace's spans";

/// Runs of one trace, of which there may be as many as it has spans: what a long list takes is reserved.
#[derive(Debug)]
pub(crate) struct RunList {
    runs: Vec<Run>,
    held: Reservation,
}

impl RunList {
    /// An empty one, which grows at the cost of `memory`.
    pub(crate) fn new(memory: &MemoryBudget) -> Self {
        Self { runs: Vec::new(), held: memory.reserve_up_to(0) }
    }

    /// Appends one.
    ///
    /// # Errors
    /// [`tempoform_core::ErrorKind::Exhausted`] when there is no memory for more.
    pub(crate) fn push(&mut self, run: Run) -> Result<()> {
        let length = self.runs.len();
        if length == self.runs.capacity() && length >= UNCOUNTED {
            self.held.grow_to((2 * length * size_of::<Run>()) as u64, PURPOSE)?;
            self.runs.reserve_exact(length);
        }
        self.runs.push(run);
        Ok(())
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) {
        self.runs = Vec::new();
        self.held.shrink_to(0);
    }
}

impl Deref for RunList {
    type Target = [Run];

    fn deref(&self) -> &[Run] {
        &self.runs
    }
}

#[cfg(test)]
mod tests {
    use tempoform_core::TraceId;

    use super::*;
    use crate::wal::Place;

    #[test]
    fn long_lists_are_reserved_and_given_back() {
        let memory = MemoryBudget::new(1 << 20);
        let mut list = RunList::new(&memory);
        let run = Run { trace_id: TraceId::new([1; 16]), scope: 0, place: Place::default() };
        let refused = loop {
            if let Err(refused) = list.push(run) {
                break refused;
            }
            assert!(memory.used() + (UNCOUNTED * size_of::<Run>()) as u64 >= size_of_val(&list[..]) as u64);
        };
        assert!(refused.message().contains(PURPOSE), "{refused}");
        assert_eq!(list.len(), 32_768, "37449 would fit, in a list that doubles");
        list.clear();
        assert_eq!((list.len(), memory.used()), (0, 0));
    }
}
