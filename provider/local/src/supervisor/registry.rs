use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::directory::StateDirectory;
use crate::files::write_atomically;

use super::protocol::InstanceStatus;

/// What the supervisor knows, in memory and in `processes.json`.
pub(super) struct Registry {
    directory: StateDirectory,
    instances: Mutex<BTreeMap<String, InstanceStatus>>,
}

impl Registry {
    /// What a former supervisor of this directory wrote down. A damaged file counts as none:
    /// the next apply starts what is missing, and finds what runs by its mark.
    pub(super) fn load(directory: &StateDirectory) -> Self {
        let former = recorded(directory);
        let instances = former.into_iter().map(|status| (status.spec.instance.clone(), status)).collect();
        Self { directory: directory.clone(), instances: Mutex::new(instances) }
    }

    pub(super) fn directory(&self) -> &StateDirectory {
        &self.directory
    }

    pub(super) fn all(&self) -> Vec<InstanceStatus> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn get(&self, instance: &str) -> Option<InstanceStatus> {
        self.lock().get(instance).cloned()
    }

    pub(super) fn insert(&self, status: InstanceStatus) {
        self.lock().insert(status.spec.instance.clone(), status);
        self.store();
    }

    pub(super) fn remove(&self, instance: &str) {
        self.lock().remove(instance);
        self.store();
    }

    pub(super) fn update(&self, instance: &str, change: impl FnOnce(&mut InstanceStatus)) {
        if let Some(status) = self.lock().get_mut(instance) {
            change(status);
        }
        self.store();
    }

    fn store(&self) {
        let instances = self.all();
        let written = serde_json::to_vec_pretty(&instances)
            .map_err(io::Error::from)
            .and_then(|text| write_atomically(&self.directory.processes_file(), &text));
        if let Err(error) = written {
            tracing::error!(%error, "cannot write processes.json; a restart of the supervisor may lose track");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, InstanceStatus>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the last supervisor of this directory wrote down.
pub fn recorded(directory: &StateDirectory) -> Vec<InstanceStatus> {
    match std::fs::read(directory.processes_file()) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "processes.json is damaged; beginning with none");
            Vec::new()
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "processes.json cannot be read; beginning with none");
            Vec::new()
        }
    }
}
