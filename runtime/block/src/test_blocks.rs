//! Real blocks, written by Grafana Tempo, that tests read.

use std::path::{Path, PathBuf};

use crate::meta::BlockMeta;
use crate::paths::BlockPath;
use crate::store::{BlockStore, StoreOptions};

/// A block of the test data.
pub(crate) struct TestBlock {
    /// Folder name in the test data: Tempo's version, the format, the dedicated columns.
    pub(crate) name: String,
    /// The bucket.
    pub(crate) bucket: PathBuf,
    /// The block's folder.
    pub(crate) folder: PathBuf,
    pub(crate) meta: BlockMeta,
}

impl TestBlock {
    pub(crate) fn path(&self) -> BlockPath {
        BlockPath::new(self.meta.tenant_id.parse().unwrap(), self.meta.block_id)
    }

    pub(crate) fn store(&self) -> BlockStore {
        let objects = object_store::local::LocalFileSystem::new_with_prefix(&self.bucket).unwrap();
        BlockStore::new(std::sync::Arc::new(objects), "", StoreOptions::default(), None).unwrap()
    }

    /// The file beside the bucket whose name starts with `prefix`, e.g. `golden.`.
    pub(crate) fn companion(&self, prefix: &str) -> String {
        let is_it = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
        let path = children(&self.bucket).into_iter().find(is_it).unwrap();
        std::fs::read_to_string(path).unwrap()
    }
}

/// All blocks of the test data.
pub(crate) fn test_blocks() -> Vec<TestBlock> {
    let folder = std::env::var("TEMPOFORM_TEST_BLOCKS")
        .expect("set TEMPOFORM_TEST_BLOCKS to the folder with the real blocks (`cargo xtask test` does)");
    let mut blocks: Vec<_> = children(Path::new(&folder)).into_iter().filter_map(open).collect();
    blocks.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!blocks.is_empty(), "{folder} holds no blocks");
    blocks
}

fn open(bucket: PathBuf) -> Option<TestBlock> {
    let tenant = bucket.join("single-tenant");
    if !tenant.is_dir() {
        return None;
    }
    let folder = children(&tenant).into_iter().find(|path| path.is_dir())?;
    let meta = BlockMeta::from_json(&std::fs::read(folder.join("meta.json")).unwrap()).unwrap();
    let name = bucket.file_name()?.to_str()?.to_owned();
    Some(TestBlock { name, bucket, folder, meta })
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}
