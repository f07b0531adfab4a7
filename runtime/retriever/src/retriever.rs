use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tempoform_block::{BlockMeta, BlockPath, BlockReader, BlockStore};
use tempoform_core::{
    Account, Error, ErrorKind, ReadLimits, Result, SELF_TRACE, TenantId, TraceSource, owner,
};
use tempoform_wire::internal::{
    Failure, FindTraceRequest, FindTraceResponse, ReadAccount, SearchRequest, SearchResponse,
    TagNamesRequest, TagNamesResponse, TagValuesRequest, TagValuesResponse,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::admission::Admission;
use crate::block_list::{BlockList, Range, TenantBlocks};
use crate::poll::Poller;
use crate::{RetrieverOptions, find, metrics, search, tags};

/// Answers queries over the blocks of a bucket.
///
/// It keeps the list of blocks, see [`run`](Self::run), and nothing else: what a query needs is read then,
/// through the store's cache. A block that cannot be read does not fail an answer; it is named in it.
#[derive(Debug)]
pub struct Retriever {
    store: BlockStore,
    options: RetrieverOptions,
    pub(crate) list: RwLock<Option<Arc<BlockList>>>,
    admission: Admission,
    account: Arc<Account>,
    /// Blocks announced, and when: a poll that began before does not have them.
    announced: Mutex<Vec<(Instant, TenantId, BlockMeta)>>,
}

impl Retriever {
    /// A retriever over `store`; it answers once the block list was read.
    pub fn new(store: BlockStore, options: RetrieverOptions) -> Arc<Self> {
        Arc::new(Self {
            admission: Admission::new(options.max_concurrent_blocks, options.memory.clone()),
            store,
            options,
            list: RwLock::new(None),
            account: Arc::default(),
            announced: Mutex::default(),
        })
    }

    /// Keeps the block list until `shutdown` turns true or its sender is gone.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => return,
                polled = self.poll() => {
                    if let Err(error) = polled {
                        tracing::warn!(%error, "the bucket cannot be listed");
                    }
                }
            }
            // Until the first success nothing can be answered, so try again soon.
            let pause = if self.is_ready() {
                self.options.poll_interval
            } else {
                self.options.poll_interval.min(RETRY)
            };
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads the block list once. [`run`](Self::run) does this by itself.
    ///
    /// # Errors
    /// When the tenants cannot be listed. What was known stays known.
    pub async fn poll(&self) -> Result<()> {
        let started = Instant::now();
        let previous = self.list();
        let spent = Account::default();
        let poller = Poller { store: &self.store, options: &self.options, account: &spent };
        let none = BlockList::empty(started);
        let polled = poller.poll(previous.as_deref().unwrap_or(&none)).await;
        self.account.add(&spent.snapshot());
        metrics::POLL_SECONDS.observe(started.elapsed().as_secs_f64());
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(polled?));
        let announced = std::mem::take(&mut *self.announced.lock().unwrap_or_else(PoisonError::into_inner));
        for (at, tenant, meta) in announced {
            if at >= started {
                self.add_block(&tenant, meta);
            }
        }
        Ok(())
    }

    /// Takes a block into the list that was uploaded just now.
    fn add_block(&self, tenant: &TenantId, meta: BlockMeta) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        // A list that was never read stays unknown: this one block is not all there is.
        let Some(mut changed) = list.as_deref().cloned() else { return };
        let mut blocks = match changed.tenants.get(tenant) {
            Some(blocks) => TenantBlocks::clone(blocks),
            None => TenantBlocks::empty(Timestamp::now()).polled_at(changed.polled),
        };
        blocks.add(Arc::new(meta));
        changed.tenants.insert(tenant.clone(), Arc::new(blocks));
        *list = Some(Arc::new(changed));
    }

    /// Whether the block list was read.
    pub fn is_ready(&self) -> bool {
        self.list().is_some()
    }

    /// What the process spent at the object store since it started, for `SourceService`.
    pub fn account(&self) -> Arc<Account> {
        Arc::clone(&self.account)
    }

    /// Adds up what a query spent, and tells its span.
    fn spent(&self, account: &ReadAccount) {
        self.account.add(account);
        let span = tracing::Span::current();
        span.record("store.requests", account.requests);
        span.record("store.bytes", account.bytes);
        span.record("store.wait_ms", account.wait_nanos / 1_000_000);
        span.record("store.dependent_reads", account.dependent_reads);
        span.record("store.hedged", account.hedged);
        span.record("store.retried", account.retried);
        span.record("store.joined", account.joined);
        span.record("cache.hits", account.cache_hits);
        span.record("cache.disk_hits", account.disk_hits);
    }

    fn list(&self) -> Option<Arc<BlockList>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tenant_blocks(&self, tenant: &TenantId) -> Result<Arc<TenantBlocks>> {
        let unavailable = |message| Error::new(ErrorKind::Unavailable, message);
        let list = self.list().ok_or_else(|| unavailable("the block list was not read yet".to_owned()))?;
        if let Some(reason) = list.unlisted.get(tenant) {
            return Err(unavailable(format!("the blocks of tenant {tenant} cannot be listed: {reason}")));
        }
        Ok(list
            .tenants
            .get(tenant)
            .cloned()
            .unwrap_or_else(|| Arc::new(TenantBlocks::empty(Timestamp::now()).polled_at(list.polled))))
    }

    /// Starts a query over the listed blocks that `select` picks and the fresh ones that are not listed yet.
    fn query(
        &self,
        tenant: &TenantId,
        range: Range,
        fresh: &[Bytes],
        share: Share<'_>,
        timeout: Duration,
        select: impl FnOnce(&TenantBlocks) -> Vec<Arc<BlockMeta>>,
    ) -> Result<BlockQuery<'_>> {
        let listed = self.tenant_blocks(tenant)?;
        let mut failures = listed.unreadable(range);
        failures.extend(listed.stale(self.max_list_age()));
        let mut blocks = Vec::new();
        let mut seen = HashSet::new();
        for meta in fresh {
            match BlockMeta::from_json(meta) {
                Ok(meta) if listed.knows(&meta) || !seen.insert(meta.block_id) => {}
                Ok(meta) if !range.touches(&meta) => {}
                Ok(meta) => blocks.push(Arc::new(meta)),
                Err(error) => failures.push(Failure {
                    source: "a block uploaded lately".to_owned(),
                    message: format!("its meta cannot be read: {error}"),
                }),
            }
        }
        // Who uploaded a block knows best which one is there.
        blocks.extend(select(&listed).into_iter().filter(|meta| !seen.contains(&meta.block_id)));
        blocks.retain(|meta| share.has(meta.block_id));
        Ok(BlockQuery {
            store: &self.store,
            options: &self.options,
            admission: &self.admission,
            tenant: tenant.clone(),
            range,
            blocks,
            failures,
            account: Account::limited(ReadLimits {
                max_requests: self.options.max_requests_per_query,
                deadline: Some(tokio::time::Instant::now() + timeout),
            }),
            listed,
        })
    }

    /// How old a list gets before answers tell of it: one poll may fail, or take its time.
    fn max_list_age(&self) -> Duration {
        let polls = self.options.poll_interval.saturating_mul(2);
        polls.saturating_add(self.options.max_index_age.unwrap_or_default())
    }

    /// How long compacted blocks are still looked into: until every list has the blocks that their
    /// spans went to, or tells that it is older. Two polls are for clocks that differ.
    fn keep_compacted(&self) -> SignedDuration {
        let keep = self.max_list_age().saturating_add(self.options.poll_interval.saturating_mul(2));
        SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX)
    }

    fn search_query(
        &self,
        tenant: &TenantId,
        start: u32,
        end: u32,
        fresh: &[Bytes],
        share: Share<'_>,
    ) -> Result<BlockQuery<'_>> {
        let range = Range::of_seconds(start.into(), end.into());
        let timeout = self.options.search_timeout;
        if share.retrievers.is_empty() {
            return self.query(tenant, range, fresh, share, timeout, |listed| listed.for_search(range));
        }
        // The block that the spans of a compacted one went to may be another's, whose list is older than ours.
        let (keep, now) = (self.keep_compacted(), Timestamp::now());
        let mut query =
            self.query(tenant, range, fresh, share, timeout, |listed| listed.for_trace(range, keep, now))?;
        query.blocks.sort_by_key(|meta| std::cmp::Reverse(meta.end_time));
        Ok(query)
    }
}

