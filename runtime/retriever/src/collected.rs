//! Distinct names or values from all blocks of a query, up to a number of bytes.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempoform_core::{MemoryBudget, Reservation, Result};
use tempoform_wire::internal::Failure;

/// What an item takes in memory beside its text, about.
const ITEM: u64 = 64;

/// Something distinct with a text.
pub(crate) trait Text: Ord {
    fn bytes(&self) -> usize;
}

impl<K: Ord> Text for (K, String) {
    fn bytes(&self) -> usize {
        self.1.len()
    }
}

/// Distinct items from all blocks.
pub(crate) struct Collected<T> {
    items: Mutex<Items<T>>,
    max_bytes: usize,
}

struct Items<T> {
    values: BTreeSet<T>,
    bytes: usize,
    /// Something did not fit any more.
    is_full: bool,
    held: Reservation,
}

impl<T: Text> Collected<T> {
    /// Takes items with at most `max_bytes` of text, and reserves memory for them.
    pub(crate) fn new(max_bytes: usize, memory: &MemoryBudget) -> Self {
        let held = memory.reserve_up_to(0);
        Self {
            items: Mutex::new(Items { values: BTreeSet::new(), bytes: 0, is_full: false, held }),
            max_bytes,
        }
    }

    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Adds what is new of `values`, as far as there is room.
    ///
    /// # Errors
    /// [`Exhausted`](tempoform_core::ErrorKind::Exhausted) when the process has no memory for more.
    pub(crate) fn add(&self, values: impl IntoIterator<Item = T>) -> Result<()> {
        let mut items = self.items();
        for value in values {
            if items.values.contains(&value) {
                continue;
            }
            let bytes = items.bytes + value.bytes();
            if bytes > self.max_bytes {
                items.is_full = true;
                return Ok(());
            }
            let memory = bytes as u64 + (items.values.len() as u64 + 1) * ITEM;
            items.held.grow_to(memory, "names or values of tags")?;
            items.bytes = bytes;
            items.values.insert(value);
        }
        Ok(())
    }

    /// Something was left out for lack of room.
    pub(crate) fn set_full(&self) {
        self.items().is_full = true;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.items().is_full
    }

    pub(crate) fn len(&self) -> usize {
        self.items().values.len()
    }

    /// That there are more, if some were left out.
    pub(crate) fn cut(&self, what: &str) -> Option<Failure> {
        self.is_full().then(|| Failure {
            source: what.to_owned(),
            message: format!("are cut at {} bytes, there are more", self.max_bytes),
        })
    }

    pub(crate) fn into_items(self) -> BTreeSet<T> {
        self.items.into_inner().unwrap_or_else(PoisonError::into_inner).values
    }

    fn items(&self) -> MutexGuard<'_, Items<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tempoform_core::ErrorKind;

    use super::*;

    fn item(text: &str) -> (&'static str, String) {
        ("string", text.to_owned())
    }

    #[test]
    fn what_does_not_fit_ends_the_collection() {
        let collected = Collected::new(10, &MemoryBudget::new(u64::MAX));
        collected.add([item("12345"), item("12345"), item("678")]).unwrap();
        assert_eq!(collected.cut("values"), None);
        collected.add([item("678"), item("901")]).unwrap();
        let cut = collected.cut("values").unwrap();
        assert_eq!(cut.message, "are cut at 10 bytes, there are more", "though two bytes are left");
        assert_eq!(collected.into_items().len(), 2);
    }

    #[test]
    fn items_are_reserved_and_given_back() {
        let memory = MemoryBudget::new(200);
        let collected = Collected::new(usize::MAX, &memory);
        collected.add([item("12345"), item("678")]).unwrap();
        assert_eq!(memory.used(), 8 + 2 * ITEM);
        let refused = collected.add([item("90"), item("12")]).unwrap_err();
        assert_eq!((refused.kind(), collected.len()), (ErrorKind::Exhausted, 2));
        drop(collected);
        assert_eq!(memory.used(), 0);
    }
}
