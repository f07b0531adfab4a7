//! Whether the log can be written, for `/ready`: who is refused every write had better go elsewhere.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::wal::create_directory;

/// Bytes that must fit before writes are called possible again: a request of usual size.
const TRIAL_BYTES: usize = 1 << 20;

/// What became of the last write, of any tenant.
#[derive(Debug, Default)]
pub(crate) struct LogHealth(Mutex<Option<Failing>>);

#[derive(Debug)]
struct Failing {
    directory: PathBuf,
    why: String,
}

impl LogHealth {
    /// A write in `directory` failed.
    pub(super) fn failed(&self, directory: PathBuf, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Failing { directory, why });
    }

    /// A write worked.
    pub(super) fn works(&self) {
        let was = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if was.is_some() {
            tracing::info!("the log can be written again");
        }
    }

    /// After a failure: tries whether a write would work now. Who is not ready may get none to find out by.
    pub(super) fn look_again(&self) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = state.as_ref().map(|failing| failing.directory.clone());
        drop(state);
        if directory.is_some_and(|directory| try_to_write(&directory).is_ok()) {
            self.works();
        }
    }

    /// Why writes fail, if they do.
    pub(crate) fn why(&self) -> Option<String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.as_ref().map(|failing| failing.why.clone())
    }
}

/// Nothing of it stays.
fn try_to_write(directory: &Path) -> io::Result<()> {
    create_directory(directory)?;
    let mut file = tempfile::tempfile_in(directory)?;
    file.write_all(&vec![0; TRIAL_BYTES])?;
    file.sync_data()
}
