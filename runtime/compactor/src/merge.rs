//! One block out of several: copied column by column where that can be ([`copy`]), else trace by trace. Never more than a
//! part of each is in memory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tempoform_block::dedicated::filter_for_version;
use tempoform_block::{
    BlockError, BlockMeta, BlockObjects, BlockPath, BlockReader, BlockStore, BlockUpload, BlockVersion,
    BlockWriter, DedicatedColumn, EncodedTrace, WriteError, WriterOptions, WrittenBlock, combine_traces,
};
use tempoform_core::{Account, Error, ErrorKind, MemoryBudget, Reservation, Result, TraceId};
use tempoform_wire::otlp::TracesData;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use uuid::Uuid;

mod copy;

/// Traces on their way to the writer, by number and by their bytes.
const TRACES_WAITING: usize = 64;
const BYTES_WAITING: u32 = 4 << 20;
/// Memory for reading a block that a merge holds from its beginning: columns of a few hundred traces, and the traces.
const MEMORY_PER_INPUT: u64 = 32 << 20;
/// The share of the memory for merging that one input has of that at most: one of so many.
const INPUT_SHARE: u64 = 8;
/// Stored bytes of a block that are read and decoded at a time, about; decoded they are a hundred times as many.
const BYTES_AT_ONCE: u64 = 256 << 10;

/// How long memory for a large trace is waited for, and between looks.
const PATIENCE: Duration = Duration::from_secs(10);
const MEMORY_PAUSE: Duration = Duration::from_millis(50);

/// Memory for reading a block that a merge holds from its beginning, of what there is for merging.
pub(crate) fn memory_per_input(memory: &MemoryBudget) -> u64 {
    MEMORY_PER_INPUT.min(memory.limit() / INPUT_SHARE)
}

/// How blocks are written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of spans in one row group; about as much memory is needed.
    pub row_group_bytes: usize,
    /// Rate of false positives of bloom filters, 0 to 1.
    pub bloom_false_positive: f64,
    /// Bytes of a bloom shard.
    pub bloom_shard_size_bytes: u32,
    /// What is needed for large traces is reserved from this.
    pub memory: MemoryBudget,
    /// Most bytes of a block's `tempoform.extra`, not compressed; [`tempoform_block::extra::MAX_BYTES`] but for tests.
    pub max_sidecar_bytes: u64,
}

/// What is to be other than in the inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Traces that are left out.
    pub without: BTreeSet<TraceId>,
    /// Attributes with a column of their own; `None`: those of the first input.
    pub dedicated_columns: Option<Vec<DedicatedColumn>>,
}

/// The id of the block that `inputs` (ascending) are merged into. It follows from all that its bytes follow from, so that
/// whoever merges them, again after a crash or at the same time, writes the same bytes, and those who would write others do
/// so elsewhere.
pub(crate) fn output_id(inputs: &[Uuid], settings: &Settings) -> Uuid {
    let Settings {
        row_group_bytes,
        bloom_false_positive,
        bloom_shard_size_bytes,
        memory: _,
        max_sidecar_bytes: _,
    } = settings;
    let mut name: Vec<u8> = inputs.iter().flat_map(|id| *id.as_bytes()).collect();
    name.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
    name.extend_from_slice(&row_group_bytes.to_le_bytes());
    name.extend_from_slice(&bloom_false_positive.to_le_bytes());
    name.extend_from_slice(&bloom_shard_size_bytes.to_le_bytes());
    Uuid::new_v5(&NAMESPACE, &name)
}

/// Of our merged blocks; any fixed value will do.
pub(crate) const NAMESPACE: Uuid = Uuid::from_u128(0x6f2b_9c1e_3d47_4b8a_9e0c_5a17_d2c4_8b31);

/// Why a merge failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) cause: Cause,
    pub(crate) error: Error,
}

/// Whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// This block cannot be read.
    Unreadable(Uuid),
    /// These blocks have a trace, or parts of one, that is too large to be merged.
    LargeTrace(Vec<Uuid>),
    /// Together the blocks are more than one block may be.
    LargeTogether,
    /// No block's in particular.
    Other,
}

impl Failed {
    fn unreadable(block: Uuid, error: impl Into<Error>) -> Self {
        Self { cause: Cause::Unreadable(block), error: error.into() }
    }
}

impl From<BlockError> for Failed {
    fn from(error: BlockError) -> Self {
        Error::from(error).into()
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { cause: Cause::Other, error }
    }
}

