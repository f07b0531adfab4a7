//! Whose a state directory is, and which folders of data were made for it.
//!
//! A state directory may be any folder that a document names. `owner.json` in it says that it was empty when it
//! was taken, and for which document: nothing is written or deleted in a folder without it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempoform_engine::target::TargetError;

use crate::directory::{StateDirectory, make_folder};
use crate::files::write_atomically;
use crate::state::State;

const OWNER_FILE: &str = "owner.json";

/// The document that a state directory belongs to. Displays as `NAME` or `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The content of `owner.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    #[serde(flatten)]
    owner: Owner,
    /// Folders that processes keep data in; relative ones are below the state directory.
    folders: BTreeSet<PathBuf>,
}

impl StateDirectory {
    pub(crate) fn owner_file(&self) -> PathBuf {
        self.path().join(OWNER_FILE)
    }

    /// Refuses a folder that belongs to somebody else. One that does not exist, or is empty, can be had.
    pub(crate) fn check_owner(&self, owner: &Owner) -> Result<(), TargetError> {
        let other = |found: &dyn fmt::Display| {
            TargetError::new(format!(
                "the state directory {} belongs to the Tempo {found}",
                self.path().display()
            ))
            .help(format!("name another folder for {owner} in spec.local.stateDirectory"))
        };
        match self.marker()? {
            Some(marker) if marker.owner == *owner => return Ok(()),
            Some(marker) => return Err(other(&marker.owner)),
            None => {}
        }
        match State::load(self)? {
            // Of a release that did not mark its folders.
            Some(state) if state.name == owner.name => Ok(()),
            Some(state) => Err(other(&state.name)),
            None if self.is_free()? => Ok(()),
            None => Err(TargetError::new(format!(
                "{} has files in it that are not tempoform's, so it is not taken as state directory",
                self.path().display()
            ))
            .help("name a new or empty folder in spec.local.stateDirectory, or leave the field out")),
        }
    }

    /// Takes the folder for a document, and makes what every Tempo needs in it.
    pub(crate) fn claim(&self, owner: &Owner) -> Result<(), TargetError> {
        self.check_owner(owner)?;
        make_folder(self.path())?;
        if self.marker()?.is_none() {
            // First of all: after a crash, a folder with something in it has its mark.
            self.mark(&Marker { owner: owner.clone(), folders: BTreeSet::new() })?;
        }
        self.create()
    }

    /// Notes folders that data are kept in from now on.
    pub(crate) fn remember(&self, folders: &BTreeSet<PathBuf>) -> Result<(), TargetError> {
        let Some(mut marker) = self.marker()? else { return Ok(()) };
        let known = marker.folders.len();
        marker.folders.extend(folders.iter().map(|folder| {
            folder.strip_prefix(self.path()).map_or_else(|_| folder.clone(), Path::to_path_buf)
        }));
        if marker.folders.len() > known { self.mark(&marker) } else { Ok(()) }
    }

    /// The folders that data were ever kept in, absolute.
    pub(crate) fn remembered(&self) -> Result<BTreeSet<PathBuf>, TargetError> {
        let folders = self.marker()?.map(|marker| marker.folders).unwrap_or_default();
        Ok(folders.iter().map(|folder| self.path().join(folder)).collect())
    }

    fn marker(&self) -> Result<Option<Marker>, TargetError> {
        let file = self.owner_file();
        let failed = |error: io::Error| {
            TargetError::new(format!("cannot read {}", file.display())).caused_by(error).help(
                "it says whose this folder is: if it is damaged, write {\"name\": …, \"folders\": []} into it",
            )
        };
        match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn mark(&self, marker: &Marker) -> Result<(), TargetError> {
        let file = self.owner_file();
        serde_json::to_vec_pretty(marker)
            .map_err(io::Error::from)
            .and_then(|text| write_atomically(&file, &text))
            .map_err(|error| {
                TargetError::new(format!("cannot write {}", file.display()))
                    .caused_by(error)
                    .help("make room and let the folder be writable, then run the command again")
            })
    }

    /// Whether nothing lies in the folder, or only what a crash left of taking it.
    fn is_free(&self) -> Result<bool, TargetError> {
        let entries = match fs::read_dir(self.path()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => {
                let message = format!("cannot use {} as state directory", self.path().display());
                return Err(TargetError::new(message)
                    .caused_by(error)
                    .help("name a folder of yours in spec.local.stateDirectory"));
            }
        };
        Ok(entries.flatten().all(|entry| entry.file_name().to_string_lossy().starts_with("owner.new.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(namespace: Option<&str>, name: &str) -> Owner {
        Owner { namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }

    #[test]
    fn a_folder_is_taken_once_and_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDirectory::new(&folder.path().join("state")).unwrap();
        let traces = owner(None, "traces");
        directory.check_owner(&traces).unwrap();
        directory.claim(&traces).unwrap();
        directory.claim(&traces).unwrap();
        for other in [owner(None, "others"), owner(Some("team-a"), "traces")] {
            let error = directory.claim(&other).unwrap_err();
            assert!(error.to_string().ends_with("belongs to the Tempo traces"), "{error}");
        }
    }

    #[test]
    fn a_folder_with_files_in_it_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "years").unwrap();
        let directory = StateDirectory::new(folder.path()).unwrap();
        let error = directory.claim(&owner(None, "traces")).unwrap_err();
        assert!(error.to_string().contains("files in it that are not tempoform's"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_of_data_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDirectory::new(folder.path()).unwrap();
        directory.claim(&owner(None, "traces")).unwrap();
        let folders = BTreeSet::from([folder.path().join("blocks"), PathBuf::from("/srv/blocks")]);
        directory.remember(&folders).unwrap();
        assert_eq!(directory.remembered().unwrap(), folders);
    }
}
