//! The merges of a tenant: which are due, several at once, and what becomes of those that fail.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tempoform_block::{
    BlockError, BlockList, BlockMeta, BlockObject, BlockPath, BlockState, CompactedBlock, ListedBlock,
};
use tempoform_core::{Error, ErrorKind, Reservation, Result, SELF_TRACE};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{Id, JoinError, JoinSet};
use uuid::Uuid;

use crate::aside::Fault;
use crate::compactor::Shared;
use crate::merge::{self, Changes, Failed, Merged};
use crate::metrics;
use crate::plan::{self, Backlog, Job, Limits, Plan};
use crate::retention::is_expired;
use crate::tenant::Tenant;

/// Memory of one upload: parts that are on their way or wait.
const UPLOAD_BYTES: u64 = 32 << 20;
/// How long a merge waits for memory, and how often it looks.
const MEMORY_PATIENCE: Duration = Duration::from_secs(30);
const MEMORY_PERIOD: Duration = Duration::from_millis(200);

/// What a merge came to.
#[derive(Debug, Default)]
struct Outcome {
    /// The new block.
    new: Option<BlockMeta>,
    /// Inputs that are compacted now.
    marked: Vec<Uuid>,
    failed: Option<Failed>,
}

/// Merges under way, and what came of those before.
#[derive(Default)]
struct Round {
    /// They end when this is dropped.
    running: JoinSet<Outcome>,
    jobs: HashMap<Id, Job>,
    /// Parts of jobs that failed through the fault of one of their blocks, to find out which.
    parts: Vec<Job>,
    /// Jobs that failed through nobody's fault: not again in this cycle.
    left_alone: HashSet<Vec<Uuid>>,
    /// Blocks that were merged and could not be marked: the next cycle does.
    unmarked: HashSet<Uuid>,
}