/// The blocks of one of the retrievers that share a query; all blocks when none is named.
#[derive(Clone, Copy)]
struct Share<'a> {
    retrievers: &'a [String],
    of: &'a str,
}

impl Share<'_> {
    fn has(&self, block: Uuid) -> bool {
        self.retrievers.is_empty() || owner(block.as_bytes(), self.retrievers) == Some(self.of)
    }
}

/// Pause between polls until the first one succeeds.
const RETRY: Duration = Duration::from_secs(1);

/// One running query: which blocks, what it may use, what it spent, what it could not read.
pub(crate) struct BlockQuery<'a> {
    pub(crate) store: &'a BlockStore,
    pub(crate) options: &'a RetrieverOptions,
    pub(crate) admission: &'a Admission,
    pub(crate) tenant: TenantId,
    pub(crate) range: Range,
    /// Fresh ones, then the listed ones, latest end first.
    pub(crate) blocks: Vec<Arc<BlockMeta>>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) account: Account,
    listed: Arc<TenantBlocks>,
}

impl BlockQuery<'_> {
    pub(crate) fn path(&self, meta: &BlockMeta) -> BlockPath {
        BlockPath::new(self.tenant.clone(), meta.block_id)
    }

    /// Opens a block when there is a slot for it. The reader holds the slot until all work on the block is over. Reads
    /// count on `account`, the block's branch of the query's.
    pub(crate) async fn open(&self, meta: &BlockMeta, account: &Account) -> Result<BlockReader> {
        let slot = self.admission.slot().await?;
        let reader = BlockReader::open(self.store, self.path(meta), meta, account).await?;
        Ok(reader.holding(slot))
    }

    /// Runs `work` for each block, several at once in their order, and gives everything that could not be read.
    ///
    /// # Errors
    /// When the query itself is wrong, at once: no other block would do better.
    pub(crate) async fn each_block<W: BlockWork>(&self, work: &W) -> Result<Vec<Failure>> {
        let outcomes: Vec<_> = stream::iter(self.blocks.iter().cloned())
            .map(|meta| async move {
                match work.run(self, &meta, &self.account.branch()).await {
                    Err(error) if error.kind() == ErrorKind::Invalid => Err(error),
                    outcome => Ok((outcome, meta)),
                }
            })
            .buffer_unordered(self.options.blocks_per_query.max(1))
            .try_collect()
            .await?;
        let mut failures = self.failures.clone();
        for (outcome, meta) in outcomes {
            if let Err(error) = outcome {
                failures.extend(self.failure(&meta, &error));
            }
        }
        Ok(failures)
    }

    /// The failure that `error` with a block is; `None` when nothing is missing from the answer: the block
    /// was compacted, so its spans are in another one, and has been deleted meanwhile.
    pub(crate) fn failure(&self, meta: &BlockMeta, error: &Error) -> Option<Failure> {
        let block = meta.block_id;
        let is_compacted = self.listed.compacted.iter().any(|compacted| compacted.meta.block_id == block);
        if is_compacted && error.kind() == ErrorKind::NotFound {
            return None;
        }
        metrics::BLOCK_FAILURES.inc();
        tracing::warn!(tenant = %self.tenant, %block, %error, "a block could not be read, the answer is partial");
        Some(Failure { source: format!("block {block}"), message: error.message().to_owned() })
    }
}

