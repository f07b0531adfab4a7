//! Footers parsed lately, bounded in bytes; the one longest unused goes first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Content;
use crate::paths::BlockPath;
use crate::reader::ParsedFile;

#[derive(Debug)]
pub(super) struct ParsedFiles {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<(BlockPath, Content), Entry>,
    clock: u64,
    used: usize,
}

#[derive(Debug)]
struct Entry {
    file: Arc<ParsedFile>,
    used: u64,
}

impl ParsedFiles {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    pub(super) fn get(&self, block: &BlockPath, content: Content) -> Option<Arc<ParsedFile>> {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        let entry = state.files.get_mut(&(block.clone(), content))?;
        entry.used = now;
        Some(entry.file.clone())
    }

    /// Keeps the file, unless it would take more than half of the space.
    pub(super) fn put(&self, block: &BlockPath, content: Content, file: &Arc<ParsedFile>) {
        if file.memory() > self.capacity / 2 {
            return;
        }
        let mut state = self.lock();
        state.clock += 1;
        let entry = Entry { file: file.clone(), used: state.clock };
        state.used += file.memory();
        if let Some(old) = state.files.insert((block.clone(), content), entry) {
            state.used -= old.file.memory();
        }
        while state.used > self.capacity {
            let oldest = state.files.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(entry) = oldest.and_then(|key| state.files.remove(&key)) else { break };
            state.used -= entry.file.memory();
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
