//! Which tenants and blocks there are, and how blocks go.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tempoform_core::{Account, RequestKind, TenantId};
use uuid::Uuid;

use super::BlockStore;
use crate::error::Result;
use crate::paths::{self, BlockObject, BlockPath};

/// What an object of a block's folder tells about the block.
enum Tells {
    Live,
    Compacted,
    Aside,
    NoCompact,
    Nothing,
    /// That it is none: somebody else uses the bucket too.
    NoBlock,
}

/// A tenant's blocks, as a listing of the bucket shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockList {
    /// Blocks with a `meta.json`.
    pub live: Vec<ListedBlock>,
    /// Blocks with a `meta.compacted.json`: compacted or expired.
    pub compacted: Vec<CompactedBlock>,
    /// Folders of blocks without a meta: uploads under way, and those that did not come to their end. One that holds anything
    /// that is not of a block is not among them.
    pub half_written: Vec<HalfWrittenBlock>,
    /// Blocks with a note that says why merging leaves them out, and when that was written.
    pub set_aside: BTreeMap<Uuid, Timestamp>,
    /// Blocks with a `nocompact.flg`: their writers have not finished with them.
    pub no_compact: BTreeSet<Uuid>,
}

/// A live block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedBlock {
    /// Which block.
    pub block: Uuid,
    /// Since when it is there: the modification time of `meta.json`.
    pub written: Timestamp,
}

/// A folder of a block without a meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfWrittenBlock {
    /// Which block.
    pub block: Uuid,
    /// When something was written into it last.
    pub last_written: Timestamp,
}

/// A compacted or expired block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactedBlock {
    /// Which block.
    pub block: Uuid,
    /// Since when: the modification time of `meta.compacted.json`.
    pub since: Timestamp,
}

impl BlockList {
    fn of(objects: Vec<(Uuid, Tells, Timestamp)>) -> Self {
        let mut list = Self::default();
        let mut last_written: BTreeMap<Uuid, Timestamp> = BTreeMap::new();
        let mut others = BTreeSet::new();
        for (block, tells, modified) in objects {
            let last = last_written.entry(block).or_insert(modified);
            *last = modified.max(*last);
            match tells {
                Tells::Live => list.live.push(ListedBlock { block, written: modified }),
                Tells::Compacted => list.compacted.push(CompactedBlock { block, since: modified }),
                Tells::Aside => {
                    list.set_aside.insert(block, modified);
                }
                Tells::NoCompact => {
                    list.no_compact.insert(block);
                }
                Tells::Nothing => {}
                Tells::NoBlock => {
                    others.insert(block);
                }
            }
        }
        list.compacted.sort_by_key(|compacted| compacted.block);
        list.live.retain(|live| list.compacted.binary_search_by_key(&live.block, |c| c.block).is_err());
        list.live.sort_by_key(|live| live.block);
        let live = list.live.iter().map(|live| live.block);
        let with_meta: BTreeSet<Uuid> = live.chain(list.compacted.iter().map(|block| block.block)).collect();
        let is_half_written = |block: &Uuid| !with_meta.contains(block) && !others.contains(block);
        let half_written = last_written.into_iter().filter(|(block, _)| is_half_written(block));
        list.half_written =
            half_written.map(|(block, last_written)| HalfWrittenBlock { block, last_written }).collect();
        list
    }
}

/// The block that a key below a tenant's folder belongs to, and what the object tells about it.
fn block_of(below_tenant: &str) -> Option<(Uuid, Tells)> {
    match paths::block_of_key(below_tenant) {
        Some((block, BlockObject::CompactedMeta)) => Some((block, Tells::Compacted)),
        Some((block, _)) => Some((block, Tells::Live)),
        None => {
            let (folder, name) = below_tenant.split_once('/')?;
            let tells = match name {
                paths::ASIDE => Tells::Aside,
                paths::NO_COMPACT => Tells::NoCompact,
                name if paths::is_block_object(name) => Tells::Nothing,
                _ => Tells::NoBlock,
            };
            let block = Uuid::try_parse(folder).ok()?;
            (block.hyphenated().to_string() == folder).then_some((block, tells))
        }
    }
}

