use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use tempoform_block::{
    BlockList, BlockMeta, BlockPath, BlockStore, CompactedBlock, CompactedMeta, ListedBlock, TenantIndex,
};
use tempoform_core::{Account, Error, ErrorKind, Result, SELF_TRACE, TenantId};
use uuid::Uuid;

use crate::merge::{self, Cause, Changes, Failed, MEMORY_PER_INPUT, Merged};
use crate::plan::{self, Job, Limits};
use crate::retention::is_expired;
use crate::{Options, metrics};

/// How long blocks of a failed merge are left alone: one bad block must not hold up the others.
const SET_ASIDE: Duration = Duration::from_secs(3600);
/// The same for blocks that stay apart since a trace of theirs would be too large in one. That lasts, but how large is too
/// large follows from the memory, which may change.
const LEFT_APART: Duration = Duration::from_secs(24 * 3600);

/// Memory of one upload: parts that are on their way or wait.
const UPLOAD_BYTES: u64 = 32 << 20;

/// Works through the tenants, cycle by cycle.
#[derive(Debug)]
pub struct Compactor {
    pub(crate) store: BlockStore,
    pub(crate) options: Options,
    /// Metas never change, so each is read once.
    known: HashMap<(TenantId, Uuid), Arc<BlockMeta>>,
    /// Blocks that could not be merged, and when to try again.
    aside: HashMap<(TenantId, Uuid), Instant>,
    pub(crate) account: Account,
}

impl Compactor {
    /// A compactor over `store`.
    pub fn new(store: BlockStore, options: Options) -> Self {
        metrics::register();
        Self { store, options, known: HashMap::new(), aside: HashMap::new(), account: Account::default() }
    }

    /// Runs cycle after cycle, for ever.
    pub async fn run(mut self) {
        loop {
            let started = Instant::now();
            if let Err(error) = self.cycle().await {
                tracing::error!(%error, "could not list the tenants");
            }
            metrics::CYCLE_SECONDS.observe(started.elapsed().as_secs_f64());
            tokio::time::sleep(self.options.cycle).await;
        }
    }

    /// One cycle. A tenant that fails does not keep the others waiting.
    ///
    /// # Errors
    /// When the tenants cannot be listed.
    pub async fn cycle(&mut self) -> Result<()> {
        let tenants = self.store.tenants(&self.account).await?;
        for tenant in &tenants {
            if let Err(error) = self.tenant(tenant).await {
                metrics::INDEX_ERRORS.inc();
                tracing::error!(%tenant, %error, "could not bring a tenant's blocks in order");
            }
        }
        self.known.retain(|(tenant, _), _| tenants.contains(tenant));
        let now = Instant::now();
        self.aside.retain(|_, until| *until > now);
        Ok(())
    }

    async fn tenant(&mut self, tenant: &TenantId) -> Result<()> {
        let now = Timestamp::now();
        let mut blocks = self.store.blocks(tenant, &self.account).await?;
        self.read_metas(tenant, &blocks).await;
        self.merge(tenant, &mut blocks, now).await;
        // The rest is small work over the whole tenant, so one does all of it.
        if !(self.options.owns)(&format!("index/{tenant}")) {
            return Ok(());
        }
        self.mark_expired(tenant, &mut blocks, now).await;
        self.delete_old(tenant, &mut blocks, now).await;
        self.delete_leftovers(tenant, now).await;
        let index = self.index(tenant, &blocks, now);
        let length = i64::try_from(index.live.len()).unwrap_or(i64::MAX);
        metrics::BLOCKLIST_LENGTH.with_label_values(&[tenant.as_str()]).set(length);
        let there: HashSet<Uuid> = blocks
            .live
            .iter()
            .map(|live| live.block)
            .chain(blocks.compacted.iter().map(|block| block.block))
            .collect();
        self.known.retain(|(of, block), _| of != tenant || there.contains(block));
        self.store.write_tenant_index(tenant, &index, &self.account).await?;
        metrics::INDEX_AGE.with_label_values(&[tenant.as_str()]).set(0);
        Ok(())
    }

