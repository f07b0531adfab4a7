//! The object store: every request to it goes through here, is timed, counted and bounded.

mod aside;
mod budget;
mod build;
mod cache;
mod cached;
mod disk;
#[cfg(test)]
mod faults;
mod flights;
mod folders;
mod hedging;
mod list;
mod metrics;
mod open;
mod options;
pub mod preflight;
mod reads;
mod transient;
mod unfinished;
mod upload;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::limit::LimitStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use prometheus::Registry;
use tempoform_core::{Account, CacheTier, RequestKind, TenantId};

use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{self, BlockObject, BlockPath};
use crate::reader::ParsedFile;
use crate::tenant_index::TenantIndex;

pub use aside::SetAside;
pub use build::BlockOutput;
pub use folders::{BlockFolder, BlockState, StoredObject};
pub use list::{BlockList, CompactedBlock, HalfWrittenBlock, ListedBlock};
pub use options::{DiskCacheOptions, StoreOptions};
pub use unfinished::UnfinishedUpload;
pub use upload::{BlockObjects, BlockUpload};

/// A bucket or folder with blocks in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// For all but reads.
    objects: Arc<dyn ObjectStore>,
    uploads: unfinished::Uploads,
    reads: reads::Reads,
    flights: cached::ReadsUnderway,
    caches: cache::Caches,
    prefix: Path,
    options: StoreOptions,
    metrics: metrics::Metrics,
}

/// A client of a store, and what it knows besides objects.
#[derive(Clone, Debug)]
struct Client {
    objects: Arc<dyn ObjectStore>,
    uploads: unfinished::Uploads,
    budget: budget::RequestBudget,
}

/// Which content of a block is meant, as far as its meta tells: a crash in the middle of an upload may lead to another
/// one, of other bytes, under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Content {
    size: u64,
    footer_size: u32,
    traces: u64,
}

impl From<&BlockMeta> for Content {
    fn from(meta: &BlockMeta) -> Self {
        Self { size: meta.size, footer_size: meta.footer_size, traces: meta.total_objects }
    }
}

impl BlockStore {
    /// A store over `objects`, below `prefix` (empty = the whole bucket).
    ///
    /// # Errors
    /// When the prefix is not a path.
    pub fn new(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        options: StoreOptions,
        registry: Option<&Registry>,
    ) -> Result<Self> {
        let (uploads, budget) = (unfinished::Uploads::Unlisted, budget::RequestBudget::unlimited());
        let client = Client { objects, uploads, budget };
        Self::over(client.clone(), client.objects, prefix, options, registry)
    }

    /// As [`new`](Self::new), with a client of its own for reads. It must not try again by itself: this does, and counts.
    fn over(
        client: Client,
        for_reads: Arc<dyn ObjectStore>,
        prefix: &str,
        options: StoreOptions,
        registry: Option<&Registry>,
    ) -> Result<Self> {
        let prefix = open::prefix(prefix)?;
        let metrics = metrics::Metrics::new(registry);
        Ok(Self(Arc::new(Inner {
            objects: Arc::new(LimitStore::new(client.objects, options.max_requests.max(1))),
            uploads: client.uploads,
            reads: reads::Reads::new(for_reads, &options, client.budget, metrics.clone()),
            flights: cached::ReadsUnderway::new(),
            caches: cache::Caches::new(options.cache_bytes),
            prefix,
            options,
            metrics,
        })))
    }

    /// Puts a cache on disk behind the one in memory, once.
    ///
    /// # Errors
    /// When its folder cannot be used.
    pub async fn use_disk_cache(&self, options: &DiskCacheOptions) -> Result<()> {
        let cache = disk::DiskCache::open(options).await?;
        // One that is there already stays.
        drop(self.0.caches.disk.set(cache));
        Ok(())
    }

    /// Bytes the cache in memory holds now.
    pub fn cached_bytes(&self) -> usize {
        self.0.caches.used()
    }

    /// A whole object of a block, without the cache.
    ///
    /// # Errors
    /// [`BlockError::NotFound`] when it is not there; otherwise the store's error.
    pub async fn read(&self, block: &BlockPath, object: &BlockObject, account: &Account) -> Result<Bytes> {
        self.get(kind_of(object), &block.object(object), account).await
    }

    /// A whole object of the block that `content` is of; it may come from the cache.
    ///
    /// # Errors
    /// As [`BlockStore::read`].
    pub(crate) async fn read_cached(
        &self,
        block: &BlockPath,
        object: &BlockObject,
        content: Content,
        account: &Account,
    ) -> Result<Bytes> {
        let step = account.step();
        self.cached(kind_of(object), &block.object(object), content, None, account, &step).await
    }