/// What a query does with each block.
#[async_trait::async_trait]
pub(crate) trait BlockWork: Sync {
    async fn run(&self, query: &BlockQuery<'_>, meta: &BlockMeta, account: &Account) -> Result<()>;
}

#[async_trait::async_trait]
impl TraceSource for Retriever {
    #[tracing::instrument(name = "retriever.find_trace", target = SELF_TRACE, skip_all, fields(%tenant, store.requests, store.bytes, store.wait_ms, store.dependent_reads, store.hedged, store.retried, store.joined, cache.hits, cache.disk_hits), err)]
    async fn find_trace(&self, tenant: &TenantId, request: FindTraceRequest) -> Result<FindTraceResponse> {
        let range = Range::of_seconds(request.start, request.end);
        let (keep, now) = (self.keep_compacted(), Timestamp::now());
        let share = Share { retrievers: &request.retrievers, of: &request.share_of };
        let timeout = self.options.lookup_timeout;
        let query = self.query(tenant, range, &request.fresh_blocks, share, timeout, |listed| {
            listed.for_trace(range, keep, now)
        })?;
        let answer = find::find_trace(query, &request.trace_id).await?;
        self.spent(&answer.account.unwrap_or_default());
        Ok(answer)
    }

    #[tracing::instrument(name = "retriever.search", target = SELF_TRACE, skip_all, fields(%tenant, store.requests, store.bytes, store.wait_ms, store.dependent_reads, store.hedged, store.retried, store.joined, cache.hits, cache.disk_hits), err)]
    async fn search(&self, tenant: &TenantId, request: SearchRequest) -> Result<SearchResponse> {
        let share = Share { retrievers: &request.retrievers, of: &request.share_of };
        let query = self.search_query(tenant, request.start, request.end, &request.fresh_blocks, share)?;
        let answer = search::search(query, request).await?;
        self.spent(&answer.account.unwrap_or_default());
        Ok(answer)
    }