    /// Does the merges of a tenant that are this compactor's, for as long as it may take.
    async fn merge(&mut self, tenant: &TenantId, blocks: &mut BlockList, now: Timestamp) {
        let window = (self.options.window)(tenant);
        if window.is_zero() {
            return;
        }
        let limits =
            Limits { window, max_bytes: self.options.max_block_bytes, max_traces: self.options.max_traces };
        let retention = match SignedDuration::try_from((self.options.retention)(tenant)) {
            Ok(retention) if !retention.is_zero() => retention,
            _ => SignedDuration::MAX,
        };
        let metas: Vec<Arc<BlockMeta>> = blocks
            .live
            .iter()
            .filter(|live| !self.aside.contains_key(&(tenant.clone(), live.block)))
            .filter_map(|live| Some((live.written, self.meta(tenant, &live.block).cloned()?)))
            // What is about to go need not be written again, nor live longer by that.
            .filter(|(written, meta)| !is_expired(meta, *written, retention, now))
            .map(|(_, meta)| meta)
            .collect();
        let (jobs, mut outstanding) = plan::plan(metas.iter().map(Arc::as_ref), limits, now);
        let gauge = metrics::OUTSTANDING.with_label_values(&[tenant.as_str()]);
        let show = |outstanding: usize| gauge.set(i64::try_from(outstanding).unwrap_or(i64::MAX));
        show(outstanding);
        let started = Instant::now();
        for mut job in jobs {
            if started.elapsed() > self.options.max_time_per_tenant {
                break;
            }
            job.inputs.truncate(self.most_inputs());
            if !(self.options.owns)(&format!("merge/{tenant}/{}", job.window)) {
                continue;
            }
            match self.run_job(tenant, &job, blocks).await {
                Ok(()) => {
                    outstanding = outstanding.saturating_sub(job.inputs.len() - 1);
                    show(outstanding);
                }
                Err(failed) => self.set_aside(tenant, &job, &failed),
            }
        }
    }

    /// How many blocks fit into memory to be merged at once. At least two are tried.
    fn most_inputs(&self) -> usize {
        let free = self.options.memory.limit().saturating_sub(self.options.memory.used());
        let inputs = (free / 2).saturating_sub(self.row_group_memory() + UPLOAD_BYTES) / MEMORY_PER_INPUT;
        usize::try_from(inputs).unwrap_or(usize::MAX).max(2)
    }

    /// Row groups are smaller where memory is short.
    fn row_group_memory(&self) -> u64 {
        self.options.row_group_bytes.min(self.options.memory.limit() / 16)
    }

    /// One merge: the new block first, then its inputs go. A crash in between repeats the rest.
    #[tracing::instrument(name = "compactor.merge", target = SELF_TRACE, skip_all, fields(%tenant, inputs = job.inputs.len()))]
    async fn run_job(&mut self, tenant: &TenantId, job: &Job, blocks: &mut BlockList) -> Result<(), Failed> {
        let inputs: Vec<Arc<BlockMeta>> =
            job.inputs.iter().filter_map(|block| self.meta(tenant, block).cloned()).collect();
        let output = BlockPath::new(tenant.clone(), merge::output_id(&job.inputs));
        // The listing may be older than what another compactor did meanwhile.
        let is_there = blocks.live.iter().any(|live| live.block == output.block())
            || self.store.is_block(&output, &self.account).await;
        if is_there {
            tracing::info!(block = %output, "was merged before; its inputs go now");
        } else {
            let merged = self.write(&inputs, &output).await?;
            // Blocks without traces come to nothing, and go.
            if let Some(meta) = merged.meta {
                let written = Timestamp::now();
                blocks.live.push(ListedBlock { block: output.block(), written });
                self.known.insert((tenant.clone(), output.block()), Arc::new(meta));
            }
        }
        for meta in &inputs {
            let path = BlockPath::new(tenant.clone(), meta.block_id);
            match self.store.mark_compacted(&path, &self.account).await {
                Ok(()) => {}
                // Somebody else did the same.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(Error::from(error).into()),
            }
            blocks.live.retain(|live| live.block != meta.block_id);
            blocks.compacted.push(CompactedBlock { block: meta.block_id, since: Timestamp::now() });
        }
        Ok(())
    }

