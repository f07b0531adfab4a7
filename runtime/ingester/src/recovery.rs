//! After a restart: what the log's folder holds becomes the ingester's state again.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message as _;
use tempoform_block::BlockMeta;
use tempoform_core::{BatchSet, Error, ErrorKind, Reservation, Result, TenantId};
use tempoform_wire::internal::SettleRequest;
use uuid::Uuid;

use crate::followed::FollowedSegment;
use crate::ingester::Shared;
use crate::metrics;
use crate::tenant_log::{STORED_FOR, SealedSegment, TenantLog};
use crate::wal::{
    DiskIndex, FOLLOWED_FOLDER, IndexFile, ReplayedSegment, SegmentPaths, SegmentReader, read_names,
    replay_segment, sync_directory,
};

/// Reads the folder. Segments that were sealed are opened by their index; those without are replayed, streaming, and
/// sealed: what comes now goes to a new one, so that a block's content never grows.
pub(crate) fn recover(shared: &Shared) -> Result<LogLock> {
    let root = &shared.options.wal_path;
    let lock = LogLock::take(root)?;
    for entry in fs::read_dir(root).map_err(|error| failed(root, error))? {
        let directory = entry.map_err(|error| failed(root, error))?.path();
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.parse::<TenantId>() {
            Ok(tenant) if directory.is_dir() => {
                recover_tenant(shared, &tenant, &directory).map_err(|error| failed(&directory, error))?;
            }
            _ => tracing::warn!(path = %directory.display(), "not a tenant's folder; left alone"),
        }
    }
    Ok(lock)
}

fn failed(path: &Path, error: io::Error) -> Error {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => "; let this user write there, or set storage.trace.wal.path",
        _ => "",
    };
    Error::new(ErrorKind::Unavailable, format!("write-ahead log {}: {error}{help}", path.display()))
}

/// Keeps other processes off the log's folder. Given back when dropped, also by a crash.
#[derive(Debug)]
pub(crate) struct LogLock {
    _folder: File,
}

impl LogLock {
    fn take(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(|error| failed(root, error))?;
        let folder = File::open(root).map_err(|error| failed(root, error))?;
        // The folder itself may be new.
        match root.parent().filter(|parent| parent.is_dir()).map_or(Ok(()), sync_directory) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(failed(root, error)),
            _ => {}
        }
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let problem = format!(
                    "write-ahead log {}: another process writes to it; give each ingester a folder of its own (storage.trace.wal.path)",
                    root.display()
                );
                return Err(Error::new(ErrorKind::Unavailable, problem));
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %root.display(), %error, "this file system has no locks; see to it that no other process uses the log's folder");
            }
        }
        Ok(Self { _folder: folder })
    }
}

fn recover_tenant(shared: &Shared, tenant: &TenantId, directory: &Path) -> io::Result<()> {
    let log = shared.log(tenant);
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::parse_str(stem).ok());
        let paths = id.map(|id| SegmentPaths::new(directory, id));
        match (paths, path.extension().and_then(|extension| extension.to_str())) {
            (Some(paths), Some("flushed")) => recall_block(shared, &log, &paths)?,
            (Some(paths), Some("batches")) => recall_batches(&log, &paths)?,
            (Some(paths), Some("wal")) => match path.metadata() {
                Ok(metadata) => segments.push((metadata.modified()?, paths)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            // What a crash left half written, or without its log.
            (_, Some("tmp")) => remove(&path)?,
            // Set aside by an earlier start.
            (_, Some(extension)) if extension.starts_with("damaged-") => log.note_damage(age(&path)?),
            (Some(paths), Some("idx")) if !paths.wal().exists() => remove(&path)?,
            _ => {}
        }
    }
    segments.retain(|(_, paths)| paths.wal().exists());
    segments.sort_by_key(|(modified, _)| *modified);
    for (_, paths) in segments {
        match recover_segment(shared, &log, paths.clone()) {
            // Without copies a start that is refused is better than answers that know nothing of it.
            Err(error) if is_damage(&error) && shared.options.others.is_some() => {
                set_aside(&log, &paths, &error)?;
            }
            recovered => recovered?,
        }
    }
    recover_followed(&log, &directory.join(FOLLOWED_FOLDER))
}

/// Whether reading again would come to the same: the disk is bad, or what stands on it.
fn is_damage(error: &io::Error) -> bool {
    // EIO, EBADMSG and EUCLEAN of Linux; the last is what a file system says of its own damage.
    matches!(error.raw_os_error(), Some(5 | 74 | 117))
        || matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// One file that cannot be read does not keep the others from being served.
fn set_aside(log: &TenantLog, paths: &SegmentPaths, error: &io::Error) -> io::Result<()> {
    let aside = paths.damaged(0);
    tracing::error!(
        tenant = %log.tenant, segment = %paths.id(), %error, set_aside = %aside.display(),
        "a file of the log cannot be read; without copies in other ingesters its spans are gone"
    );
    log.note_damage(Duration::ZERO);
    fs::rename(paths.wal(), aside)
}

/// Batches that were followed before the restart. Whether they still matter the leaders are asked.
fn recover_followed(log: &TenantLog, directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::parse_str(stem).ok());
        if let (Some(id), Some("wal")) = (id, path.extension().and_then(|extension| extension.to_str())) {
            let paths = SegmentPaths::new(directory, id);
            match FollowedSegment::recovered(paths.clone()) {
                Ok(segment) => log.followed.add(Arc::new(segment)),
                Err(error) if is_damage(&error) => set_aside(log, &paths, &error)?,
                Err(error) => return Err(error),
            }
        }
    }
    // Those that hold nothing go.
    log.followed.settle(&BatchSet::default());
    Ok(())
}

