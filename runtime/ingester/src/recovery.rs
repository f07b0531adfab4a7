//! After a restart: what the log's folder holds becomes the ingester's state again.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempoform_block::BlockMeta;
use tempoform_core::{Error, ErrorKind, Result, TenantId};
use uuid::Uuid;

use crate::ingester::Shared;
use crate::metrics;
use crate::tenant_log::{SealedSegment, TenantLog};
use crate::wal::{
    DiskIndex, IndexFile, ReplayedSegment, Segment, SegmentPaths, SegmentReader, replay_segment,
};
use crate::writer::Writer;

/// Reads the folder. Segments that were sealed are opened by their index; one without is replayed,
/// streaming; the last small one of a tenant is written on.
pub(crate) fn recover(shared: &Arc<Shared>, writer: &mut Writer) -> Result<()> {
    let root = &shared.options.wal_path;
    let failed = |path: &Path, error: io::Error| {
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => "; let this user write there, or set storage.trace.wal.path",
            _ => "",
        };
        Error::new(ErrorKind::Unavailable, format!("write-ahead log {}: {error}{help}", path.display()))
    };
    fs::create_dir_all(root).map_err(|error| failed(root, error))?;
    for entry in fs::read_dir(root).map_err(|error| failed(root, error))? {
        let directory = entry.map_err(|error| failed(root, error))?.path();
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.parse::<TenantId>() {
            Ok(tenant) if directory.is_dir() => {
                recover_tenant(shared, writer, &tenant, &directory)
                    .map_err(|error| failed(&directory, error))?;
            }
            _ => tracing::warn!(path = %directory.display(), "not a tenant's folder; left alone"),
        }
    }
    Ok(())
}

fn recover_tenant(
    shared: &Shared,
    writer: &mut Writer,
    tenant: &TenantId,
    directory: &Path,
) -> io::Result<()> {
    let log = shared.log(tenant);
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::parse_str(stem).ok());
        let paths = id.map(|id| SegmentPaths::new(directory, id));
        match (paths, path.extension().and_then(|extension| extension.to_str())) {
            (Some(paths), Some("flushed")) => recall_block(shared, &log, &paths)?,
            (Some(paths), Some("wal")) => match path.metadata() {
                Ok(metadata) => segments.push((metadata.modified()?, paths)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            // What a crash left half written, or without its log.
            (_, Some("tmp")) => remove(&path)?,
            (Some(paths), Some("idx")) if !paths.wal().exists() => remove(&path)?,
            _ => {}
        }
    }
    segments.retain(|(_, paths)| paths.wal().exists());
    segments.sort_by_key(|(modified, _)| *modified);
    let last = segments.len();
    for (at, (_, paths)) in segments.into_iter().enumerate() {
        recover_segment(shared, writer, &log, paths, at + 1 == last)?;
    }
    Ok(())
}

/// The block is verified, so its log may go; readers are told of it a while longer.
fn recall_block(shared: &Shared, log: &TenantLog, paths: &SegmentPaths) -> io::Result<()> {
    remove(&paths.wal())?;
    remove(&paths.index())?;
    let age =
        SystemTime::now().duration_since(fs::metadata(paths.flushed())?.modified()?).unwrap_or_default();
    let left = shared.options.fresh_for.saturating_sub(age);
    match BlockMeta::from_json(&fs::read(paths.flushed())?) {
        Ok(meta) if left > Duration::ZERO => log.remember(meta, left),
        Ok(_) => remove(&paths.flushed())?,
        // Readers find the block by their own list.
        Err(error) => {
            tracing::warn!(segment = %paths.id(), %error, "the note of an uploaded block is damaged")
        }
    }
    Ok(())
}

fn recover_segment(
    shared: &Shared,
    writer: &mut Writer,
    log: &TenantLog,
    paths: SegmentPaths,
    may_go_on: bool,
) -> io::Result<()> {
    let file = fs::File::open(paths.wal())?;
    let length = file.metadata()?.len();
    let reader = SegmentReader::new(file);
    if let Some(index) = IndexFile::open(&paths, length)? {
        tracing::info!(tenant = %log.tenant, segment = %paths.id(), bytes = length, "found a sealed segment of the log");
        let sealed = SealedSegment::new(log.tenant.clone(), paths, reader, DiskIndex::File(index));
        log.seal(SealedSegment { recovered: true, ..sealed });
        return Ok(());
    }
    let replayed = replay(log, &paths)?;
    tracing::info!(
        tenant = %log.tenant, segment = %paths.id(), bytes = replayed.end, spans = replayed.index.spans, "replayed the log"
    );
    if replayed.index.spans == 0 {
        return remove(&paths.wal());
    }
    let room = shared.memory.reserve(replayed.index.memory(), "the index of a replayed log");
    match room {
        Ok(room)
            if may_go_on
                && replayed.end < shared.options.max_block_bytes / 2
                && paths.wal().metadata()?.len() == replayed.end =>
        {
            // Its index is stale once more is written.
            remove(&paths.index())?;
            let segment = Segment::reopen(paths, replayed.end)?;
            writer.adopt(log.tenant.clone(), segment, replayed.index, room)
        }
        room => {
            let index = DiskIndex::create(&paths, &replayed.index, replayed.end);
            let mut held = room.ok();
            if let Some(held) = &mut held {
                held.shrink_to(index.memory());
            }
            log.seal(SealedSegment {
                _held: held,
                ..SealedSegment::new(log.tenant.clone(), paths, reader, index)
            });
            Ok(())
        }
    }
}

fn replay(log: &TenantLog, paths: &SegmentPaths) -> io::Result<ReplayedSegment> {
    let replayed = replay_segment(paths)?;
    if replayed.damaged > 0 {
        metrics::REPLAY_DAMAGED_BYTES.inc_by(replayed.damaged);
        tracing::warn!(
            tenant = %log.tenant, segment = %paths.id(), whole_bytes = replayed.end, damaged_bytes = replayed.damaged,
            set_aside = %paths.damaged(replayed.end).display(),
            "the log has a torn or damaged record (never acknowledged, or damaged since); what follows the last whole record was set aside"
        );
    }
    Ok(replayed)
}

/// Puts what is whole of a damaged sealed segment in its place.
pub(crate) fn repair(log: &TenantLog, segment: &SealedSegment) -> io::Result<()> {
    let replayed = replay(log, &segment.paths)?;
    let index = DiskIndex::create(&segment.paths, &replayed.index, replayed.end);
    let repaired =
        SealedSegment::new(log.tenant.clone(), segment.paths.clone(), segment.reader.clone(), index);
    log.seal(repaired);
    Ok(())
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
