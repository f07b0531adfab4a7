//! Footers parsed lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::paths::BlockPath;
use crate::reader::ParsedFile;

/// Most footers kept; each takes some 100 KB, several hundred with many row groups.
const CAPACITY: usize = 128;

#[derive(Debug, Default)]
pub(super) struct ParsedFiles(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    files: HashMap<BlockPath, (Arc<ParsedFile>, u64)>,
    clock: u64,
}

impl ParsedFiles {
    pub(super) fn get(&self, block: &BlockPath) -> Option<Arc<ParsedFile>> {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        let (file, used) = state.files.get_mut(block)?;
        *used = now;
        Some(file.clone())
    }

    pub(super) fn put(&self, block: &BlockPath, file: &Arc<ParsedFile>) {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        state.files.insert(block.clone(), (file.clone(), now));
        if state.files.len() > CAPACITY {
            let oldest =
                state.files.iter().min_by_key(|(_, (_, used))| *used).map(|(block, _)| block.clone());
            oldest.and_then(|block| state.files.remove(&block));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