impl Tenant {
    /// Does the merges that are this compactor's, round by round, for as long as it may take.
    pub(crate) async fn merge(&mut self, blocks: &mut BlockList, now: Timestamp) {
        let Some(limits) = self.limits() else {
            return self.shared.status.set_backlog(&self.id, Backlog::default());
        };
        let deadline = Instant::now() + self.shared.options.max_time_per_tenant;
        let mut round = Round::default();
        loop {
            let mut jobs = std::mem::take(&mut round.parts);
            jobs.extend(self.plan(blocks, limits, &jobs, &round.unmarked, now).jobs);
            jobs.iter_mut().for_each(|job| job.inputs.truncate(self.shared.most_inputs()));
            jobs.retain(|job| !round.left_alone.contains(&job.inputs) && self.owns(job));
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                let slot = self.slot(&mut round, blocks).await;
                if Instant::now() >= deadline {
                    break;
                }
                self.start(job, slot, &mut round);
            }
            while let Some(ended) = round.running.join_next_with_id().await {
                self.ended(ended, &mut round, blocks).await;
            }
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    /// What merged blocks may be; `None` when nothing is merged.
    fn limits(&self) -> Option<Limits> {
        let options = &self.shared.options;
        let window = (options.window)(&self.id);
        let limits = Limits { window, max_bytes: options.max_block_bytes, max_traces: options.max_traces };
        (!window.is_zero()).then_some(limits)
    }

    /// The merges that are due besides `under_way`, and the whole backlog, which is shown.
    fn plan(
        &self,
        blocks: &BlockList,
        limits: Limits,
        under_way: &[Job],
        unmarked: &HashSet<Uuid>,
        now: Timestamp,
    ) -> Plan {
        let retention = match SignedDuration::try_from((self.shared.options.retention)(&self.id)) {
            Ok(retention) if !retention.is_zero() => retention,
            _ => SignedDuration::MAX,
        };
        let taken: HashSet<Uuid> = under_way.iter().flat_map(|job| job.inputs.iter().copied()).collect();
        // A writer that has not finished with its block may write it again.
        let free = |block: &Uuid| {
            !(self.known.aside.contains_key(block)
                || taken.contains(block)
                || unmarked.contains(block)
                || blocks.no_compact.contains(block))
        };
        let metas: Vec<Arc<BlockMeta>> = blocks
            .live
            .iter()
            .filter(|live| free(&live.block))
            .filter_map(|live| Some((live.written, self.meta(&live.block).cloned()?)))
            // What is about to go need not be written again, nor live longer by that.
            .filter(|(written, meta)| !is_expired(meta, *written, retention, now))
            .map(|(_, meta)| meta)
            .collect();
        let plan = plan::plan(metas.iter().map(Arc::as_ref), limits, now);
        let mut backlog = plan.backlog;
        for job in under_way {
            backlog += self.share(job);
        }
        self.shared.status.set_backlog(&self.id, backlog);
        plan
    }

    /// What a merge takes off the backlog.
    fn share(&self, job: &Job) -> Backlog {
        let bytes = job.inputs.iter().filter_map(|block| self.meta(block)).map(|meta| meta.size).sum();
        Backlog { blocks: (job.inputs.len() as u64).saturating_sub(1), bytes }
    }

    fn owns(&self, job: &Job) -> bool {
        (self.shared.options.owns)(&format!("merge/{}/{}", self.id, job.window))
    }

    /// Waits until a merge may start, and takes in what ends meanwhile.
    async fn slot(&mut self, round: &mut Round, blocks: &mut BlockList) -> Option<OwnedSemaphorePermit> {
        loop {
            let slots = Arc::clone(&self.shared.merges);
            let ended = tokio::select! {
                biased;
                Some(ended) = round.running.join_next_with_id() => ended,
                // Nobody closes it.
                slot = slots.acquire_owned() => return slot.ok(),
            };
            self.ended(ended, round, blocks).await;
        }
    }

    fn start(&self, job: Job, slot: Option<OwnedSemaphorePermit>, round: &mut Round) {
        let inputs: Vec<_> = job.inputs.iter().filter_map(|block| self.meta(block).cloned()).collect();
        let output = self.path(merge::output_id(&job.inputs, &self.shared.settings()));
        let shared = Arc::clone(&self.shared);
        let task = round.running.spawn(async move {
            let outcome = shared.run_job(&inputs, &output).await;
            drop(slot);
            outcome
        });
        round.jobs.insert(task.id(), job);
    }

    async fn ended(
        &mut self,
        ended: Result<(Id, Outcome), JoinError>,
        round: &mut Round,
        blocks: &mut BlockList,
    ) {
        let (id, outcome) = ended.unwrap_or_else(|panic| {
            // Not to be reached; whatever a block holds, it must not end the process's upkeep.
            let error = Error::new(ErrorKind::Internal, format!("merging ended unexpectedly: {panic}"));
            (panic.id(), Outcome { failed: Some(error.into()), ..Outcome::default() })
        });
        let Some(job) = round.jobs.remove(&id) else { return };
        let Outcome { new, marked, failed } = outcome;
        if new.is_some() && failed.is_some() {
            round.unmarked.extend(job.inputs.iter().filter(|input| !marked.contains(input)));
        }
        if let Some(meta) = new {
            blocks.live.push(ListedBlock { block: meta.block_id, written: Timestamp::now() });
            self.add_meta(meta);
        }
        blocks.live.retain(|live| !marked.contains(&live.block));
        for block in marked {
            self.meta_moved(&block);
            blocks.compacted.push(CompactedBlock { block, since: Timestamp::now() });
        }
        match failed {
            None => self.shared.status.take_off(&self.id, self.share(&job)),
            Some(failed) => self.failed(job, &failed, round).await,
        }
    }

    async fn failed(&mut self, job: Job, failed: &Failed, round: &mut Round) {
        let fault = self.fault(failed).await;
        if matches!(fault, Fault::OneOf | Fault::Together) && job.inputs.len() > 2 {
            metrics::ERRORS.inc();
            tracing::warn!(tenant = %self.id, ?job.inputs, error = %failed.error, "could not merge blocks; half of them are tried");
            let halves = job.inputs.chunks(job.inputs.len().div_ceil(2)).filter(|half| half.len() > 1);
            round.parts.extend(halves.map(|half| Job { window: job.window, inputs: half.to_vec() }));
        } else if !self.take_fault(fault, &job.inputs, failed).await {
            round.left_alone.insert(job.inputs);
        }
    }
}

impl Shared {
    /// How many blocks fit into memory to be merged at once. At least two are tried.
    fn most_inputs(&self) -> usize {
        let free = self.memory.limit().saturating_sub(self.memory.used());
        let left = free.saturating_sub(self.row_group_memory() + self.upload_memory());
        let inputs = left / merge::memory_per_input(&self.memory).max(1);
        usize::try_from(inputs).unwrap_or(usize::MAX).max(2)
    }

