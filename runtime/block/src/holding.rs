//! Whether a block really holds a trace, by its ids and not by its bloom filter.

use tempoform_core::{Account, TraceId};

use crate::error::Result;
use crate::meta::{BlockMeta, BlockVersion};
use crate::paths::{BlockObject, BlockPath};
use crate::reader::{BlockReader, may_contain};
use crate::store::{BlockFolder, BlockState, BlockStore};

/// What a block holds of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Spans; `None` for a half-written block, of which only the ids can be read.
    pub spans: Option<u64>,
}

/// What the block in `folder` holds of a trace; `None` when it does not hold it. With `trust_bloom`, a bloom filter that
/// says no is believed, which saves reading the footer and a page of ids.
///
/// A folder without a meta is looked at too: its data, if they are all there, hold traces like others.
///
/// # Errors
/// [`BlockError::Corrupt`](crate::BlockError::Corrupt) or [`BlockError::Unsupported`](crate::BlockError::Unsupported)
/// when that cannot be told, or the store's error.
pub async fn holding_of(
    store: &BlockStore,
    path: &BlockPath,
    folder: &BlockFolder,
    id: TraceId,
    trust_bloom: bool,
    account: &Account,
) -> Result<Option<Holding>> {
    if folder.state == BlockState::HalfWritten {
        return half_written(store, path, folder, id, account).await;
    }
    let meta = store.meta_of(path, folder.state, account).await?;
    if trust_bloom && !may_contain(store, path, &meta, id, account).await? {
        return Ok(None);
    }
    let reader = BlockReader::open(store, path.clone(), &meta, account).await?;
    let Some(trace) = reader.find_trace(id, account).await? else { return Ok(None) };
    let scopes = trace.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    Ok(Some(Holding { spans: Some(scopes.map(|scope| scope.spans.len() as u64).sum()) }))
}

async fn half_written(
    store: &BlockStore,
    path: &BlockPath,
    folder: &BlockFolder,
    id: TraceId,
    account: &Account,
) -> Result<Option<Holding>> {
    let Some(data) = folder.object(&BlockObject::Data) else { return Ok(None) };
    // Where ids are is the same in every format.
    let mut meta = BlockMeta::new(BlockVersion::VParquet4, path.block(), path.tenant().as_str());
    meta.size = data.size;
    let reader = BlockReader::open(store, path.clone(), &meta, account).await?;
    Ok(reader.locate(id, account).await?.map(|_| Holding { spans: None }))
}
