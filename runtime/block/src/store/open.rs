//! Stores by kind: a folder, S3, Google Cloud Storage, Azure.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::{BlockStore, StoreOptions};
use crate::error::{BlockError, Result};

impl BlockStore {
    /// A store in this process's memory, for tests.
    pub fn in_memory() -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Self::new(objects, "", StoreOptions::default(), None).expect("no prefix is a prefix")
    }

    /// A store in a folder, which is made if it is not there. Writes are synced to disk.
    ///
    /// # Errors
    /// When the folder cannot be made or entered.
    pub fn local(
        folder: &std::path::Path,
        options: StoreOptions,
        registry: Option<&prometheus::Registry>,
    ) -> Result<Self> {
        let wrong = |problem: String| BlockError::Configuration { setting: "local.path", problem };
        std::fs::create_dir_all(folder).map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
        let objects = object_store::local::LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| wrong(error.to_string()))?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        Self::new(Arc::new(objects), "", options, registry)
    }
}
