use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use tempoform_engine::target::TargetError;

use crate::ownership::Owner;

/// The folder in which one local Tempo keeps everything: see the crate's table of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDirectory(PathBuf);

impl StateDirectory {
    /// The folder, which need not exist yet. A relative path starts at the current directory.
    ///
    /// # Errors
    /// When the current directory cannot be read.
    pub fn new(path: &Path) -> io::Result<Self> {
        std::path::absolute(path).map(Self)
    }

    /// The folder of the Tempo that a document at `document` declares, when the document does not name
    /// one itself: `.tempoform/NAME`, or `.tempoform/NAMESPACE.NAME`, beside the document.
    ///
    /// # Errors
    /// When the current directory cannot be read.
    pub fn beside(document: &Path, owner: &Owner) -> io::Result<Self> {
        let folder = if document.is_dir() { document } else { document.parent().unwrap_or(Path::new("")) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // Neither part can have a dot in it, so no two are the same.
        let name = match &owner.namespace {
            Some(namespace) => format!("{namespace}.{}", owner.name),
            None => owner.name.clone(),
        };
        Self::new(&folder.join(".tempoform").join(name))
    }

    /// The folder itself, absolute.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether anything was applied here.
    pub fn exists(&self) -> bool {
        self.state_file().exists()
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.0.join("state.json")
    }

    pub(crate) fn processes_file(&self) -> PathBuf {
        self.0.join("processes.json")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    pub(crate) fn apply_lock(&self) -> PathBuf {
        self.0.join("apply.lock")
    }

    pub(crate) fn supervisor_lock(&self) -> PathBuf {
        self.0.join("supervisor.lock")
    }

    pub(crate) fn config_folder(&self) -> PathBuf {
        self.0.join("config")
    }

    /// The configuration file of an instance.
    pub fn config_file(&self, instance: &str) -> PathBuf {
        self.config_folder().join(format!("{instance}.yaml"))
    }

    /// The values of an instance's environment that the document itself gives.
    pub(crate) fn environment_file(&self, instance: &str) -> PathBuf {
        self.config_folder().join(format!("{instance}.env.json"))
    }

    pub(crate) fn overrides_file(&self) -> PathBuf {
        self.config_folder().join("overrides.yaml")
    }

    pub(crate) fn logs_folder(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The log of an instance.
    pub fn log_file(&self, instance: &str) -> PathBuf {
        self.logs_folder().join(format!("{instance}.log"))
    }

    /// The folder of write-ahead logs and, by default, of blocks.
    pub fn data_folder(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Makes the folder and those in it that every Tempo needs, readable by their owner only.
    pub(crate) fn create(&self) -> Result<(), TargetError> {
        let git_ignore = self.0.parent().filter(|parent| parent.ends_with(".tempoform"));
        for folder in [self.0.clone(), self.config_folder(), self.logs_folder(), self.data_folder()] {
            make_folder(&folder)?;
        }
        if let Some(parent) = git_ignore {
            let file = parent.join(".gitignore");
            if !file.exists() {
                // A courtesy: state and data do not belong into version control.
                let _ = fs::write(file, "*\n");
            }
        }
        Ok(())
    }
}

pub(crate) const SOCKET: &str = "supervisor.sock";

/// Makes a folder and its parents, readable by their owner only.
pub(crate) fn make_folder(folder: &Path) -> Result<(), TargetError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        TargetError::new(format!("cannot create the folder {}", folder.display()))
            .caused_by(error)
            .help("make its parent writable, or name another folder in spec.local.stateDirectory")
    })
}