    async fn write(&self, inputs: &[Arc<BlockMeta>], output: &BlockPath) -> Result<Merged, Failed> {
        let row_group_bytes = self.row_group_memory();
        let needed = MEMORY_PER_INPUT * inputs.len() as u64 + row_group_bytes + UPLOAD_BYTES;
        // A merge can wait; queries get what it leaves.
        let left = self.options.memory.limit() / 16;
        let mut held = self.options.memory.reserve(needed + left, "merging blocks")?;
        held.shrink_to(needed);
        let settings = merge::Settings {
            row_group_bytes: usize::try_from(row_group_bytes).unwrap_or(usize::MAX),
            bloom_false_positive: self.options.bloom_false_positive,
            bloom_shard_size_bytes: self.options.bloom_shard_size_bytes,
            memory: self.options.memory.clone(),
        };
        let started = Instant::now();
        let merged =
            merge::merge(&self.store, inputs, output, &Changes::default(), &settings, &self.account).await?;
        let Merged { meta: Some(meta), duplicate_spans } = &merged else {
            return Ok(merged);
        };
        let traces: u64 = inputs.iter().map(|input| input.total_objects).sum();
        let level = meta.compaction_level.to_string();
        for input in inputs {
            metrics::BLOCKS.with_label_values(&[&input.compaction_level.to_string()]).inc();
        }
        metrics::BYTES_WRITTEN.with_label_values(&[&level]).inc_by(meta.size);
        metrics::OBJECTS_WRITTEN.with_label_values(&[&level]).inc_by(meta.total_objects);
        metrics::OBJECTS_COMBINED
            .with_label_values(&[&level])
            .inc_by(traces.saturating_sub(meta.total_objects));
        metrics::SPANS_DEDUPED
            .with_label_values(&[&meta.replication_factor.to_string()])
            .inc_by(*duplicate_spans);
        tracing::info!(
            block = %output, inputs = inputs.len(), traces = meta.total_objects, bytes = meta.size, duplicate_spans,
            took = ?started.elapsed(), "merged blocks"
        );
        Ok(merged)
    }

    fn set_aside(&mut self, tenant: &TenantId, job: &Job, failed: &Failed) {
        metrics::ERRORS.inc();
        let Failed { cause, error } = failed;
        // Short of memory, or a store that is down: the next cycle may do better. Otherwise it is the blocks.
        let transient = matches!(
            error.kind(),
            ErrorKind::Exhausted | ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::NotFound
        );
        let (blocks, pause): (Vec<Uuid>, Duration) = match cause {
            Cause::LargeTrace(blocks) => {
                metrics::LEFT_APART.inc_by(blocks.len() as u64);
                (blocks.clone(), if transient { SET_ASIDE } else { LEFT_APART })
            }
            _ if transient => (Vec::new(), SET_ASIDE),
            Cause::Unreadable(block) => (vec![*block], SET_ASIDE),
            Cause::Other => (job.inputs.clone(), SET_ASIDE),
        };
        tracing::error!(%tenant, ?job.inputs, %error, set_aside = ?blocks, ?pause, "could not merge blocks");
        let until = Instant::now() + pause;
        self.aside.extend(blocks.into_iter().map(|block| ((tenant.clone(), block), until)));
    }

    /// Reads the metas not known yet. A block whose meta cannot be read is left out of the index and named.
    async fn read_metas(&mut self, tenant: &TenantId, blocks: &BlockList) {
        let unknown = |block: &Uuid| !self.known.contains_key(&(tenant.clone(), *block));
        let live = blocks.live.iter().map(|live| live.block).filter(unknown).map(|block| (block, false));
        let compacted =
            blocks.compacted.iter().map(|block| block.block).filter(unknown).map(|block| (block, true));
        let wanted: Vec<(Uuid, bool)> = live.chain(compacted).collect();
        let read: Vec<_> = futures::stream::iter(wanted)
            // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
            .map(|(block, compacted)| {
                self.read_meta(BlockPath::new(tenant.clone(), block), compacted).boxed()
            })
            .buffer_unordered(self.options.concurrency.max(1))
            .collect()
            .await;
        for (path, meta) in read {
            match meta {
                Ok(meta) => {
                    self.known.insert((tenant.clone(), path.block()), Arc::new(meta));
                }
                Err(error) => {
                    tracing::warn!(block = %path, %error, "a block's meta cannot be read; the index leaves it out")
                }
            }
        }
    }

    async fn read_meta(
        &self,
        path: BlockPath,
        compacted: bool,
    ) -> (BlockPath, tempoform_block::Result<BlockMeta>) {
        let meta = if compacted {
            self.store.read_compacted_meta(&path, &self.account).await
        } else {
            self.store.read_meta(&path, &self.account).await
        };
        (path, meta)
    }

    fn index(&self, tenant: &TenantId, blocks: &BlockList, now: Timestamp) -> TenantIndex {
        let meta = |block: &Uuid| self.meta(tenant, block).map(|meta| BlockMeta::clone(meta));
        let live = blocks.live.iter().filter_map(|live| meta(&live.block)).collect();
        let compacted = blocks
            .compacted
            .iter()
            .filter_map(|block| Some(CompactedMeta { meta: meta(&block.block)?, compacted_at: block.since }))
            .collect();
        TenantIndex { created_at: now, live, compacted }
    }

    pub(crate) fn meta(&self, tenant: &TenantId, block: &Uuid) -> Option<&Arc<BlockMeta>> {
        self.known.get(&(tenant.clone(), *block))
    }
}