/// What a merge made.
#[derive(Debug)]
pub(crate) struct Merged {
    /// `None` when nothing was left to write.
    pub(crate) meta: Option<BlockMeta>,
    /// Spans that were there more than once.
    pub(crate) duplicate_spans: u64,
}

/// Writes the block that `inputs` come to with some `changes`, in full, with its meta last.
pub(crate) async fn merge(
    store: &BlockStore,
    inputs: &[Arc<BlockMeta>],
    output: &BlockPath,
    changes: &Changes,
    settings: &Settings,
    account: &Account,
) -> Result<Merged, Failed> {
    let options = WriterOptions {
        dedicated_columns: dedicated_columns(inputs, changes),
        row_group_bytes: settings.row_group_bytes,
        bloom_false_positive: settings.bloom_false_positive,
        bloom_shard_size_bytes: settings.bloom_shard_size_bytes,
        expected_traces: inputs.iter().map(|meta| meta.total_objects).sum(),
        max_sidecar_bytes: settings.max_sidecar_bytes,
        ..WriterOptions::default()
    };
    let mut readers = Vec::with_capacity(inputs.len());
    for meta in inputs {
        readers.push(open(store, output, meta, account).await?);
    }
    let memory = &settings.memory;
    let merge = Merge { store, inputs, output, changes, options, memory, account };
    if let Some(copied) = copy::merge(&merge, &readers).await? {
        return Ok(copied);
    }
    merge.decode(readers).await
}

/// One merge, and what it goes by.
pub(crate) struct Merge<'a> {
    pub(crate) store: &'a BlockStore,
    pub(crate) inputs: &'a [Arc<BlockMeta>],
    pub(crate) output: &'a BlockPath,
    pub(crate) changes: &'a Changes,
    pub(crate) options: WriterOptions,
    /// What is needed for large traces is reserved from this.
    pub(crate) memory: &'a MemoryBudget,
    pub(crate) account: &'a Account,
}

impl Merge<'_> {
    /// Decodes every trace and writes it again: for blocks that cannot be copied.
    pub(crate) async fn decode(&self, readers: Vec<BlockReader>) -> Result<Merged, Failed> {
        let mut sources: Vec<_> =
            readers.into_iter().map(|reader| Source::new(reader, self.memory)).collect();
        let (traces, received) = mpsc::channel(TRACES_WAITING);
        let sink = Sink { traces, room: Arc::new(Semaphore::new(BYTES_WAITING as usize)) };
        let options = self.options.clone();
        let mut upload = self.store.upload(self.output.clone());
        let building = upload.build(self.account, move |output| write(received, output, options));
        let most_bytes = self.memory.trace_part_bytes();
        let reading = read(&mut sources, &self.changes.without, sink, most_bytes, self.account);
        let (read, written) = tokio::join!(reading, building);
        // What stopped the reading is the cause of whatever else failed.
        let duplicate_spans = read?;
        self.finish(upload, written?, duplicate_spans).await
    }

    /// Writes what a block has besides its data.
    pub(crate) async fn finish(
        &self,
        upload: BlockUpload,
        written: WrittenBlock,
        duplicate_spans: u64,
    ) -> Result<Merged, Failed> {
        if written.total_objects == 0 {
            // So little is sent only by `finish`.
            return Ok(Merged { meta: None, duplicate_spans });
        }
        let meta = meta(self.inputs, self.output, self.options.dedicated_columns.clone(), &written);
        let objects =
            BlockObjects { blooms: written.blooms, index: Some(written.index), sidecars: written.sidecars };
        upload.finish(objects, &meta, self.account).await.map_err(Error::from)?;
        Ok(Merged { meta: Some(meta), duplicate_spans })
    }
}

async fn open(
    store: &BlockStore,
    output: &BlockPath,
    meta: &BlockMeta,
    account: &Account,
) -> Result<BlockReader, Failed> {
    let path = BlockPath::new(output.tenant().clone(), meta.block_id);
    let reader = BlockReader::open(store, path, meta, account).await;
    reader.map_err(|error| Failed::unreadable(meta.block_id, error))
}

/// The columns of the output, as far as its format has them.
fn dedicated_columns(inputs: &[Arc<BlockMeta>], changes: &Changes) -> Vec<DedicatedColumn> {
    let of_inputs = || inputs.first().map(|meta| &meta.dedicated_columns);
    let columns = changes.dedicated_columns.as_ref().or_else(of_inputs);
    columns.map(|columns| filter_for_version(&BlockVersion::VParquet4, columns)).unwrap_or_default()
}

