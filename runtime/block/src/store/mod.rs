//! The object store: every request to it goes through here, is timed, counted and bounded.

mod build;
mod cache;
mod folders;
mod list;
mod metrics;
mod open;
mod parsed;
mod upload;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::limit::LimitStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use prometheus::Registry;
use tempoform_core::{Account, TenantId};

use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{self, BlockObject, BlockPath};
use crate::reader::ParsedFile;
use crate::tenant_index::TenantIndex;

pub use build::BlockOutput;
pub use folders::{BlockFolder, BlockState, StoredObject};
pub use list::{BlockList, CompactedBlock, ListedBlock};
pub use upload::{BlockObjects, BlockUpload};

/// How a [`BlockStore`] behaves, besides where it is.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Most bytes of objects, ranges and parsed footers kept in memory; 0 = none.
    pub cache_bytes: usize,
    /// Longest time of one request, retries included.
    pub timeout: Duration,
    /// Requests at once of one read.
    pub concurrency: usize,
    /// Requests at once of the whole store; more wait.
    pub max_requests: usize,
    /// Ranges nearer than this may be fetched as one, bytes. No more is fetched in vain than is wanted.
    pub coalesce_gap: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            timeout: Duration::from_secs(60),
            concurrency: 16,
            max_requests: 64,
            coalesce_gap: 64 << 10,
        }
    }
}

/// A bucket or folder with blocks in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    options: StoreOptions,
    cache: cache::Cache,
    parsed: parsed::ParsedFiles,
    metrics: metrics::Metrics,
}

/// Part of the cache that is for parsed footers.
const FOOTERS_SHARE: usize = 4;

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
        let prefix = Path::parse(prefix).map_err(|error| BlockError::Configuration {
            setting: "storage.trace.*.prefix",
            problem: error.to_string(),
        })?;
        let objects: Arc<dyn ObjectStore> = Arc::new(LimitStore::new(objects, options.max_requests.max(1)));
        let footer_bytes = options.cache_bytes / FOOTERS_SHARE;
        let cache = cache::Cache::new(options.cache_bytes - footer_bytes);
        let metrics = metrics::Metrics::new(registry);
        let parsed = parsed::ParsedFiles::new(footer_bytes);
        Ok(Self(Arc::new(Inner { objects, prefix, options, cache, parsed, metrics })))
    }

    /// Bytes the cache holds now.
    pub fn cached_bytes(&self) -> usize {
        self.0.cache.used() + self.0.parsed.used()
    }

    /// A whole object of a block, without the cache.
    ///
    /// # Errors
    /// [`BlockError::NotFound`] when it is not there; otherwise the store's error.
    pub async fn read(&self, block: &BlockPath, object: &BlockObject, account: &Account) -> Result<Bytes> {
        self.get(&block.object(object), None, account).await
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
        self.get(&block.object(object), Some(content), account).await
    }

    /// Ranges of an object of the block that `content` is of, in order. Near ones are fetched together, all at
    /// once.
    ///
    /// # Errors
    /// As [`BlockStore::read`]; also when the object ends before a range does.
    pub(crate) async fn read_ranges(
        &self,
        block: &BlockPath,
        object: &BlockObject,
        content: Content,
        ranges: &[Range<u64>],
        account: &Account,
    ) -> Result<Vec<Bytes>> {
        let path = &block.object(object);
        let fetches = coalesce(ranges, self.0.options.coalesce_gap);
        let fetched: Vec<Bytes> = stream::iter(fetches.clone())
            .map(|range| async move { self.get_range(path, content, range, account).await })
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
        let head = self.timed("HEAD", &path, account, |_| 0, self.0.objects.head(&key)).await?;
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
            match self.get(&path, None, account).await {
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

    /// A block's footer, if it was parsed lately.
    pub(crate) fn parsed(&self, block: &BlockPath, content: Content) -> Option<Arc<ParsedFile>> {
        self.0.parsed.get(block, content)
    }

    /// Keeps a block's footer.
    pub(crate) fn keep_parsed(&self, block: &BlockPath, content: Content, file: &Arc<ParsedFile>) {
        self.0.parsed.put(block, content, file);
    }

    async fn get(&self, path: &Path, content: Option<Content>, account: &Account) -> Result<Bytes> {
        if let Some(content) = content
            && let Some(bytes) = self.0.cache.get(path, content, None)
        {
            account.cache_hit(bytes.len() as u64);
            return Ok(bytes);
        }
        let key = self.key(path);
        let objects = &self.0.objects;
        let request = async move { objects.get(&key).await?.bytes().await };
        let bytes = self.timed("GET", path, account, |bytes: &Bytes| bytes.len() as u64, request).await?;
        if let Some(content) = content {
            self.0.cache.put(path, content, None, &bytes);
        }
        Ok(bytes)
    }

    async fn get_range(
        &self,
        path: &Path,
        content: Content,
        range: Range<u64>,
        account: &Account,
    ) -> Result<Bytes> {
        if let Some(bytes) = self.0.cache.get(path, content, Some(&range)) {
            account.cache_hit(bytes.len() as u64);
            return Ok(bytes);
        }
        let key = self.key(path);
        let request = self.0.objects.get_range(&key, range.clone());
        let bytes = self.timed("GET", path, account, |bytes: &Bytes| bytes.len() as u64, request).await?;
        if bytes.len() as u64 != range.end - range.start {
            let what = format!("ends before byte {}", range.end);
            return Err(BlockError::CorruptObject { path: path.clone(), what });
        }
        self.0.cache.put(path, content, Some(&range), &bytes);
        Ok(bytes)
    }

    async fn put(&self, path: &Path, bytes: Bytes, account: &Account) -> Result<()> {
        let key = self.key(path);
        let request = self.0.objects.put(&key, PutPayload::from_bytes(bytes));
        self.timed("PUT", path, account, |_| 0, request).await.map(drop)
    }

    /// Deletes an object; one that is not there is fine.
    async fn delete(&self, path: &Path, account: &Account) -> Result<()> {
        let key = self.key(path);
        match self.timed("DELETE", path, account, |()| 0, self.0.objects.delete(&key)).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// The key in the bucket.
    fn key(&self, path: &Path) -> Path {
        if self.0.prefix.as_ref().is_empty() {
            return path.clone();
        }
        Path::parse(format!("{}/{path}", self.0.prefix)).expect("two paths joined are a path")
    }

    /// Runs one request under the time limit, and counts it.
    async fn timed<T>(
        &self,
        operation: &'static str,
        path: &Path,
        account: &Account,
        bytes: impl FnOnce(&T) -> u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        let after = self.0.options.timeout * patience(operation);
        let outcome = tokio::time::timeout(after, request).await;
        let took = start.elapsed();
        let Ok(outcome) = outcome else {
            self.0.metrics.timed_out(operation, took);
            account.request(0, took);
            return Err(BlockError::Timeout { operation, path: path.clone(), after });
        };
        self.0.metrics.observe(operation, outcome.as_ref().err(), took);
        account.request(outcome.as_ref().map_or(0, bytes), took);
        outcome.map_err(|source| match source {
            object_store::Error::NotFound { .. } => BlockError::NotFound { path: path.clone() },
            source => BlockError::Store { operation, path: path.clone(), source },
        })
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
