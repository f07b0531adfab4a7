//! From a sealed segment to a verified block in storage. Only then the log goes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;
use tempoform_block::{
    BlockMeta, BlockObjects, BlockOutput, BlockPath, BlockVersion, BlockWriter, DedicatedColumn,
    EncodedResource, EncodedScope, WriterOptions, WrittenBlock,
};
use tempoform_core::protobuf::{Fields, Value};
use tempoform_core::{Account, Error, ErrorKind, Reservation, Result, SELF_TRACE, TenantId};
use tempoform_wire::internal::SettleRequest;
use uuid::Uuid;

use crate::ingester::{Shared, blocking};
use crate::merge::by_trace;
use crate::metrics;
use crate::options::Options;
use crate::recovery::{remove, repair};
use crate::tenant_log::{SealedSegment, TenantLog};
use crate::wal::{Place, Run, SegmentPaths, sync_directory, verify_segment};

/// Memory of one upload: parts that are on their way or wait.
const UPLOAD_BYTES: u64 = 32 << 20;
/// Between looks whether there is memory.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);
/// Waits between attempts grow from the first to the last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// Uploads one segment after the other, for ever.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let due = shared.all_logs().into_iter().find_map(|log| log.take_due().map(|segment| (log, segment)));
        let Some((log, segment)) = due else {
            shared.flush_due.notified().await;
            continue;
        };
        // Another worker may have something to do as well.
        shared.flush_due.notify_one();
        if segment.index.run_count() == 0 {
            // The disk was full before anything came to it.
            log.discard(&segment);
            remove_segment(&segment);
            continue;
        }
        let _held = room(&shared).await;
        let started = Instant::now();
        let flushed = tokio::time::timeout(shared.options.flush_timeout, flush(&shared, &segment))
            .await
            .unwrap_or_else(|_| {
                let after = shared.options.flush_timeout;
                Err(Error::new(
                    ErrorKind::Timeout,
                    format!("not done within {after:?} (ingester.flush_op_timeout)"),
                ))
            });
        match flushed {
            Ok(metas) => {
                metrics::FLUSH_SECONDS.observe(started.elapsed().as_secs_f64());
                for meta in &metas {
                    metrics::BLOCKS_FLUSHED.inc();
                    tracing::info!(
                        tenant = %log.tenant, block = %meta.block_id, traces = meta.total_objects, bytes = meta.size,
                        took = ?started.elapsed(), "block is in storage"
                    );
                }
                let news = SettleRequest {
                    stored: segment.batches.to_wire(),
                    fresh_blocks: metas.iter().map(|meta| meta.to_json().into()).collect(),
                    ..SettleRequest::default()
                };
                log.flushed(&segment, metas, shared.options.fresh_for);
                remove_segment(&segment);
                // Whoever does not hear of it now asks.
                if let Some(others) = shared.options.others.clone().filter(|_| !segment.batches.is_empty()) {
                    others.settle(&log.tenant, news).await;
                }
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                // The segment, or what the store says of the block.
                let (log, suspect) = (Arc::clone(&log), Arc::clone(&segment));
                if let Err(error) = blocking(move || repair_damaged(&log, &suspect, error)).await {
                    put_off(&segment, &error);
                }
            }
            Err(error) => put_off(&segment, &error),
        }
    }
}

fn put_off(segment: &SealedSegment, error: &Error) {
    metrics::FAILED_FLUSHES.inc();
    let mut attempts = segment.attempts();
    attempts.running = false;
    attempts.failed += 1;
    let wait = RETRY_FIRST.saturating_mul(1 << attempts.failed.min(10)).min(RETRY_LAST);
    attempts.next = Some(Instant::now() + wait);
    tracing::error!(
        tenant = %segment.tenant, segment = %segment.paths.id(), %error, attempts = attempts.failed, next_in = ?wait,
        "could not bring a block into storage; the log keeps its spans"
    );
}