fn meta(
    inputs: &[Arc<BlockMeta>],
    output: &BlockPath,
    dedicated_columns: Vec<DedicatedColumn>,
    written: &WrittenBlock,
) -> BlockMeta {
    let mut meta = BlockMeta::new(BlockVersion::VParquet4, output.block(), output.tenant().as_str());
    // Not the spans' own times: blocks of others may say less or more than their spans do.
    meta.start_time = inputs.iter().map(|input| input.start_time).min().unwrap_or(meta.start_time);
    meta.end_time = inputs.iter().map(|input| input.end_time).max().unwrap_or(meta.end_time);
    meta.total_objects = written.total_objects;
    meta.size = written.size;
    let level = inputs.iter().map(|input| input.compaction_level).max().unwrap_or(0);
    // One block written again is no further along.
    meta.compaction_level = level + u32::from(inputs.len() > 1);
    meta.total_records = written.total_records.max(1);
    meta.bloom_shards = written.blooms.len() as u32;
    meta.footer_size = written.footer_size;
    meta.dedicated_columns = dedicated_columns;
    meta.replication_factor = inputs.first().map_or(0, |input| input.replication_factor);
    if inputs.len() > 1 {
        meta.merged_from = inputs.iter().map(|input| input.block_id).collect();
    }
    meta
}

/// A block that is read from its first trace to its last.
pub(crate) struct Source {
    reader: BlockReader,
    /// Rows of row groups not read yet.
    ahead: VecDeque<(usize, std::ops::Range<u64>)>,
    traces: VecDeque<(TraceId, TracesData)>,
    memory: MemoryBudget,
    /// What `traces` take more than [`memory_per_input`].
    held: Option<Arc<Reservation>>,
}

impl Source {
    pub(crate) async fn open(
        store: &BlockStore,
        output: &BlockPath,
        meta: &BlockMeta,
        memory: &MemoryBudget,
        account: &Account,
    ) -> Result<Self, Failed> {
        Ok(Self::new(open(store, output, meta, account).await?, memory))
    }

    fn new(reader: BlockReader, memory: &MemoryBudget) -> Self {
        let meta = reader.meta();
        let at_once = (meta.total_objects * BYTES_AT_ONCE / meta.size.max(1)).clamp(1, 1 << 20);
        let parts = |group: usize| {
            let rows = reader.traces_in(group);
            (0..rows).step_by(at_once as usize).map(move |first| (group, first..rows.min(first + at_once)))
        };
        let ahead = (0..reader.row_groups()).flat_map(parts).collect();
        Self { reader, ahead, traces: VecDeque::new(), memory: memory.clone(), held: None }
    }

    /// The next trace, with all rows of its id put together.
    pub(crate) async fn next(&mut self, account: &Account) -> Result<Option<(TraceId, TracesData)>, Failed> {
        self.fill(account).await?;
        let Some((id, first)) = self.traces.pop_front() else { return Ok(None) };
        let mut pieces = vec![first];
        self.fill(account).await?;
        while let Some((_, piece)) = self.traces.pop_front_if(|(front, _)| *front == id) {
            pieces.push(piece);
            self.fill(account).await?;
        }
        Ok(Some((id, combine_traces(pieces))))
    }

    /// Has the next trace at the front, if there is one.
    async fn fill(&mut self, account: &Account) -> Result<(), Failed> {
        while self.traces.is_empty() {
            let Some((group, rows)) = self.ahead.pop_front() else { return Ok(()) };
            // What was read before may be on its way yet, and holds its memory as long.
            self.held = None;
            let unreadable = |error| Failed::unreadable(self.reader.meta().block_id, error);
            let plan = self.reader.plan_traces(group, rows, account).await.map_err(unreadable)?;
            let more = plan.memory().saturating_sub(memory_per_input(&self.memory));
            if more > 0 {
                self.held = Some(Arc::new(self.reserve(more).await?));
            }
            self.traces = self.reader.read_traces(plan, account).await.map_err(unreadable)?.into();
        }
        Ok(())
    }

    /// Memory for large traces. Those before them give theirs back once they are written.
    async fn reserve(&self, bytes: u64) -> Result<Reservation, Failed> {
        let started = tokio::time::Instant::now();
        loop {
            match self.memory.reserve(bytes, "reading a large trace to merge its block") {
                Ok(reserved) => return Ok(reserved),
                Err(error) if started.elapsed() >= PATIENCE || bytes > self.memory.limit() => {
                    let block = self.reader.meta().block_id;
                    let error = error.context(format!("block {block}"));
                    return Err(Failed { cause: Cause::LargeTrace(vec![block]), error });
                }
                Err(_) => tokio::time::sleep(MEMORY_PAUSE).await,
            }
        }
    }

