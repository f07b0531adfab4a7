//! The whole check of a block: is everything there, and does it say the same everywhere.
//!
//! Every page of every column is read and decoded, checksums are compared where there are any, and what readers go by
//! (meta, footer, page index, blooms, sidecar) is held against what is found. In memory at once are [`COLUMNS_AT_ONCE`]
//! columns, of each a piece of [`PIECE`] bytes, its dictionary and one page (at most 256 MiB by the limits of the format,
//! about a MiB in blocks of Tempo and ours), the block's footer, and [`BLOOM_BYTES_AT_ONCE`] of bloom filters.

mod columns;
mod ids;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use tempoform_core::{Account, ErrorKind};
use tokio::sync::mpsc;

use crate::bloom::MAX_SHARDS;
use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{self, BlockObject, BlockPath};
use crate::reader::{BlockReader, Malformed, TRACE_ID, WalkedPage, walk};
use crate::store::{BlockFolder, BlockStore};

/// Columns read at once.
const COLUMNS_AT_ONCE: usize = 4;
/// Bytes of a column read at a time.
const PIECE: u64 = 4 << 20;
/// Bloom filters held at once, bytes; the ids of a block that has more are read several times.
const BLOOM_BYTES_AT_ONCE: u64 = 64 << 20;

/// Something wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The block.
    pub block: BlockPath,
    /// The object, and the column if it is one column's fault.
    pub object: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.block, self.object, self.what)
    }
}

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is wrong; empty when the block is whole.
    pub findings: Vec<Finding>,
    /// Traces, as its row groups count them.
    pub traces: u64,
    /// Spans, as its columns hold them.
    pub spans: u64,
    /// Data pages decoded.
    pub pages: u64,
    /// Pages among them with a checksum, which was compared.
    pub pages_with_checksum: u64,
}

/// Checks a live or compacted block. `folder` is what a listing shows of it.
///
/// # Errors
/// Only when the check cannot be done: the store's error, such as a missing right. What is wrong with the block is a
/// finding, and so is a block that cannot be read at all.
pub async fn verify(
    store: &BlockStore,
    path: &BlockPath,
    folder: &BlockFolder,
    account: &Account,
) -> Result<Verified> {
    let mut check = Check { path, folder, account, found: Verified::default() };
    let meta = store.meta_of(path, folder.state, account).await;
    let Some(meta) = check.note(meta)? else { return Ok(check.found) };
    if !check.objects(&meta) {
        return Ok(check.found);
    }
    let reader = BlockReader::open(store, path.clone(), &meta, account).await;
    let Some(reader) = check.note(reader)? else { return Ok(check.found) };
    check.counts(&meta, &reader);
    check.columns(&reader).await?;
    check.ids(store, &meta, &reader).await?;
    check.sidecar(&reader).await?;
    Ok(check.found)
}

/// A check under way.
struct Check<'a> {
    path: &'a BlockPath,
    folder: &'a BlockFolder,
    account: &'a Account,
    found: Verified,
}

