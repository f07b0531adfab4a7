//! A block written again: in the newest format that is written, with other dedicated columns, or without some traces.
//!
//! In memory are a part of the block as read and as written (some 32 MiB each), one row group, the blooms, and the
//! largest trace; see [`Settings`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tempoform_block::verify::{Verified, verify};
use tempoform_block::{
    BlockFolder, BlockMeta, BlockObject, BlockPath, BlockState, BlockStore, CompactedMeta, TenantIndex,
};
use tempoform_core::{Account, Error, ErrorKind, Result, TenantId, TraceId};
use tempoform_wire::otlp::{KeyValue, TracesData};
use uuid::Uuid;

use crate::merge::{Changes, Failed, Merged, NAMESPACE, Settings, Source, merge};

/// Metas read at once.
const METAS_AT_ONCE: usize = 16;

/// A block that was written again.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The new block, live and verified; `None` when nothing was left to write.
    pub new: Option<BlockMeta>,
    /// What the check of the new block came to; there are no findings in it.
    pub verified: Verified,
    /// Spans of the traces that were left out.
    pub dropped_spans: u64,
    /// Spans that the old block had more than once, which the new one has once.
    pub duplicate_spans: u64,
}

impl From<Failed> for Error {
    fn from(Failed { cause: _, error }: Failed) -> Self {
        error
    }
}

/// Writes a live block again, with `changes`. The new block is checked whole, and read beside the old one, trace by
/// trace; only then is it given. The old block stays as it is: [`BlockStore::mark_compacted`] is the caller's.
///
/// The id of the new block follows from the old one's and the changes, so that what a crash interrupted is taken up.
///
/// # Errors
/// When the block is not live or still belongs to its writer, cannot be read, or the new one is not equal: that is
/// then deleted, and the old one is untouched.
pub async fn rewrite(
    store: &BlockStore,
    old: &BlockPath,
    changes: &Changes,
    settings: &Settings,
    account: &Account,
) -> Result<Rewritten> {
    let folder = store.folder(old, account).await?;
    check_is_free(old, &folder)?;
    let meta = Arc::new(store.read_meta(old, account).await?);
    let (new, is_there) = place(store, old, changes, account).await?;
    let merged = if is_there {
        // Written before a crash. What is in it is looked at below like what is written now.
        let meta = Some(store.read_meta(&new, account).await?);
        Merged { meta, duplicate_spans: 0 }
    } else {
        merge(store, std::slice::from_ref(&meta), &new, changes, settings, account).await?
    };
    match check(store, old, &meta, merged.meta.as_ref(), changes, settings, account).await {
        Ok((verified, compared)) => Ok(Rewritten {
            new: merged.meta,
            verified,
            dropped_spans: compared.dropped_spans,
            duplicate_spans: merged.duplicate_spans,
        }),
        Err(error) => {
            let left = undo(store, old, &new, error.kind(), account).await.err();
            Err(Error::new(error.kind(), format!("{error}{}", left.unwrap_or_default())))
        }
    }
}

/// Deletes a new block that was found wrong. It stays where it could not be compared, or where the old one has gone
/// meanwhile: then somebody else may have done the same work, and the new block may be all there is.
///
/// # Errors
/// Why it stays, to be added to what was found.
async fn undo(
    store: &BlockStore,
    old: &BlockPath,
    new: &BlockPath,
    found: ErrorKind,
    account: &Account,
) -> Result<(), String> {
    let stays = |why: &str| Err(format!("; block {new} stays in the store, since {why}"));
    if found != ErrorKind::Internal {
        return stays(
            "it could not be compared; readers drop the copies, and the same command goes on from here",
        );
    }
    match store.folder(old, account).await {
        Ok(BlockFolder { state: BlockState::Live, .. }) => {}
        Ok(_) => return stays("the old one is not live any more"),
        Err(error) => return stays(&format!("the old one cannot be looked at: {}", Error::from(error))),
    }
    let deleted = store.delete_block(new, account).await;
    deleted.map_err(|error| format!("; and block {new} could not be deleted: {}", Error::from(error)))
}