impl BlockStore {
    /// The tenants: top-level folders that are not something else's.
    ///
    /// # Errors
    /// The store's error.
    pub async fn tenants(&self, account: &Account) -> Result<Vec<TenantId>> {
        let prefix = Some(&self.0.prefix).filter(|prefix| !prefix.as_ref().is_empty());
        let request = self.0.objects.list_with_delimiter(prefix);
        let listing = self.timed("LIST", &self.0.prefix, account, request).await?;
        let folders = listing.common_prefixes.iter().filter_map(|folder| folder.filename());
        let mut tenants: Vec<_> = folders.filter_map(paths::tenant_of_folder).collect();
        tenants.sort();
        Ok(tenants)
    }

    /// A tenant's blocks, by listing. A block that has both metas is compacted: a crash came between
    /// writing the one and deleting the other.
    ///
    /// # Errors
    /// The store's error.
    pub async fn blocks(&self, tenant: &TenantId, account: &Account) -> Result<BlockList> {
        let folder = paths::tenant_folder(tenant);
        let key = self.key(&folder);
        let objects = self.0.objects.list(Some(&key)).try_filter_map(|object| {
            let below = object.location.as_ref().strip_prefix(key.as_ref());
            let found = below.and_then(|rest| block_of(rest.trim_start_matches('/')));
            let modified = Timestamp::from_second(object.last_modified.timestamp());
            let modified = modified.unwrap_or(Timestamp::UNIX_EPOCH);
            std::future::ready(Ok(found.map(|(block, tells)| (block, tells, modified))))
        });
        let objects: Vec<_> = self.timed("LIST", &folder, account, objects.try_collect()).await?;
        Ok(BlockList::of(objects))
    }

    /// Names of the tenant's folders that may be blocks: live, compacted or half written.
    ///
    /// # Errors
    /// The store's error.
    pub async fn block_folders(&self, tenant: &TenantId, account: &Account) -> Result<Vec<Uuid>> {
        let folder = paths::tenant_folder(tenant);
        let key = self.key(&folder);
        let request = self.0.objects.list_with_delimiter(Some(&key));
        let listing = self.timed("LIST", &folder, account, request).await?;
        let names = listing.common_prefixes.iter().filter_map(|folder| folder.filename());
        Ok(names.filter_map(|name| Uuid::try_parse(name).ok()).collect())
    }

    /// Turns a live block into a compacted one: readers stop searching it, and it may be deleted later.
    ///
    /// # Errors
    /// The store's error. Calling it again is fine.
    pub async fn mark_compacted(&self, block: &BlockPath, account: &Account) -> Result<()> {
        let (live, compacted) = (block.object(&BlockObject::Meta), block.object(&BlockObject::CompactedMeta));
        // Not a copy: on a local disk that would be a link, as old as the block, and its age says when the block may go.
        let meta = self.get(RequestKind::Meta, &live, account).await?;
        self.put(&compacted, meta, account).await?;
        self.delete(&live, account).await
    }

    /// Deletes a block: first what makes it a block, then everything in its folder.
    ///
    /// # Errors
    /// The store's error. Calling it again is fine.
    pub async fn delete_block(&self, block: &BlockPath, account: &Account) -> Result<()> {
        self.delete(&block.object(&BlockObject::Meta), account).await?;
        self.delete(&block.object(&BlockObject::CompactedMeta), account).await?;
        let folder = block.folder();
        let key = self.key(&folder);
        let objects = self.0.objects.list(Some(&key)).map_ok(|object| object.location).boxed();
        let deleted = self.0.objects.delete_stream(objects);
        let gone = deleted.try_for_each(|_| std::future::ready(Ok(())));
        match self.timed("DELETE", &folder, account, gone).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }
}
