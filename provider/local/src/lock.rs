use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// Held while an apply or destroy changes the state directory. Released when dropped, also by a
/// crash.
#[derive(Debug)]
pub struct ApplyLock {
    _file: File,
}

/// Why a lock could not be taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another tempoform changes this Tempo: {holder}; wait until it is done, or stop it")]
    Held {
        /// Process id and command of the holder, as it wrote them down.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ApplyLock {
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let command: Vec<String> = std::env::args().collect();
        let holder = format!("pid {} ({})", std::process::id(), command.join(" "));
        lock(path, &holder).map(|file| Self { _file: file })
    }
}

/// Locks a file for this process and writes the holder into it.
pub(crate) fn lock(path: &Path, holder: &str) -> Result<File, LockError> {
    let failed = |source: io::Error| LockError::Io { path: path.to_owned(), source };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let holder = fs::read_to_string(path).unwrap_or_default();
            return Err(LockError::Held { holder: holder.trim().to_owned() });
        }
        Err(error) => return Err(failed(error.into())),
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{holder}").map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apply.lock");
        let held = lock(&path, "pid 7 (tempoform apply)").unwrap();
        let refused = lock(&path, "pid 8 (tempoform destroy)").unwrap_err();
        assert!(refused.to_string().contains("pid 7 (tempoform apply)"), "{refused}");
        drop(held);
        assert!(lock(&path, "pid 8 (tempoform destroy)").is_ok());
    }
}
