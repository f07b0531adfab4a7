//! What lies in a tenant's folders, object by object: for those who look after blocks, not for queries.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::ObjectStore as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tempoform_core::{Account, RequestKind, TenantId};
use uuid::Uuid;

use super::BlockStore;
use super::reads::Read;
use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{self, BlockObject, BlockPath};

/// Bytes of an object read at a time for its digest.
const DIGEST_PART: u64 = 8 << 20;

/// What readers make of a block's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockState {
    /// It has a `meta.json`.
    Live,
    /// It has a `meta.compacted.json`: merged into another block, or expired, and to be deleted.
    Compacted,
    /// It has no meta: an upload is under way, or a crash ended it.
    HalfWritten,
}

impl BlockState {
    /// For people: `live`, `compacted`, `half-written`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Compacted => "compacted",
            Self::HalfWritten => "half-written",
        }
    }
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its name below the block's folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Timestamp,
}

/// A block's folder as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFolder {
    /// Which block.
    pub block: Uuid,
    /// What it is.
    pub state: BlockState,
    /// Since when: when its meta was written, or the last object of one without.
    pub since: Timestamp,
    /// What is in it, by name.
    pub objects: Vec<StoredObject>,
}

impl BlockFolder {
    fn new(block: Uuid, mut objects: Vec<StoredObject>) -> Self {
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        let written = |name: &str| objects.iter().find(|object| object.name == name).map(|o| o.modified);
        let last = objects.iter().map(|object| object.modified).max().unwrap_or(Timestamp::UNIX_EPOCH);
        // With both metas, a crash came between writing the one and deleting the other.
        let (state, since) = match (written(paths::COMPACTED_META), written(paths::META)) {
            (Some(since), _) => (BlockState::Compacted, since),
            (None, Some(since)) => (BlockState::Live, since),
            (None, None) => (BlockState::HalfWritten, last),
        };
        Self { block, state, since, objects }
    }

    /// One of its objects.
    pub fn object(&self, object: &BlockObject) -> Option<&StoredObject> {
        let name = object.to_string();
        self.objects.iter().find(|stored| stored.name == name)
    }

    /// Bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }
}

impl BlockStore {
    /// The folders of a tenant's blocks with all that is in them, ids ascending. One listing of the tenant.
    ///
    /// # Errors
    /// The store's error.
    pub async fn folders(&self, tenant: &TenantId, account: &Account) -> Result<Vec<BlockFolder>> {
        let folders = self.list_folders(&paths::tenant_folder(tenant), "", account).await?;
        Ok(folders.into_iter().map(|(block, objects)| BlockFolder::new(block, objects)).collect())
    }

    /// One block's folder.
    ///
    /// # Errors
    /// [`BlockError::NotFound`] when there is nothing in it; otherwise the store's error.
    pub async fn folder(&self, block: &BlockPath, account: &Account) -> Result<BlockFolder> {
        let within = format!("{}/", block.block().hyphenated());
        let mut folders = self.list_folders(&block.folder(), &within, account).await?;
        let objects = folders.remove(&block.block());
        let objects = objects.ok_or_else(|| BlockError::NotFound { path: block.folder() })?;
        Ok(BlockFolder::new(block.block(), objects))
    }

    /// Objects below `folder`, whose keys follow `within` in the tenant's folder, by block.
    async fn list_folders(
        &self,
        folder: &object_store::path::Path,
        within: &str,
        account: &Account,
    ) -> Result<BTreeMap<Uuid, Vec<StoredObject>>> {
        let key = self.key(folder);
        let listed = self.0.objects.list(Some(&key)).try_filter_map(|object| {
            let below = object.location.as_ref().strip_prefix(key.as_ref());
            let below = below.map(|rest| format!("{within}{}", rest.trim_start_matches('/')));
            let found = below.as_deref().and_then(block_and_name).map(|(block, name)| {
                let modified = Timestamp::from_millisecond(object.last_modified.timestamp_millis());
                let modified = modified.unwrap_or(Timestamp::UNIX_EPOCH);
                (block, StoredObject { name: name.to_owned(), size: object.size, modified })
            });
            std::future::ready(Ok(found))
        });
        let listed: Vec<_> = self.timed("LIST", folder, account, listed.try_collect()).await?;
        let mut folders: BTreeMap<Uuid, Vec<StoredObject>> = BTreeMap::new();
        for (block, object) in listed {
            folders.entry(block).or_default().push(object);
        }
        Ok(folders)
    }

    /// The meta of a live or compacted block.
    ///
    /// # Errors
    /// As [`BlockStore::read_meta`]; [`BlockError::NotFound`] for a half-written one.
    pub async fn meta_of(
        &self,
        block: &BlockPath,
        state: BlockState,
        account: &Account,
    ) -> Result<BlockMeta> {
        match state {
            BlockState::Live => self.read_meta(block, account).await,
            BlockState::Compacted => self.read_compacted_meta(block, account).await,
            BlockState::HalfWritten => Err(BlockError::NotFound { path: block.object(&BlockObject::Meta) }),
        }
    }

    /// The SHA-256 of an object, read from the store part by part.
    ///
    /// # Errors
    /// As [`BlockStore::read`].
    pub async fn sha256(
        &self,
        block: &BlockPath,
        object: &BlockObject,
        account: &Account,
    ) -> Result<[u8; 32]> {
        let size = self.size(block, object, account).await?;
        let path = block.object(object);
        let key = self.key(&path);
        let mut hasher = Sha256::new();
        for start in (0..size).step_by(DIGEST_PART as usize) {
            let range = Some(start..size.min(start + DIGEST_PART));
            let read = Read { kind: RequestKind::Object, path: path.clone(), key: key.clone(), range };
            hasher.update(self.0.reads.get(&read, account).await?);
        }
        Ok(hasher.finalize().into())
    }
}

/// The block and the object's name of a key below a tenant's folder.
fn block_and_name(below_tenant: &str) -> Option<(Uuid, &str)> {
    let (folder, name) = below_tenant.split_once('/')?;
    let block = Uuid::try_parse(folder).ok()?;
    (block.hyphenated().to_string() == folder).then_some((block, name))
}
