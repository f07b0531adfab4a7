//! Objects and ranges read lately, bounded in bytes; the one longest unused goes first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::path::Path;

use super::Content;

/// What is cached: of an object of a block of this content, all (`None`) or a range.
type Key = (Path, Content, Option<(u64, u64)>);

/// Cost of an entry besides its bytes.
const OVERHEAD: usize = 256;

#[derive(Debug)]
pub(super) struct Cache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, (Bytes, u64)>,
    by_use: BTreeMap<u64, Key>,
    clock: u64,
    used: usize,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    pub(super) fn get(&self, path: &Path, content: Content, range: Option<&Range<u64>>) -> Option<Bytes> {
        let key = key(path, content, range);
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        let (bytes, used) = state.entries.get_mut(&key)?;
        let bytes = bytes.clone();
        let before = std::mem::replace(used, now);
        state.by_use.remove(&before);
        state.by_use.insert(now, key);
        Some(bytes)
    }

    /// Keeps `bytes`, unless they would take over an eighth of the cache.
    pub(super) fn put(&self, path: &Path, content: Content, range: Option<&Range<u64>>, bytes: &Bytes) {
        if bytes.len() + OVERHEAD > self.capacity / 8 {
            return;
        }
        let key = key(path, content, range);
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        state.used += bytes.len() + OVERHEAD;
        if let Some((old, used)) = state.entries.insert(key.clone(), (bytes.clone(), now)) {
            state.used -= old.len() + OVERHEAD;
            state.by_use.remove(&used);
        }
        state.by_use.insert(now, key);
        while state.used > self.capacity {
            let Some((_, oldest)) = state.by_use.pop_first() else { break };
            if let Some((bytes, _)) = state.entries.remove(&oldest) {
                state.used -= bytes.len() + OVERHEAD;
            }
        }
    }

    /// Bytes held.
    pub(super) fn used(&self) -> usize {
        self.lock().used
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(path: &Path, content: Content, range: Option<&Range<u64>>) -> Key {
    (path.clone(), content, range.map(|range| (range.start, range.end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: Content = Content { size: 1, footer_size: 2, traces: 3 };

    fn bytes(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    #[test]
    fn longest_unused_goes_first() {
        let cache = Cache::new(8 * (1000 + OVERHEAD));
        let paths: Vec<_> = (0..9).map(|i| Path::from(format!("o{i}"))).collect();
        for path in &paths[..8] {
            cache.put(path, CONTENT, None, &bytes(1000));
        }
        assert!(cache.get(&paths[0], CONTENT, None).is_some());
        cache.put(&paths[8], CONTENT, None, &bytes(1000));
        assert!(cache.get(&paths[0], CONTENT, None).is_some(), "used lately");
        assert!(cache.get(&paths[1], CONTENT, None).is_none(), "longest unused");
        assert_eq!(cache.used(), 8 * (1000 + OVERHEAD));
    }

    #[test]
    fn replaced_and_oversize_entries_are_accounted() {
        let cache = Cache::new(8000);
        let path = Path::from("o");
        cache.put(&path, CONTENT, Some(&(0..9)), &bytes(500));
        cache.put(&path, CONTENT, Some(&(0..9)), &bytes(100));
        assert_eq!(cache.used(), 100 + OVERHEAD);
        cache.put(&path, CONTENT, None, &bytes(5000));
        assert!(cache.get(&path, CONTENT, None).is_none());
        assert_eq!(cache.get(&path, CONTENT, Some(&(0..9))).unwrap().len(), 100);
        let other = Content { size: 4, ..CONTENT };
        assert!(cache.get(&path, other, Some(&(0..9))).is_none(), "another upload of the block");
    }
}