impl Check<'_> {
    fn finding(&mut self, object: impl fmt::Display, what: impl Into<String>) {
        let (block, object) = (self.path.clone(), object.to_string());
        self.found.findings.push(Finding { block, object, what: what.into() });
    }

    /// Turns damage into a finding; other errors end the check.
    fn note<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        let error = match outcome {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        match error {
            BlockError::Corrupt { object, what, .. } => self.finding(object, what),
            BlockError::CorruptObject { path, what } => {
                self.finding(path.filename().unwrap_or_default(), what);
            }
            BlockError::NotFound { path } => self.finding(path.filename().unwrap_or_default(), "is missing"),
            BlockError::Unsupported { version, .. } => {
                self.finding(paths::META, format!("names the format {version}, which cannot be read"));
            }
            other if other.kind() == ErrorKind::Corrupt => self.finding(paths::DATA, other.to_string()),
            other => return Err(other),
        }
        Ok(None)
    }

    /// Whether the objects are there, as long as the meta says; false when there is no use in reading on.
    fn objects(&mut self, meta: &BlockMeta) -> bool {
        if meta.block_id != self.path.block() {
            self.finding(paths::META, format!("is of another block, {}", meta.block_id));
        }
        if !self.blooms(meta.bloom_shard_count()) {
            return false;
        }
        match self.folder.object(&BlockObject::Data).map(|data| data.size) {
            None => {
                self.finding(BlockObject::Data, "is missing");
                false
            }
            Some(size) if size != meta.size => {
                self.finding(BlockObject::Data, format!("has {size} bytes, and {} by the meta", meta.size));
                false
            }
            Some(_) => true,
        }
    }

    /// Whether there can be as many blooms as the meta says; one finding for all that are missing.
    fn blooms(&mut self, shards: u32) -> bool {
        if shards > MAX_SHARDS {
            self.finding(paths::META, format!("names {shards} blooms, a block has {MAX_SHARDS} at most"));
            return false;
        }
        let missing: Vec<_> =
            (0..shards).map(BlockObject::Bloom).filter(|bloom| self.folder.object(bloom).is_none()).collect();
        if let Some(first) = missing.first() {
            let others = missing.len() - 1;
            let what = match others {
                0 => "is missing".to_owned(),
                _ => format!("is missing, and {others} more of {shards} blooms"),
            };
            self.finding(first, what);
        }
        true
    }

    /// Whether the meta counts what the footer counts.
    fn counts(&mut self, meta: &BlockMeta, reader: &BlockReader) {
        let groups = reader.row_groups();
        self.found.traces = (0..groups).map(|group| reader.traces_in(group)).sum();
        let (traces, footer) = (self.found.traces, reader.file().footer_length);
        if traces != meta.total_objects {
            self.finding(
                paths::META,
                format!("counts {} traces, the data hold {traces}", meta.total_objects),
            );
        }
        // Tempo sometimes counts one that it then did not need.
        let records = meta.total_records as usize;
        if records != groups.max(1) && records != groups + 1 {
            self.finding(paths::META, format!("counts {records} row groups, the data have {groups}"));
        }
        if meta.footer_size != 0 && u64::from(meta.footer_size) != footer {
            self.finding(
                paths::META,
                format!("says that the footer has {} bytes, it has {footer}", meta.footer_size),
            );
        }
    }

    async fn sidecar(&mut self, reader: &BlockReader) -> Result<()> {
        let loaded = reader.load_extra(self.account).await;
        self.note(loaded)?;
        if let Some(Some(extra)) = reader.file().extra.get()
            && extra.rows() > self.found.traces
        {
            let (rows, traces) = (extra.rows(), self.found.traces);
            self.finding(crate::extra::OBJECT_NAME, format!("is of {rows} traces, the data hold {traces}"));
        }
        Ok(())
    }
}

/// What is done with each page of a column.
trait PageCheck: Send + 'static {
    fn page(&mut self, page: &WalkedPage<'_>) -> Result<(), Malformed>;
}

/// Shows every page of a column of a row group to `check`; also gives the number of rows.
async fn walk_column<C: PageCheck>(
    reader: &BlockReader,
    row_group: usize,
    column: usize,
    mut check: C,
    account: &Account,
) -> Result<(C, u64)> {
    let range = reader.chunk(row_group, column).range.clone();
    let (pieces, mut received) = mpsc::channel::<Bytes>(1);
    let own = reader.clone();
    let decoding = reader.compute(move || {
        let (leaf, chunk) = (own.leaf(column), own.chunk(row_group, column));
        let walked = walk(leaf, chunk, || received.blocking_recv(), |page| check.page(page));
        let rows = walked.map_err(|error| own.damaged(&own.name(column), error))?;
        Ok((check, rows))
    });
    let reading = async move {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + PIECE);
            let piece = start..end;
            let piece =
                reader.read_data(std::slice::from_ref(&piece), account).await?.pop().unwrap_or_default();
            if pieces.send(piece).await.is_err() {
                // Decoding has ended early, and says why.
                break;
            }
            start = end;
        }
        Ok(())
    };
    let (read, decoded) = tokio::join!(reading, decoding);
    // A column whose bytes did not all come looks damaged, and need not be.
    read.and(decoded)
}

/// The column of trace ids.
fn id_column(reader: &BlockReader) -> Result<usize> {
    reader.column_named(TRACE_ID).ok_or_else(|| reader.damaged(TRACE_ID, Malformed::new("is not there")))
}