/// Brings a segment into storage: as one block, and one more for each further part of its largest trace. A trace is one row
/// of a block, which has to fit into memory, and is there once; readers put the parts in several blocks together.
///
/// The block with the segment's own id comes last: once that is noted, the log may go. Parts that are in storage are not
/// brought there again when a later one fails.
#[tracing::instrument(name = "ingester.flush", target = SELF_TRACE, skip_all, fields(tenant = %segment.tenant, block = %segment.paths.id()))]
async fn flush(shared: &Arc<Shared>, segment: &Arc<SealedSegment>) -> Result<Vec<BlockMeta>> {
    if segment.recovered {
        let checked = Arc::clone(segment);
        blocking(move || check_records(&checked)).await?;
    }
    let parts = {
        let (segment, part_bytes) = (Arc::clone(segment), shared.memory.trace_part_bytes());
        blocking(move || parts(&segment, part_bytes)).await?
    };
    let mut stored = segment.attempts().stored.clone();
    for part in parts.into_iter().rev().skip(stored.len()) {
        let meta = store_part(shared, segment, part).await?;
        stored.push(meta.clone());
        segment.attempts().stored.push(meta);
    }
    Ok(stored)
}

/// Builds and uploads one block of a segment.
async fn store_part(shared: &Arc<Shared>, segment: &Arc<SealedSegment>, part: Part) -> Result<BlockMeta> {
    let account = Account::default();
    let id = part.block_id(segment);
    let mut upload = shared.store.upload(BlockPath::new(segment.tenant.clone(), id));
    // The tenant's limits may change meanwhile; data and meta must agree.
    let columns = (shared.options.dedicated_columns)(&segment.tenant);
    let written = {
        let (segment, shared, columns) = (Arc::clone(segment), Arc::clone(shared), columns.clone());
        upload.build(&account, move |output| build(&segment, part, &shared, columns, output)).await?
    };
    let meta = meta(id, &segment.tenant, &shared.options, columns, &written);
    let objects =
        BlockObjects { blooms: written.blooms, index: Some(written.index), sidecars: written.sidecars };
    upload.finish(objects, &meta, &account).await?;
    let noted = meta.clone();
    let (segment, tenant) = (Arc::clone(segment), segment.tenant.clone());
    // Without the note a crash before the log is gone repeats the upload, under the same id. A full disk must not keep
    // the log, whose end is what makes room.
    if let Err(error) = blocking(move || note(&segment, &noted)).await {
        tracing::warn!(%error, "the log of an uploaded block goes without a note");
    }
    if let Some(hears) = &shared.options.uploaded {
        hears.uploaded(&tenant, &meta).await;
    }
    Ok(meta)
}

/// One block of a segment: of each trace that has so many parts, the one with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    number: u32,
    /// Traces in it.
    traces: u64,
    /// Most bytes of one trace.
    bytes: u64,
}

impl Part {
    /// The segment's own id, or one that follows from it: a crash between upload and clean-up repeats the upload. With
    /// another size of parts their blocks are others.
    fn block_id(self, segment: &SealedSegment) -> Uuid {
        let id = segment.paths.id();
        let name = [self.bytes.to_be_bytes(), u64::from(self.number).to_be_bytes()].concat();
        if self.number == 0 { id } else { Uuid::new_v5(&id, &name) }
    }
}

/// The blocks that a segment comes to; one at least.
fn parts(segment: &SealedSegment, part_bytes: u64) -> Result<Vec<Part>> {
    let first = Part { number: 0, traces: 0, bytes: part_bytes };
    let mut parts = vec![first];
    for trace in by_trace(&segment.index, part_bytes) {
        let trace = trace.map_err(|error| unreadable(segment, &error))?;
        if trace.part as usize == parts.len() {
            parts.push(Part { number: trace.part, ..first });
        }
        if trace.part == 1 {
            metrics::TRACES_IN_PARTS.inc();
            tracing::warn!(
                tenant = %segment.tenant, trace = %trace.id, segment = %segment.paths.id(), part_bytes,
                "a trace is too large for one block and is stored in parts; ingestion limits (max_bytes_per_trace) would refuse what is more"
            );
        }
        if let Some(part) = parts.get_mut(trace.part as usize) {
            part.traces += 1;
        }
    }
    Ok(parts)
}

/// Memory to build a block, as soon as there is some. Another block, or a query, gives it back before long.
async fn room(shared: &Shared) -> Reservation {
    // Where it is more than there ever is, the one block that is built has to do with what there is.
    let needed = build_memory(shared).min(shared.building.limit());
    loop {
        match shared.building.reserve(needed, "building a block") {
            Ok(held) => return held,
            Err(_) => tokio::time::sleep(MEMORY_PAUSE).await,
        }
    }
}

/// An estimate of what building a block takes: a row group with its columns, the largest trace as it is read, and parts of
/// the block on their way.
fn build_memory(shared: &Shared) -> u64 {
    let row_group = row_group_bytes(shared).min(shared.options.max_block_bytes);
    row_group + shared.memory.trace_part_bytes().min(shared.options.max_block_bytes) + UPLOAD_BYTES
}