    /// Ranges of the data of the block that `content` is of, in order; `kind` says what they are read for. Near ones are
    /// fetched together, all at once.
    ///
    /// # Errors
    /// As [`BlockStore::read`]; also when the data ends before a range does.
    pub(crate) async fn read_ranges(
        &self,
        kind: RequestKind,
        block: &BlockPath,
        content: Content,
        ranges: &[Range<u64>],
        account: &Account,
    ) -> Result<Vec<Bytes>> {
        let path = &block.object(&BlockObject::Data);
        let step = &account.step();
        let fetches = coalesce(ranges, self.0.options.coalesce_gap);
        let fetched: Vec<Bytes> = stream::iter(fetches.clone())
            .map(|range| async move { self.cached(kind, path, content, Some(range), account, step).await })
            .buffered(self.0.options.concurrency.max(1))
            .try_collect()
            .await?;
        let cut = |range: &Range<u64>| {
            let i = fetches.partition_point(|fetch| fetch.start <= range.start).saturating_sub(1);
            let start = (range.start - fetches[i].start) as usize;
            fetched[i].slice(start..start + (range.end - range.start) as usize)
        };
        Ok(ranges.iter().map(|range| if range.is_empty() { Bytes::new() } else { cut(range) }).collect())
    }

    /// A block's `meta.json`.
    ///
    /// # Errors
    /// As [`BlockStore::read`]; [`BlockError::Corrupt`] when it is not a meta.
    pub async fn read_meta(&self, block: &BlockPath, account: &Account) -> Result<BlockMeta> {
        self.read_meta_object(block, &BlockObject::Meta, account).await
    }

    /// A compacted block's `meta.compacted.json`.
    ///
    /// # Errors
    /// As [`BlockStore::read_meta`].
    pub async fn read_compacted_meta(&self, block: &BlockPath, account: &Account) -> Result<BlockMeta> {
        self.read_meta_object(block, &BlockObject::CompactedMeta, account).await
    }

    async fn read_meta_object(
        &self,
        block: &BlockPath,
        object: &BlockObject,
        account: &Account,
    ) -> Result<BlockMeta> {
        let bytes = self.read(block, object, account).await?;
        BlockMeta::from_json(&bytes).map_err(|error| BlockError::Corrupt {
            block: block.clone(),
            object: object.to_string(),
            what: format!("is not a meta: {error}"),
        })
    }

    /// Bytes of an object, without reading it.
    ///
    /// # Errors
    /// As [`BlockStore::read`].
    pub async fn size(&self, block: &BlockPath, object: &BlockObject, account: &Account) -> Result<u64> {
        let path = block.object(object);
        let key = self.key(&path);
        let head = self.timed("HEAD", &path, account, self.0.objects.head(&key)).await?;
        Ok(head.size)
    }

