use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tempoform_engine::object::{Guarded, Object, ObjectId};
use tempoform_engine::render::{EnvironmentName, ResolvedPorts};
use thiserror::Error;

use crate::build::Build;
use crate::directory::StateDirectory;
use crate::files::write_atomically;
use crate::supervisor::ProcessSpec;

/// The version of `state.json` that this release writes. Older ones stay readable.
const VERSION: u32 = 1;

/// What was applied: the content of `state.json`. No secrets: they are environment references.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    version: u32,
    /// Name of the document.
    pub name: String,
    /// Of the last begun apply.
    pub guarded: Option<Guarded>,
    /// The address of every endpoint, kept over applies.
    pub ports: ResolvedPorts,
    /// The program that the last declared processes run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) build: Option<Build>,
    /// Every object that was begun, by name.
    pub objects: BTreeMap<String, Record>,
}

/// One object of the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// As it was declared.
    pub object: Object,
    /// How far its last change came.
    pub phase: Phase,
    /// Digest of the text of its file.
    pub content: String,
    /// Absent for an object that is only a file.
    pub process: Option<ProcessRecord>,
}

/// What is needed to run an object's process again, also when it is no longer declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessRecord {
    /// How it is run.
    pub spec: ProcessSpec,
    /// The variables whose values come from our own environment.
    pub environment: Vec<EnvironmentName>,
    /// Folder of its write-ahead log, if it has one.
    pub wal: Option<PathBuf>,
    /// Folder of its own that can go when it is removed and its log is empty.
    pub data: PathBuf,
}

/// How far the last change of an object came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// It was begun, and the object was not seen serving since.
    Applying,
    /// The object served.
    Applied,
    /// Its removal was begun.
    Deleting,
}

/// Why `state.json` could not be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its content is not ours.
    #[error("{} is damaged; restore it from a backup, or move it away and apply again: components are then started anew, and data stay", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A later release wrote it.
    #[error("{} has version {found}, this tempoform knows {VERSION}; use the newer tempoform", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl State {
    /// The recorded state; none where nothing was applied.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or comes from a later release.
    pub fn load(directory: &StateDirectory) -> Result<Option<Self>, StateError> {
        let path = directory.state_file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Io { action: "read", path, source }),
        };
        let version = serde_json::from_slice::<VersionOnly>(&text).map_or(0, |only| only.version);
        if version > VERSION {
            return Err(StateError::Newer { path, found: version });
        }
        serde_json::from_slice(&text).map(Some).map_err(|source| StateError::Damaged { path, source })
    }

    /// Nothing applied yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { version: VERSION, name: name.to_owned(), ..Self::default() }
    }

    /// Writes the file; after a crash it is the old or the new one, whole.
    pub(crate) fn store(&self, directory: &StateDirectory) -> Result<(), StateError> {
        let path = directory.state_file();
        let failed = |source| StateError::Io { action: "write", path: path.clone(), source };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        write_atomically(&path, &text).map_err(failed)
    }

    pub(crate) fn record(&self, id: &ObjectId) -> Option<&Record> {
        self.objects.get(&id.to_string())
    }

    pub(crate) fn record_mut(&mut self, id: &ObjectId) -> Option<&mut Record> {
        self.objects.get_mut(&id.to_string())
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn directory() -> (tempfile::TempDir, StateDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDirectory::new(folder.path()).unwrap();
        (folder, directory)
    }

    fn state() -> State {
        let mut state = State::new("traces");
        state.guarded = Some(Guarded {
            replication_factor: 3,
            ingesters: 3,
            storage: "local:/blocks".to_owned(),
            multitenancy: false,
        });
        let address = "127.0.0.1:20001".parse().unwrap();
        state.ports.insert("ingester-0", tempoform_engine::render::Endpoint::Http, address);
        let object = Object {
            id: ObjectId::new("Process", "ingester-0"),
            component: "ingester".to_owned(),
            wave: 0,
            stateful: true,
            value: json!({"target": "ingester"}),
        };
        let record = Record { object, phase: Phase::Applying, content: "d".to_owned(), process: None };
        state.objects.insert("Process/ingester-0".to_owned(), record);
        state
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let (_folder, directory) = directory();
        assert_eq!(State::load(&directory).unwrap(), None);
        state().store(&directory).unwrap();
        assert_eq!(State::load(&directory).unwrap(), Some(state()));
    }

    #[test]
    fn a_crash_while_writing_leaves_the_old_state() {
        let (folder, directory) = directory();
        state().store(&directory).unwrap();
        fs::write(folder.path().join("state.new.4711"), b"{\"version\": 1, \"na").unwrap();
        assert_eq!(State::load(&directory).unwrap(), Some(state()));
    }

    #[test]
    fn a_damaged_or_newer_state_is_refused_with_advice() {
        let (_folder, directory) = directory();
        fs::write(directory.state_file(), b"{\"version\": 1, \"name\"").unwrap();
        let damaged = State::load(&directory).unwrap_err();
        assert!(matches!(damaged, StateError::Damaged { .. }));
        assert!(damaged.to_string().contains("state.json is damaged"));
        fs::write(directory.state_file(), b"{\"version\": 9}").unwrap();
        let newer = State::load(&directory).unwrap_err();
        assert!(newer.to_string().contains("has version 9"), "{newer}");
    }
}