fn check_is_free(path: &BlockPath, folder: &BlockFolder) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::Invalid, format!("block {path} {why}")));
    match folder.state {
        BlockState::Compacted => refuse("is marked as compacted, and about to be deleted"),
        BlockState::HalfWritten => refuse("has no meta: it is being written, or was left half written"),
        BlockState::Live if folder.object(&BlockObject::NoCompact).is_some() => refuse(
            "has a nocompact.flg: its writer has not finished with it, and may write it again; try later",
        ),
        BlockState::Live => Ok(()),
    }
}

/// Where the new block goes, and whether it is there already. An id that a block had which was compacted since is
/// passed over.
async fn place(
    store: &BlockStore,
    old: &BlockPath,
    changes: &Changes,
    account: &Account,
) -> Result<(BlockPath, bool)> {
    for attempt in 0..=u8::MAX {
        let path = BlockPath::new(old.tenant().clone(), rewritten_id(old.block(), changes, attempt));
        match store.folder(&path, account).await {
            Err(error) if error.is_not_found() => return Ok((path, false)),
            Err(error) => return Err(error.into()),
            Ok(BlockFolder { state: BlockState::Live, .. }) => return Ok((path, true)),
            Ok(BlockFolder { state: BlockState::HalfWritten, .. }) => return Ok((path, false)),
            Ok(BlockFolder { state: BlockState::Compacted, .. }) => {}
        }
    }
    Err(Error::new(ErrorKind::Internal, format!("block {old} was written again too often")))
}

/// The id of a block written again with `changes`.
fn rewritten_id(old: Uuid, changes: &Changes, attempt: u8) -> Uuid {
    let Changes { without, dedicated_columns } = changes;
    let mut name = old.as_bytes().to_vec();
    without.iter().for_each(|id| name.extend_from_slice(id.as_bytes()));
    for column in dedicated_columns.iter().flatten() {
        name.extend_from_slice(format!("{column:?}\n").as_bytes());
    }
    name.push(attempt);
    Uuid::new_v5(&NAMESPACE, &name)
}

async fn check(
    store: &BlockStore,
    old: &BlockPath,
    old_meta: &BlockMeta,
    new_meta: Option<&BlockMeta>,
    changes: &Changes,
    settings: &Settings,
    account: &Account,
) -> Result<(Verified, Compared)> {
    let compared = compare(store, old, old_meta, new_meta, &changes.without, settings, account).await?;
    let Some(new_meta) = new_meta else { return Ok((Verified::default(), compared)) };
    let new = BlockPath::new(old.tenant().clone(), new_meta.block_id);
    let folder = store.folder(&new, account).await?;
    let verified = verify(store, &new, &folder, account).await?;
    match verified.findings.first() {
        None => Ok((verified, compared)),
        Some(finding) => {
            let problem = format!("the block written in the place of {old} is not whole: {finding}");
            Err(Error::new(ErrorKind::Internal, problem))
        }
    }
}

struct Compared {
    /// Of the old block's traces that are to be left out.
    dropped_spans: u64,
}

/// Reads two blocks side by side: the new one has every trace of the old one, but for those in `without`.
async fn compare(
    store: &BlockStore,
    old: &BlockPath,
    old_meta: &BlockMeta,
    new_meta: Option<&BlockMeta>,
    without: &BTreeSet<TraceId>,
    settings: &Settings,
    account: &Account,
) -> Result<Compared> {
    let differs = |id: TraceId, how: &str| {
        let problem = format!("the block written in the place of {old} is not equal to it: trace {id} {how}");
        Error::new(ErrorKind::Internal, problem)
    };
    let mut before = Source::open(store, old, old_meta, &settings.memory, account).await?;
    let mut after = match new_meta {
        None => None,
        Some(meta) => Some(Source::open(store, old, meta, &settings.memory, account).await?),
    };
    let mut compared = Compared { dropped_spans: 0 };
    while let Some((id, trace)) = before.next(account).await? {
        let expected = fingerprints(&trace);
        if without.contains(&id) {
            compared.dropped_spans += expected.len() as u64;
            continue;
        }
        if expected.is_empty() {
            // The writer leaves traces without spans out.
            continue;
        }
        let found = match &mut after {
            None => None,
            Some(after) => after.next(account).await?,
        };
        match found {
            Some((found, trace)) if found == id && fingerprints(&trace) == expected => {}
            Some((found, _)) if found == id => return Err(differs(id, "reads back differently")),
            _ => return Err(differs(id, "is missing")),
        }
    }
    if let Some(after) = &mut after
        && let Some((id, _)) = after.next(account).await?
    {
        return Err(differs(id, "is not in the old one"));
    }
    Ok(compared)
}

