//! Writing a block: data first, streaming; what makes it a block last.

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart};
use tempoform_core::Account;

use super::BlockStore;
use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{BlockObject, BlockPath};
use crate::writer::WrittenBlock;

/// Bytes of one part of a multipart upload; smaller data is put in one piece.
const PART: usize = 8 << 20;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 2;

/// What belongs to a block besides its data and meta.
#[derive(Clone, Debug, Default)]
pub struct BlockObjects {
    /// The bloom shards in order.
    pub blooms: Vec<Bytes>,
    /// The `index` object.
    pub index: Option<Bytes>,
    /// Objects of our own, by name.
    pub sidecars: Vec<(&'static str, Bytes)>,
}

impl From<WrittenBlock> for BlockObjects {
    fn from(written: WrittenBlock) -> Self {
        let WrittenBlock { blooms, index, sidecars, .. } = written;
        Self { blooms, index: Some(index), sidecars }
    }
}

/// A block on its way into the store. Dropped before [`finish`](Self::finish) is done, it leaves
/// nothing that is a block.
#[derive(Debug)]
pub struct BlockUpload {
    store: BlockStore,
    pub(super) block: BlockPath,
    written: u64,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    multipart: Option<WriteMultipart>,
}

impl BlockStore {
    /// Starts to write a block. Nothing is sent before there is enough for a part.
    pub fn upload(&self, block: BlockPath) -> BlockUpload {
        BlockUpload {
            store: self.clone(),
            block,
            written: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            multipart: None,
        }
    }
}

impl BlockUpload {
    /// Bytes of `data.parquet` so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends to `data.parquet`; waits while too much is under way.
    ///
    /// # Errors
    /// The store's error; the upload is then of no more use.
    pub async fn write(&mut self, chunk: Bytes, account: &Account) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.written += chunk.len() as u64;
        self.pending_bytes += chunk.len();
        self.pending.push(chunk);
        if self.pending_bytes < PART {
            return Ok(());
        }
        let path = self.block.object(&BlockObject::Data);
        if self.multipart.is_none() {
            let key = self.store.key(&path);
            let request = self.store.0.objects.put_multipart(&key);
            let upload = self.store.timed("PUT", &path, account, request).await?;
            self.multipart = Some(WriteMultipart::new_with_chunk_size(upload, PART));
        }
        if let Some(multipart) = &mut self.multipart {
            let capacity = multipart.wait_for_capacity(PARTS_AT_ONCE);
            self.store.timed("PUT", &path, account, capacity).await?;
            self.pending_bytes = 0;
            self.pending.drain(..).for_each(|chunk| multipart.put(chunk));
        }
        Ok(())
    }

    /// Ends the data and writes everything else, the meta last; then looks whether it is there.
    ///
    /// # Errors
    /// The store's error, or [`BlockError::Upload`] when what is there is not what was sent. Then there
    /// is no block, unless the very last check failed. What was written stays: somebody else may be writing the same block,
    /// or it is written again; a compactor removes what nobody comes back to.
    pub async fn finish(mut self, objects: BlockObjects, meta: &BlockMeta, account: &Account) -> Result<()> {
        self.write_all_but_meta(objects, meta, account).await?;
        let path = self.block.object(&BlockObject::Meta);
        self.store.put(&path, meta.to_json().into(), account).await?;
        let stored = self.store.read_meta(&self.block, account).await?;
        if stored != *meta {
            return Err(self.unverified("meta.json reads back differently"));
        }
        Ok(())
    }

    async fn write_all_but_meta(
        &mut self,
        objects: BlockObjects,
        meta: &BlockMeta,
        account: &Account,
    ) -> Result<()> {
        if meta.size != self.written || meta.bloom_shards as usize != objects.blooms.len() {
            return Err(self.unverified("the meta does not describe what was written"));
        }
        self.finish_data(account).await?;
        let BlockObjects { blooms, index, sidecars } = objects;
        for (shard, bloom) in (0..).zip(blooms) {
            self.store.put(&self.block.object(&BlockObject::Bloom(shard)), bloom, account).await?;
        }
        if let Some(index) = index {
            self.store.put(&self.block.object(&BlockObject::Index), index, account).await?;
        }
        for (name, sidecar) in sidecars {
            self.store.put(&self.block.object(&BlockObject::Sidecar(name)), sidecar, account).await?;
        }
        let stored = self.store.size(&self.block, &BlockObject::Data, account).await?;
        if stored != self.written {
            return Err(self.unverified(&format!("data.parquet has {stored} of {} bytes", self.written)));
        }
        Ok(())
    }

    async fn finish_data(&mut self, account: &Account) -> Result<()> {
        let path = self.block.object(&BlockObject::Data);
        let key = self.store.key(&path);
        let rest = std::mem::take(&mut self.pending);
        let Some(multipart) = &mut self.multipart else {
            let request = self.store.0.objects.put(&key, PutPayload::from_iter(rest));
            return self.store.timed("PUT", &path, account, request).await.map(drop);
        };
        rest.into_iter().for_each(|chunk| multipart.put(chunk));
        // Until all parts are there it can be aborted.
        self.store.timed("PUT", &path, account, multipart.wait_for_capacity(0)).await?;
        match self.multipart.take() {
            Some(multipart) => self.store.timed("PUT", &path, account, multipart.finish()).await.map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn unverified(&self, what: &str) -> BlockError {
        BlockError::Upload { block: self.block.clone(), what: what.to_owned() }
    }
}

impl Drop for BlockUpload {
    /// Parts already sent cost money until the upload is aborted.
    fn drop(&mut self) {
        let Some(multipart) = self.multipart.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let block = self.block.clone();
        runtime.spawn(async move {
            if let Err(error) = multipart.abort().await {
                tracing::warn!(%block, %error, "a multipart upload could not be aborted");
            }
        });
    }
}