    /// The tenant's index; `None` when there is none, and blocks must be listed.
    ///
    /// # Errors
    /// As [`BlockStore::read`]; a damaged `index.pb.zst` is an error even if there is an
    /// `index.json.gz`.
    pub async fn read_tenant_index(
        &self,
        tenant: &TenantId,
        account: &Account,
    ) -> Result<Option<TenantIndex>> {
        type Parse = fn(&[u8]) -> Result<TenantIndex, crate::tenant_index::MalformedIndex>;
        let forms: [(Path, Parse); 2] = [
            (paths::tenant_index(tenant), TenantIndex::from_protobuf),
            (paths::tenant_index_json(tenant), TenantIndex::from_json),
        ];
        for (path, parse) in forms {
            match self.get(RequestKind::Index, &path, account).await {
                Ok(bytes) => {
                    let parsed = parse(&bytes)
                        .map_err(|error| BlockError::CorruptObject { path, what: error.to_string() })?;
                    return Ok(Some(parsed));
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Writes both forms of the tenant's index, or deletes both when it lists no block.
    ///
    /// # Errors
    /// The store's error.
    pub async fn write_tenant_index(
        &self,
        tenant: &TenantId,
        index: &TenantIndex,
        account: &Account,
    ) -> Result<()> {
        let (protobuf, json) = (paths::tenant_index(tenant), paths::tenant_index_json(tenant));
        if index.is_empty() {
            self.delete(&protobuf, account).await?;
            return self.delete(&json, account).await;
        }
        let encoding = |error: std::io::Error| BlockError::CorruptObject {
            path: protobuf.clone(),
            what: format!("cannot be encoded: {error}"),
        };
        let (protobuf_bytes, json_bytes) =
            (index.to_protobuf().map_err(encoding)?, index.to_json().map_err(encoding)?);
        self.put(&protobuf, protobuf_bytes.into(), account).await?;
        self.put(&json, json_bytes.into(), account).await
    }

    /// How much to read before a block's footer.
    pub(crate) fn bytes_before_footer(&self) -> u64 {
        self.0.options.before_footer
    }

    /// A block's footer, if it was parsed lately.
    pub(crate) fn parsed(&self, block: &BlockPath, content: Content) -> Option<Arc<ParsedFile>> {
        self.0.caches.parsed(block, content)
    }

    /// Counts that a footer was there, parsed, of which `bytes` are kept.
    pub(crate) fn footer_was_cached(&self, bytes: usize, account: &Account) {
        account.cache_hit(CacheTier::Memory, bytes as u64);
        self.0.metrics.cache_hit(RequestKind::Footer, CacheTier::Memory);
    }

    /// Keeps a block's footer.
    pub(crate) fn keep_parsed(&self, block: &BlockPath, content: Content, file: &Arc<ParsedFile>) {
        self.0.caches.put_parsed(block, content, file);
    }

    /// A whole object, past the caches.
    async fn get(&self, kind: RequestKind, path: &Path, account: &Account) -> Result<Bytes> {
        let step = account.step();
        let read = reads::Read { kind, path: path.clone(), key: self.key(path), range: None };
        let outcome = self.0.reads.get(&read, account).await;
        step.done();
        outcome
    }

    async fn put(&self, path: &Path, bytes: Bytes, account: &Account) -> Result<()> {
        let key = self.key(path);
        let request = self.0.objects.put(&key, PutPayload::from_bytes(bytes));
        self.timed("PUT", path, account, request).await.map(drop)
    }

    /// Deletes an object; one that is not there is fine.
    async fn delete(&self, path: &Path, account: &Account) -> Result<()> {
        let key = self.key(path);
        match self.timed("DELETE", path, account, self.0.objects.delete(&key)).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// The key in the bucket.
    fn key(&self, path: &Path) -> Path {
        prefixed(&self.0.prefix, path)
    }

    /// Runs one request that is no GET under the time limit, and counts it. The client tries again by itself.
    async fn timed<T>(
        &self,
        operation: &'static str,
        path: &Path,
        account: &Account,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let kind = match operation {
            "LIST" => RequestKind::List,
            "HEAD" => RequestKind::Head,
            _ => RequestKind::Write,
        };
        account.admit(kind).map_err(|max| BlockError::TooManyRequests { path: path.clone(), max })?;
        let step = account.step();
        let start = Instant::now();
        let after = self.0.options.timeout * patience(operation);
        let outcome = match tokio::time::timeout(after, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(object_store::Error::NotFound { .. })) => Err(BlockError::NotFound { path: path.clone() }),
            Ok(Err(source)) => Err(BlockError::Store { operation, path: path.clone(), source }),
            Err(_) => Err(BlockError::Timeout { operation, path: path.clone(), after }),
        };
        let took = start.elapsed();
        self.0.metrics.answered(operation, kind, reads::status(outcome.as_ref().err()), took, 0);
        account.answered(0, took);
        step.done();
        outcome
    }
}

/// A path below a prefix.
fn prefixed(prefix: &Path, path: &Path) -> Path {
    if prefix.as_ref().is_empty() {
        return path.clone();
    }
    Path::parse(format!("{prefix}/{path}")).expect("two paths joined are a path")
}

/// What reading a whole object of a block is for.
fn kind_of(object: &BlockObject) -> RequestKind {
    match object {
        BlockObject::Meta | BlockObject::CompactedMeta => RequestKind::Meta,
        BlockObject::Bloom(_) => RequestKind::Bloom,
        BlockObject::Data | BlockObject::Index | BlockObject::NoCompact | BlockObject::Sidecar(_) => {
            RequestKind::Object
        }
    }
}

/// How many times the usual time an operation may take: listing and emptying folders are many requests.
fn patience(operation: &str) -> u32 {
    match operation {
        "LIST" | "DELETE" => 10,
        _ => 1,
    }
}

/// Gaps of this size are never worth a request of their own, bytes.
const SMALL_GAP: u64 = 4 << 10;

/// Sorted, disjoint ranges that cover `ranges`. Those with a gap of up to `most` bytes become one as long as the gaps
/// together are no larger than what is wanted: pages of many columns must not add up to the whole file.
fn coalesce(ranges: &[Range<u64>], most: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    let (mut wanted, mut wasted) = (0, 0);
    for range in sorted {
        let length = range.end - range.start;
        if let Some(last) = merged.last_mut() {
            let gap = range.start.saturating_sub(last.end);
            let is_small = gap <= SMALL_GAP || wasted + gap <= wanted + length;
            if gap <= most && is_small {
                wanted += range.end.saturating_sub(last.end.max(range.start));
                wasted += gap;
                last.end = last.end.max(range.end);
                continue;
            }
        }
        (wanted, wasted) = (length, 0);
        merged.push(range);
    }
    merged
}

#[cfg(test)]
mod tests;