/// A digest of each span with its scope and resource, in the order of the digests: how spans are grouped, and the order
/// of attributes, is the writer's affair.
pub(crate) fn fingerprints(trace: &TracesData) -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    for resource_spans in &trace.resource_spans {
        let mut resource = resource_spans.resource.clone().unwrap_or_default();
        sort(&mut resource.attributes);
        for scope_spans in &resource_spans.scope_spans {
            let mut scope = scope_spans.scope.clone().unwrap_or_default();
            sort(&mut scope.attributes);
            for span in &scope_spans.spans {
                let mut span = span.clone();
                sort(&mut span.attributes);
                span.events.iter_mut().for_each(|event| sort(&mut event.attributes));
                span.links.iter_mut().for_each(|link| sort(&mut link.attributes));
                let mut hasher = Sha256::new();
                let urls =
                    [&resource_spans.schema_url, &scope_spans.schema_url].map(|url| url.as_bytes().to_vec());
                let messages = [resource.encode_to_vec(), scope.encode_to_vec(), span.encode_to_vec()];
                for part in urls.into_iter().chain(messages) {
                    hasher.update((part.len() as u64).to_le_bytes());
                    hasher.update(part);
                }
                all.push(hasher.finalize().into());
            }
        }
    }
    all.sort_unstable();
    all
}

fn sort(attributes: &mut [KeyValue]) {
    attributes.sort_by_cached_key(prost::Message::encode_to_vec);
}

/// Writes the tenant's index anew from what is in the bucket, if there is one: readers that go by it would otherwise
/// look for blocks that are gone until the compactor's next cycle. Gives whether there was one.
///
/// # Errors
/// The store's error, or a damaged index.
pub async fn refresh_index(store: &BlockStore, tenant: &TenantId, account: &Account) -> Result<bool> {
    let Some(index) = store.read_tenant_index(tenant, account).await? else { return Ok(false) };
    let blocks = store.blocks(tenant, account).await?;
    let metas = index.live.into_iter().chain(index.compacted.into_iter().map(|compacted| compacted.meta));
    let known: HashMap<Uuid, BlockMeta> = metas.map(|meta| (meta.block_id, meta)).collect();
    let read = |block: Uuid, state: BlockState| {
        let known = known.get(&block).cloned();
        let path = BlockPath::new(tenant.clone(), block);
        // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
        async move {
            match known {
                Some(meta) => Some(meta),
                // The compactor leaves out what cannot be read as well.
                None => store.meta_of(&path, state, account).await.ok(),
            }
        }
        .boxed()
    };
    let live = stream::iter(blocks.live)
        .map(|live| read(live.block, BlockState::Live))
        .buffered(METAS_AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let compacted = stream::iter(blocks.compacted)
        .map(|compacted| {
            let meta = read(compacted.block, BlockState::Compacted);
            async move { Some(CompactedMeta { meta: meta.await?, compacted_at: compacted.since }) }.boxed()
        })
        .buffered(METAS_AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let index = TenantIndex { created_at: Timestamp::now(), live, compacted };
    store.write_tenant_index(tenant, &index, account).await?;
    Ok(true)
}

#[cfg(test)]
mod tests;