    /// Row groups are smaller where memory is short.
    fn row_group_memory(&self) -> u64 {
        self.options.row_group_bytes.min(self.memory.limit() / 8)
    }

    fn upload_memory(&self) -> u64 {
        UPLOAD_BYTES.min(self.memory.limit() / 4)
    }

    fn settings(&self) -> merge::Settings {
        merge::Settings {
            row_group_bytes: usize::try_from(self.row_group_memory()).unwrap_or(usize::MAX),
            bloom_false_positive: self.options.bloom_false_positive,
            bloom_shard_size_bytes: self.options.bloom_shard_size_bytes,
            memory: self.memory.clone(),
            max_sidecar_bytes: self.options.max_sidecar_bytes,
        }
    }

    /// Whether a block is there with all its data, or was and has been merged further since.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(crate) async fn has_whole(&self, block: &BlockPath) -> tempoform_block::Result<bool> {
        let folder = match self.store.folder(block, &self.account).await {
            Err(error) if error.is_not_found() => return Ok(false),
            folder => folder?,
        };
        match folder.state {
            BlockState::HalfWritten => Ok(false),
            BlockState::Compacted => Ok(true),
            BlockState::Live => match self.store.read_meta(block, &self.account).await {
                Ok(meta) => Ok(folder.object(&BlockObject::Data).is_some_and(|data| data.size >= meta.size)),
                Err(BlockError::Corrupt { .. }) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// One merge: the new block first, then its inputs go. A crash in between repeats the rest.
    #[tracing::instrument(name = "compactor.merge", target = SELF_TRACE, skip_all, fields(%output, inputs = inputs.len()))]
    async fn run_job(&self, inputs: &[Arc<BlockMeta>], output: &BlockPath) -> Outcome {
        let mut outcome = Outcome::default();
        // The listing may be older than what another compactor did meanwhile. Without an answer nothing is done: to take it
        // for a yes would delete the inputs.
        match self.has_whole(output).await {
            Ok(true) => tracing::info!(block = %output, "was merged before; its inputs go now"),
            Ok(false) => match self.write(inputs, output).await {
                // Blocks without traces come to nothing, and go.
                Ok(merged) => outcome.new = merged.meta,
                Err(failed) => return Outcome { failed: Some(failed), ..outcome },
            },
            Err(error) => return Outcome { failed: Some(Error::from(error).into()), ..outcome },
        }
        for meta in inputs {
            let path = BlockPath::new(output.tenant().clone(), meta.block_id);
            match self.store.mark_compacted(&path, &self.account).await {
                Err(error) if !error.is_not_found() => {
                    outcome.failed = Some(Error::from(error).into());
                    return outcome;
                }
                // Not found: somebody else did the same.
                _ => outcome.marked.push(meta.block_id),
            }
        }
        outcome
    }

    async fn write(&self, inputs: &[Arc<BlockMeta>], output: &BlockPath) -> Result<Merged, Failed> {
        let needed = merge::memory_per_input(&self.memory) * inputs.len() as u64
            + self.row_group_memory()
            + self.upload_memory();
        let _held = self.memory(needed).await?;
        let settings = self.settings();
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

    /// Memory for a merge. Others, and queries, give some back before long.
    async fn memory(&self, needed: u64) -> Result<Reservation> {
        let started = Instant::now();
        loop {
            match self.memory.reserve(needed, "merging blocks") {
                Err(_) if started.elapsed() < MEMORY_PATIENCE && needed <= self.memory.limit() => {
                    tokio::time::sleep(MEMORY_PERIOD).await;
                }
                other => return other,
            }
        }
    }
}