    /// The next trace if it has this id, and what it holds.
    fn take(&mut self, id: TraceId) -> Option<(TracesData, Option<Arc<Reservation>>)> {
        let (_, trace) = self.traces.pop_front_if(|(front, _)| *front == id)?;
        Some((trace, self.held.clone()))
    }
}

/// Where traces go to be written.
struct Sink {
    traces: mpsc::Sender<Sent>,
    /// Bytes that may wait.
    room: Arc<Semaphore>,
}

/// A trace on its way to the writer, with what it holds until it is written.
struct Sent {
    id: TraceId,
    trace: TracesData,
    _held: (Vec<Arc<Reservation>>, OwnedSemaphorePermit),
}

impl Sink {
    /// Waits until there is room; false once the writer has failed.
    async fn send(&self, id: TraceId, trace: TracesData, held: Vec<Arc<Reservation>>) -> bool {
        let bytes = u32::try_from(trace.encoded_len()).unwrap_or(u32::MAX).min(BYTES_WAITING);
        let Ok(place) = Arc::clone(&self.room).acquire_many_owned(bytes).await else { return false };
        self.traces.send(Sent { id, trace, _held: (held, place) }).await.is_ok()
    }
}

/// Sends the traces of all sources on, ids ascending, each once, without some of them. Gives the number of spans that
/// came again.
async fn read(
    sources: &mut [Source],
    without: &BTreeSet<TraceId>,
    sink: Sink,
    most_bytes: u64,
    account: &Account,
) -> Result<u64, Failed> {
    let mut duplicates = 0;
    loop {
        for source in &mut *sources {
            source.fill(account).await?;
        }
        let Some(id) = sources.iter().filter_map(|source| Some(source.traces.front()?.0)).min() else {
            return Ok(duplicates);
        };
        let (mut pieces, mut held, mut of_blocks) = (Vec::new(), Vec::new(), Vec::new());
        for source in &mut *sources {
            // A block may hold a trace twice: replicas of Tempo's ingesters, merged by somebody else.
            while let Some((piece, holds)) = source.take(id) {
                pieces.push(piece);
                held.extend(holds);
                of_blocks.push(source.reader.meta().block_id);
                source.fill(account).await?;
            }
        }
        if without.contains(&id) {
            continue;
        }
        of_blocks.dedup();
        if of_blocks.len() > 1 {
            let bytes = pieces.iter().map(|piece| piece.encoded_len() as u64).sum();
            if bytes > most_bytes {
                return Err(too_large(id, bytes, of_blocks, most_bytes));
            }
        }
        let before: usize = pieces.iter().map(spans).sum();
        let trace = combine_traces(pieces);
        duplicates += (before - spans(&trace)) as u64;
        if !sink.send(id, trace, held).await {
            // The writer has failed, and says why.
            return Ok(duplicates);
        }
    }
}

/// A trace that several blocks have parts of is put together up to `limit` bytes.
fn too_large(id: TraceId, bytes: u64, blocks: Vec<Uuid>, limit: u64) -> Failed {
    let message = format!(
        "trace {id} has {bytes} bytes in {} blocks, over the {limit} that a merged block takes of one trace: these blocks stay apart",
        blocks.len()
    );
    Failed { cause: Cause::LargeTrace(blocks), error: Error::new(ErrorKind::Invalid, message) }
}

fn spans(trace: &TracesData) -> usize {
    trace
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .map(|scope| scope.spans.len())
        .sum()
}

fn not_written(error: &WriteError) -> Failed {
    let cause = match error {
        WriteError::SidecarTooLarge { .. } => Cause::LargeTogether,
        _ => Cause::Other,
    };
    Failed {
        cause,
        error: Error::new(ErrorKind::Internal, format!("could not write the merged block: {error}")),
    }
}

fn write(
    mut traces: mpsc::Receiver<Sent>,
    output: tempoform_block::BlockOutput,
    options: WriterOptions,
) -> Result<WrittenBlock, Failed> {
    let failed = |error| not_written(&error);
    let mut writer = BlockWriter::new(output, options).map_err(failed)?;
    while let Some(Sent { id, trace, _held }) = traces.blocking_recv() {
        let encoded = EncodedTrace::of(&trace);
        drop(trace);
        writer.add_trace(id, &encoded.resources()).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests;