/// Row groups are smaller where memory is short.
fn row_group_bytes(shared: &Shared) -> u64 {
    shared.options.row_group_bytes.min(shared.memory.limit() / 8)
}

/// Looks whether the records of a log from before a restart are as they were written.
fn check_records(segment: &SealedSegment) -> Result<()> {
    if verify_segment(&segment.paths).map_err(|error| unreadable(segment, &error))? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, format!("segment {} is not as it was written", segment.paths.id())))
}

/// Puts what is whole of a damaged segment in its place; `error` where it is whole.
fn repair_damaged(log: &TenantLog, segment: &SealedSegment, error: Error) -> Result<()> {
    if verify_segment(&segment.paths).map_err(|error| unreadable(segment, &error))? {
        return Err(error);
    }
    tracing::error!(tenant = %log.tenant, segment = %segment.paths.id(), %error, "a segment is damaged");
    repair(log, segment).map_err(|error| unreadable(segment, &error))
}

fn unreadable(segment: &SealedSegment, error: &io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("could not read segment {}: {error}", segment.paths.id()))
}

/// Reads the segment trace by trace and writes the data of one of its blocks.
fn build(
    segment: &SealedSegment,
    part: Part,
    shared: &Shared,
    columns: Vec<DedicatedColumn>,
    output: BlockOutput,
) -> Result<WrittenBlock> {
    let unreadable = |error: io::Error| unreadable(segment, &error);
    let unwritable = |error: &dyn std::error::Error| {
        let id = part.block_id(segment);
        Error::new(ErrorKind::Unavailable, format!("could not build block {id}: {error}"))
    };
    let writer_options = WriterOptions {
        dedicated_columns: columns,
        row_group_bytes: usize::try_from(row_group_bytes(shared)).unwrap_or(usize::MAX),
        bloom_false_positive: shared.options.bloom_false_positive,
        bloom_shard_size_bytes: shared.options.bloom_shard_size_bytes,
        expected_traces: part.traces,
        ..WriterOptions::default()
    };
    let mut writer = BlockWriter::new(output, writer_options).map_err(|error| unwritable(&error))?;
    let mut around = Surroundings::default();
    let mut spans = Vec::new();
    for trace in by_trace(&segment.index, part.bytes) {
        let trace = trace.map_err(unreadable)?;
        if trace.part != part.number {
            continue;
        }
        spans.clear();
        let mut starts = Vec::with_capacity(trace.runs.len());
        for run in trace.runs.iter() {
            starts.push(spans.len());
            segment.reader.read_into(run.place, &mut spans).map_err(unreadable)?;
            around.load(segment, run).map_err(unreadable)?;
        }
        let resources = around.group(&trace.runs, &starts, &spans).map_err(unreadable)?;
        writer.add_trace(trace.id, &resources).map_err(|error| unwritable(&error))?;
    }
    writer.finish().map_err(|error| unwritable(&error))
}

/// The distinct bytes of resources, scopes and schema URLs of a segment: exporters send the same few
/// again and again.
#[derive(Default)]
struct Surroundings {
    /// By scope of the segment.
    scopes: HashMap<u32, Around>,
    texts: Vec<Bytes>,
    number_of: HashMap<Bytes, u32>,
}

/// What stands around some spans, as numbers of texts.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Around {
    resource: u32,
    resource_schema_url: u32,
    scope: u32,
    scope_schema_url: u32,
}

impl Surroundings {
    fn load(&mut self, segment: &SealedSegment, run: &Run) -> io::Result<()> {
        if self.scopes.contains_key(&run.scope) {
            return Ok(());
        }
        let places = segment.index.scope(run.scope)?;
        let mut number = |place: Place| -> io::Result<u32> {
            let text = Bytes::from(segment.reader.read(place)?);
            Ok(*self.number_of.entry(text).or_insert_with_key(|text| {
                self.texts.push(text.clone());
                self.texts.len() as u32 - 1
            }))
        };
        let around = Around {
            resource: number(places.resource)?,
            resource_schema_url: number(places.resource_schema_url)?,
            scope: number(places.scope)?,
            scope_schema_url: number(places.scope_schema_url)?,
        };
        self.scopes.insert(run.scope, around);
        Ok(())
    }

