//! Files that are written to: how they come to be, and how they are made durable.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tempoform_core::TenantId;
use uuid::Uuid;

use crate::followed::FollowedSegment;
use crate::ingester::Shared;
use crate::tenant_log::{OpenSegment, TenantLog};
use crate::wal::{FOLLOWED_FOLDER, MemoryIndex, Segment, SegmentPaths, SegmentReader};

/// Files of several tenants that are synced at once.
const SYNCS_AT_ONCE: usize = 16;

/// The segment that is written to.
pub(super) struct Open {
    pub(super) log: Arc<TenantLog>,
    pub(super) segment: Segment,
    pub(super) shared: Arc<OpenSegment>,
    pub(super) since: Instant,
}

/// The file of followed batches that is written to.
pub(super) struct OpenFollowed {
    pub(super) log: Arc<TenantLog>,
    pub(super) segment: Segment,
    pub(super) shared: Arc<FollowedSegment>,
    pub(super) since: Instant,
}

/// Opens a new segment of a tenant's log.
pub(super) fn create(shared: &Shared, tenant: &TenantId) -> io::Result<Open> {
    let directory = shared.options.wal_path.join(tenant.as_str());
    std::fs::create_dir_all(&directory)?;
    let segment = Segment::create(SegmentPaths::new(&directory, Uuid::new_v4()))?;
    let reader = SegmentReader::new(segment.reader()?);
    let part = Arc::new(OpenSegment::new(segment.paths().clone(), reader, MemoryIndex::default()));
    let log = shared.log(tenant);
    log.open(Arc::clone(&part));
    Ok(Open { log, segment, shared: part, since: Instant::now() })
}

/// Opens a new file of what a tenant's ingester follows.
pub(super) fn create_followed(shared: &Shared, tenant: &TenantId) -> io::Result<OpenFollowed> {
    let directory = shared.options.wal_path.join(tenant.as_str()).join(FOLLOWED_FOLDER);
    std::fs::create_dir_all(&directory)?;
    let segment = Segment::create(SegmentPaths::new(&directory, Uuid::new_v4()))?;
    let part = Arc::new(FollowedSegment::new(segment.paths().clone()));
    let log = shared.log(tenant);
    log.followed.add(Arc::clone(&part));
    Ok(OpenFollowed { log, segment, shared: part, since: Instant::now() })
}

/// Syncs files at once, each on a thread of its own up to a number. Where the system gives no thread they are synced here.
pub(super) fn sync_all(files: &[io::Result<&File>]) -> Vec<io::Result<()>> {
    let sync = |file: &io::Result<&File>| match file {
        Ok(file) => file.sync_data(),
        Err(_) => Err(gone()),
    };
    // Two take less time than a thread.
    if files.len() <= 2 {
        return files.iter().map(sync).collect();
    }
    let (Some((first, rest)), share) = (files.split_first(), files.len().div_ceil(SYNCS_AT_ONCE)) else {
        return Vec::new();
    };
    std::thread::scope(|threads| {
        let shares: Vec<_> = rest
            .chunks(share)
            .map(|share| {
                let work = move || share.iter().map(sync).collect::<Vec<_>>();
                (share, std::thread::Builder::new().spawn_scoped(threads, work))
            })
            .collect();
        let mut synced = vec![sync(first)];
        for (share, thread) in shares {
            match thread {
                // A panic in `sync_data` is not to be expected; then nothing is known to be durable.
                Ok(thread) => synced
                    .extend(thread.join().unwrap_or_else(|_| share.iter().map(|_| Err(gone())).collect())),
                Err(_) => synced.extend(share.iter().map(sync)),
            }
        }
        synced
    })
}

pub(super) fn gone() -> io::Error {
    io::Error::other("the segment just written is gone")
}
