//! Erasing a trace: where it is, and how it goes from each block.

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tempoform_block::{BlockFolder, BlockObject, BlockPath, BlockState, BlockStore, Holding, holding_of};
use tempoform_core::{Account, Error, ErrorKind, Result, TenantId, TraceId};
use uuid::Uuid;

use crate::merge::{Changes, Settings};
use crate::retention::HALF_WRITTEN;
use crate::rewrite::rewrite;

/// Blocks looked at at once.
const AT_ONCE: usize = 8;
/// How often a block is looked at again that changes while it is looked at.
const ATTEMPTS: usize = 4;

/// A block that holds a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which block.
    pub block: Uuid,
    /// What it is.
    pub state: BlockState,
    /// What it holds.
    pub holding: Holding,
}

/// A block of which it cannot be told whether it holds a trace.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// Which block.
    pub block: Uuid,
    /// What it is.
    pub state: BlockState,
    /// Why.
    pub why: Error,
}

/// Who holds a trace.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    /// Blocks that were looked at.
    pub looked_at: usize,
    /// Blocks that hold it, ids ascending.
    pub holders: Vec<Holder>,
    /// Blocks that may hold it, ids ascending.
    pub unknown: Vec<Unknown>,
}

/// Looks for a trace in every folder of a tenant: live, compacted and half written. `progress` is told how many of how
/// many blocks are done. With `trust_bloom`, blooms that say no are believed.
///
/// # Errors
/// When the blocks cannot be listed. A block that cannot be read is among the unknown ones.
pub async fn find(
    store: &BlockStore,
    tenant: &TenantId,
    id: TraceId,
    trust_bloom: bool,
    progress: &(dyn Fn(usize, usize) + Sync),
    account: &Account,
) -> Result<Holders> {
    let folders = store.folders(tenant, account).await?;
    let total = folders.len();
    let mut found = Holders { looked_at: total, ..Holders::default() };
    let looks = folders.into_iter().map(|folder| {
        let path = BlockPath::new(tenant.clone(), folder.block);
        // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
        async move { look(store, path, folder, id, trust_bloom, account).await }.boxed()
    });
    let mut looks = stream::iter(looks).buffered(AT_ONCE).enumerate();
    while let Some((number, look)) = looks.next().await {
        progress(number + 1, total);
        match look {
            Look::Holds(holder) => found.holders.push(holder),
            Look::Unknown(unknown) => found.unknown.push(unknown),
            Look::No => {}
        }
    }
    Ok(found)
}

enum Look {
    Holds(Holder),
    Unknown(Unknown),
    No,
}

/// Looks at one block. One that is marked or deleted meanwhile is looked at as what it is then.
async fn look(
    store: &BlockStore,
    path: BlockPath,
    mut folder: BlockFolder,
    id: TraceId,
    trust_bloom: bool,
    account: &Account,
) -> Look {
    let (block, mut left) = (folder.block, ATTEMPTS);
    loop {
        left -= 1;
        let error = match holding_of(store, &path, &folder, id, trust_bloom, account).await {
            Ok(None) => return Look::No,
            Ok(Some(holding)) => return Look::Holds(Holder { block, state: folder.state, holding }),
            Err(error) => error,
        };
        match store.folder(&path, account).await {
            Err(gone) if gone.is_not_found() => return Look::No,
            Ok(now) if now != folder && left > 0 => folder = now,
            _ => return Look::Unknown(Unknown { block, state: folder.state, why: error.into() }),
        }
    }
}

/// What was done about one block.
#[derive(Clone, Debug)]
pub struct Erased {
    /// The block that held the trace.
    pub block: Uuid,
    /// What it was.
    pub state: BlockState,
    /// Spans of the trace in it, each counted once; `None` where they could not be counted.
    pub spans: Option<u64>,
    /// SHA-256 of its `data.parquet`.
    pub data_sha256: [u8; 32],
    /// The block that has the other traces, and the SHA-256 of its `data.parquet`; `None` when there were none, or when
    /// the block was not live.
    pub new: Option<(Uuid, [u8; 32])>,
    /// Keys of the objects that were deleted.
    pub deleted: Vec<String>,
}

/// Takes a trace out of a block. A live one is written again without it and then marked as compacted. With `purge`,
/// its objects are deleted at once, and so are those of a block that was marked before.
///
/// # Errors
/// When the block cannot be written again: it is then as it was. A half-written block is only deleted when no upload
/// can be under way any more; before that it is an error.
pub async fn erase(
    store: &BlockStore,
    path: &BlockPath,
    id: TraceId,
    purge: bool,
    settings: &Settings,
    account: &Account,
) -> Result<Erased> {
    let folder = store.folder(path, account).await?;
    if folder.state == BlockState::HalfWritten {
        check_is_left(path, &folder)?;
    }
    let data_sha256 = store.sha256(path, &BlockObject::Data, account).await?;
    let mut erased = Erased {
        block: folder.block,
        state: folder.state,
        spans: None,
        data_sha256,
        new: None,
        deleted: Vec::new(),
    };
    match folder.state {
        BlockState::Live => {
            let changes = Changes { without: [id].into(), dedicated_columns: None };
            let rewritten = rewrite(store, path, &changes, settings, account).await?;
            erased.spans = Some(rewritten.dropped_spans);
            if let Some(meta) = rewritten.new {
                let new = BlockPath::new(path.tenant().clone(), meta.block_id);
                let sha256 = store.sha256(&new, &BlockObject::Data, account).await?;
                erased.new = Some((meta.block_id, sha256));
            }
            store.mark_compacted(path, account).await?;
        }
        BlockState::Compacted => {
            let held = holding_of(store, path, &folder, id, false, account).await?;
            erased.spans = held.and_then(|holding| holding.spans);
        }
        BlockState::HalfWritten => {}
    }
    if purge {
        // Listed anew: marking it has put another meta there.
        let objects = store.folder(path, account).await?.objects;
        store.delete_block(path, account).await?;
        erased.deleted =
            objects.into_iter().map(|object| format!("{}/{}", path.folder(), object.name)).collect();
    }
    Ok(erased)
}

/// A folder without a meta that nobody writes to any more.
fn check_is_left(path: &BlockPath, folder: &BlockFolder) -> Result<()> {
    let age: SignedDuration = Timestamp::now().duration_since(folder.since);
    if age >= HALF_WRITTEN {
        return Ok(());
    }
    let hours = HALF_WRITTEN.as_hours();
    Err(Error::new(
        ErrorKind::Unavailable,
        format!(
            "block {path} has no meta: an upload may be under way. Run this again when it has one, or {hours} hours \
             after it was written, when it counts as left by a crash"
        ),
    ))
}