    /// One trace's spans under their resources and scopes; the same bytes around are one element.
    fn group<'a>(
        &'a self,
        runs: &[Run],
        starts: &[usize],
        spans: &'a [u8],
    ) -> io::Result<Vec<EncodedResource<'a>>> {
        let mut resources: Vec<((u32, u32), EncodedResource<'a>)> = Vec::new();
        for (run, start) in runs.iter().zip(starts) {
            let around = self.scopes[&run.scope];
            let key = (around.resource, around.resource_schema_url);
            let at = resources.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                let resource = EncodedResource {
                    resource: self.text(around.resource),
                    schema_url: self.text(around.resource_schema_url),
                    scopes: Vec::new(),
                };
                resources.push((key, resource));
                resources.len() - 1
            });
            let bytes = &spans[*start..start + run.place.length as usize];
            let (scope, schema_url) = (self.text(around.scope), self.text(around.scope_schema_url));
            add_spans(&mut resources[at].1, scope, schema_url, bytes)?;
        }
        Ok(resources.into_iter().map(|(_, resource)| resource).collect())
    }

    fn text(&self, number: u32) -> &[u8] {
        &self.texts[number as usize]
    }
}

fn add_spans<'a>(
    resource: &mut EncodedResource<'a>,
    scope: &'a [u8],
    schema_url: &'a [u8],
    fields: &'a [u8],
) -> io::Result<()> {
    let at = resource
        .scopes
        .iter()
        .position(|known| known.scope == scope && known.schema_url == schema_url)
        .unwrap_or_else(|| {
            resource.scopes.push(EncodedScope { scope, schema_url, spans: Vec::new() });
            resource.scopes.len() - 1
        });
    let spans = &mut resource.scopes[at].spans;
    let mut fields = Fields::new(fields);
    loop {
        match fields.next_field() {
            Ok(Some((_, Value::Bytes(span)))) => spans.push(span),
            Ok(None) => return Ok(()),
            // The bytes were checked when they came: the file was damaged since. Nothing may go missing silently.
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a run of spans is damaged")),
        }
    }
}

fn meta(
    id: Uuid,
    tenant: &TenantId,
    options: &Options,
    columns: Vec<DedicatedColumn>,
    written: &WrittenBlock,
) -> BlockMeta {
    let mut meta = BlockMeta::new(BlockVersion::VParquet4, id, tenant.as_str());
    meta.start_time = whole_seconds(written.start_unix_nano, false);
    meta.end_time = whole_seconds(written.end_unix_nano, true);
    meta.total_objects = written.total_objects;
    meta.size = written.size;
    meta.total_records = written.total_records.max(1);
    meta.bloom_shards = written.blooms.len() as u32;
    meta.footer_size = written.footer_size;
    meta.dedicated_columns = columns;
    meta.replication_factor = options.meta_replication_factor;
    meta
}

/// Block times are seconds that take in every span; what no clock can mean becomes the last second
/// that can be written.
fn whole_seconds(unix_nano: u64, up: bool) -> Timestamp {
    let seconds = unix_nano / 1_000_000_000 + u64::from(up && !unix_nano.is_multiple_of(1_000_000_000));
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

/// Writes down that the block is verified, and, with the last of a segment, what is in it.
fn note(segment: &SealedSegment, meta: &BlockMeta) -> Result<()> {
    let paths = SegmentPaths::new(segment.paths.directory(), meta.block_id);
    let is_last = meta.block_id == segment.paths.id();
    let batches = SettleRequest { stored: segment.batches.to_wire(), ..SettleRequest::default() };
    let write = || {
        if is_last && !segment.batches.is_empty() {
            write_file(&paths.batches(), &batches.encode_to_vec())?;
        }
        // Its presence means that the log may go, so it comes last.
        write_file(&paths.flushed(), &meta.to_json())?;
        sync_directory(paths.directory())
    };
    write().map_err(|error| {
        Error::new(
            ErrorKind::Unavailable,
            format!("could not note that block {} is uploaded: {error}", meta.block_id),
        )
    })
}

/// Writes a file that is there whole or not at all.
fn write_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(remove(Path::new(&temporary))))
}

/// Readers that hold the file open go on reading it.
fn remove_segment(segment: &SealedSegment) {
    let paths = &segment.paths;
    let removed = if segment.keeps_damage {
        // A new name needs no room.
        std::fs::rename(paths.wal(), paths.damaged(0))
    } else {
        remove(&paths.wal())
    };
    if let Err(error) = removed.and_then(|()| remove(&paths.index())) {
        tracing::warn!(segment = %paths.id(), %error, "could not remove a segment of no more use; the next start does");
    }
}