/// The names of the batches of a block made before the restart, unless the log is still there: then they are led.
fn recall_batches(log: &TenantLog, paths: &SegmentPaths) -> io::Result<()> {
    if paths.wal().exists() && !paths.flushed().exists() {
        return remove(&paths.batches());
    }
    let age = age(&paths.batches())?;
    if age >= STORED_FOR {
        return remove(&paths.batches());
    }
    match read_stored(&fs::read(paths.batches())?) {
        Ok(batches) => log.remember_stored(paths.id(), batches, STORED_FOR - age),
        // Their followers take them over then.
        Err(error) => {
            tracing::warn!(segment = %paths.id(), %error, "the note of a block's batches is damaged")
        }
    }
    Ok(())
}

/// The batches that a note names.
pub(crate) fn read_stored(note: &[u8]) -> Result<BatchSet> {
    let noted =
        SettleRequest::decode(note).map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))?;
    BatchSet::from_wire(&noted.stored)
}

fn age(path: &Path) -> io::Result<Duration> {
    Ok(SystemTime::now().duration_since(fs::metadata(path)?.modified()?).unwrap_or_default())
}

/// The block is verified, so its log may go; readers are told of it a while longer.
fn recall_block(shared: &Shared, log: &TenantLog, paths: &SegmentPaths) -> io::Result<()> {
    remove(&paths.wal())?;
    remove(&paths.index())?;
    let left = shared.options.fresh_for.saturating_sub(age(&paths.flushed())?);
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

fn recover_segment(shared: &Shared, log: &TenantLog, paths: SegmentPaths) -> io::Result<()> {
    let file = File::open(paths.wal())?;
    let length = file.metadata()?.len();
    let index = IndexFile::open(&paths, length);
    // What is in a damaged one is in the log too.
    if let Some(index) = index.or_else(|error| if is_damage(&error) { Ok(None) } else { Err(error) })? {
        tracing::info!(tenant = %log.tenant, segment = %paths.id(), bytes = length, "found a sealed segment of the log");
        let batches = read_names(&file, length)?.batches;
        let (tenant, reader) = (log.tenant.clone(), SegmentReader::new(file));
        let sealed = SealedSegment::new(tenant, paths, reader, DiskIndex::File(index), batches);
        log.seal(SealedSegment { recovered: true, ..sealed });
        return Ok(());
    }
    let replayed = replay(log, &paths)?;
    tracing::info!(
        tenant = %log.tenant, segment = %paths.id(), bytes = replayed.end, spans = replayed.index.spans, "replayed the log"
    );
    if replayed.index.spans == 0 && replayed.set_aside {
        return remove(&paths.wal());
    }
    let held = shared.indexes.reserve(replayed.index.memory(), "the index of a replayed log").ok();
    seal(log, paths, SegmentReader::new(file), replayed, held);
    Ok(())
}

fn seal(
    log: &TenantLog,
    paths: SegmentPaths,
    reader: SegmentReader,
    replayed: ReplayedSegment,
    mut held: Option<Reservation>,
) {
    let ReplayedSegment { mut index, end, damaged: _, set_aside } = replayed;
    let batches = std::mem::take(&mut index.batches);
    let index = DiskIndex::create(&paths, &index, end);
    if let Some(held) = &mut held {
        held.shrink_to(index.memory());
    }
    let sealed = SealedSegment::new(log.tenant.clone(), paths, reader, index, batches);
    log.seal(SealedSegment { _held: held, keeps_damage: !set_aside, ..sealed });
}

fn replay(log: &TenantLog, paths: &SegmentPaths) -> io::Result<ReplayedSegment> {
    let replayed = replay_segment(paths)?;
    if replayed.damaged > 0 {
        metrics::REPLAY_DAMAGED_BYTES.inc_by(replayed.damaged);
        log.note_damage(Duration::ZERO);
        tracing::warn!(
            tenant = %log.tenant, segment = %paths.id(), whole_bytes = replayed.end, damaged_bytes = replayed.damaged,
            set_aside = %paths.damaged(replayed.end).display(),
            "the log has a torn or damaged record (never acknowledged, or damaged since); what follows the last whole record is set aside"
        );
    }
    Ok(replayed)
}

/// Puts what is whole of a damaged sealed segment in its place.
pub(crate) fn repair(log: &TenantLog, segment: &SealedSegment) -> io::Result<()> {
    let replayed = replay(log, &segment.paths)?;
    seal(log, segment.paths.clone(), segment.reader.clone(), replayed, None);
    Ok(())
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