    async fn announce(&self, tenant: &TenantId, metas: Vec<Bytes>) -> Result<()> {
        if !self.is_ready() {
            return Err(Error::new(ErrorKind::Unavailable, "the block list was not read yet"));
        }
        for meta in metas {
            let meta = BlockMeta::from_json(&meta).map_err(|error| {
                Error::new(ErrorKind::Invalid, format!("the meta of a block cannot be read: {error}"))
            })?;
            let announced = (Instant::now(), tenant.clone(), meta.clone());
            self.announced.lock().unwrap_or_else(PoisonError::into_inner).push(announced);
            self.add_block(tenant, meta);
        }
        Ok(())
    }

    #[tracing::instrument(name = "retriever.tag_names", target = SELF_TRACE, skip_all, fields(%tenant, store.requests, store.bytes, store.wait_ms, store.dependent_reads, store.hedged, store.retried, store.joined, cache.hits, cache.disk_hits), err)]
    async fn tag_names(&self, tenant: &TenantId, request: TagNamesRequest) -> Result<TagNamesResponse> {
        let share = Share { retrievers: &request.retrievers, of: &request.share_of };
        let query = self.search_query(tenant, request.start, request.end, &request.fresh_blocks, share)?;
        let answer = tags::names(query, request).await?;
        self.spent(&answer.account.unwrap_or_default());
        Ok(answer)
    }

    #[tracing::instrument(name = "retriever.tag_values", target = SELF_TRACE, skip_all, fields(%tenant, store.requests, store.bytes, store.wait_ms, store.dependent_reads, store.hedged, store.retried, store.joined, cache.hits, cache.disk_hits), err)]
    async fn tag_values(&self, tenant: &TenantId, request: TagValuesRequest) -> Result<TagValuesResponse> {
        let share = Share { retrievers: &request.retrievers, of: &request.share_of };
        let query = self.search_query(tenant, request.start, request.end, &request.fresh_blocks, share)?;
        let answer = tags::values(query, request).await?;
        self.spent(&answer.account.unwrap_or_default());
        Ok(answer)
    }
}
