//! Opening a block: footer and page index, in one read where the meta is right.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tempoform_core::{Account, RequestKind};
use tokio::sync::OnceCell;

use super::parquet::footer::Footer;
use super::schema::Schema;
use super::{BlockReader, Inner, Malformed};
use crate::error::{BlockError, Result};
use crate::extra::Extra;
use crate::meta::BlockMeta;
use crate::paths::{BlockObject, BlockPath};
use crate::store::BlockStore;

/// Footer length and magic at the end of a file.
const TRAILER: u64 = 8;
/// Most that is read ahead for the footer, and for the page index before it, whatever the meta says of the footer's size.
const MAX_FOOTER_GUESS: u64 = 4 << 20;
/// The longest footer that is believed: one of a thousand row groups has 20 MiB.
const MAX_FOOTER: u64 = 256 << 20;

/// What is known of a file once it is open.
#[derive(Debug)]
pub(crate) struct ParsedFile {
    pub(crate) footer: Footer,
    pub(super) schema: Schema,
    /// Bytes of the footer, without the last 8 of the file.
    pub(crate) footer_length: u64,
    /// What came with the footer: page indexes, of small blocks everything.
    tail: Bytes,
    tail_start: u64,
    /// The sidecar object, once it was looked for.
    pub(crate) extra: OnceCell<Option<Extra>>,
}

impl ParsedFile {
    /// Bytes it takes in memory, roughly: a chunk is about as long parsed as it is encoded, and owns a few pieces.
    pub(crate) fn memory(&self) -> usize {
        const CHUNK: usize = std::mem::size_of::<super::parquet::footer::Chunk>() + 64;
        let chunks: usize = self.footer.row_groups.iter().map(|group| group.chunks.len()).sum();
        let extra = self.extra.get().and_then(Option::as_ref).map_or(0, Extra::memory);
        self.tail.len() + (chunks + self.footer.leaves.len()) * CHUNK + extra
    }

    /// Bytes of the file that came with the footer.
    pub(super) fn in_tail(&self, range: &Range<u64>) -> Option<Bytes> {
        let start = usize::try_from(range.start.checked_sub(self.tail_start)?).ok()?;
        let end = start.checked_add(usize::try_from(range.end.checked_sub(range.start)?).ok()?)?;
        (end <= self.tail.len()).then(|| self.tail.slice(start..end))
    }
}

impl BlockReader {
    /// Opens the block that `meta` describes. One read, none if it was opened lately.
    ///
    /// # Errors
    /// [`BlockError::Unsupported`] for other formats, [`BlockError::Corrupt`] when the file is not what
    /// the meta says, or the store's error.
    pub async fn open(
        store: &BlockStore,
        path: BlockPath,
        meta: &BlockMeta,
        account: &Account,
    ) -> Result<Self> {
        if !meta.version.is_readable() {
            return Err(BlockError::Unsupported { block: path, version: meta.version.clone() });
        }
        let file = match store.parsed(&path, meta.into()) {
            Some(file) => {
                store.footer_was_cached(file.tail.len(), account);
                file
            }
            None => {
                let file = Arc::new(read_file(store, &path, meta, account).await?);
                store.keep_parsed(&path, meta.into(), &file);
                file
            }
        };
        let inner = Arc::new(Inner { store: store.clone(), path, meta: meta.clone(), file });
        Ok(Self { inner, guard: None, window: None })
    }
}

async fn read_file(
    store: &BlockStore,
    path: &BlockPath,
    meta: &BlockMeta,
    account: &Account,
) -> Result<ParsedFile> {
    let damaged = |what: Malformed| BlockError::Corrupt {
        block: path.clone(),
        object: format!("{}, footer", BlockObject::Data),
        what: what.to_string(),
    };
    let size = meta.size;
    if size < TRAILER + 4 {
        return Err(damaged(Malformed::new("is too short to be a Parquet file")));
    }
    let footer = u64::from(meta.footer_size).min(MAX_FOOTER_GUESS);
    // The page index lies before the footer. It has as many parts, and most often is shorter.
    let before = store.bytes_before_footer().max(footer);
    let mut start = size.saturating_sub(footer + TRAILER + before);
    let mut tail = read_tail(store, path, meta, start..size, account).await?;
    let length = footer_length(&tail).map_err(damaged)?;
    let needed = length + TRAILER;
    if needed > size - 4 {
        return Err(damaged(Malformed::new("says that the footer is longer than the file")));
    }
    if length > MAX_FOOTER {
        return Err(damaged(Malformed::new("has an absurdly long footer")));
    }
    if needed > tail.len() as u64 {
        start = (size - needed).saturating_sub(before.max(length.min(MAX_FOOTER_GUESS)));
        tail = read_tail(store, path, meta, start..size, account).await?;
    }
    let footer_start = tail.len() - needed as usize;
    let footer = Footer::parse(&tail[footer_start..tail.len() - TRAILER as usize], size).map_err(damaged)?;
    let schema = Schema::new(&footer);
    // The footer itself is parsed; a copy lets go of its bytes.
    let tail = Bytes::copy_from_slice(&tail[..footer_start]);
    Ok(ParsedFile { footer, schema, footer_length: length, tail, tail_start: start, extra: OnceCell::new() })
}

async fn read_tail(
    store: &BlockStore,
    path: &BlockPath,
    meta: &BlockMeta,
    range: Range<u64>,
    account: &Account,
) -> Result<Bytes> {
    let mut read = store.read_ranges(RequestKind::Footer, path, meta.into(), &[range], account).await?;
    Ok(read.pop().unwrap_or_default())
}

fn footer_length(tail: &[u8]) -> Result<u64, Malformed> {
    match tail.last_chunk::<8>() {
        Some([a, b, c, d, b'P', b'A', b'R', b'1']) => Ok(u64::from(u32::from_le_bytes([*a, *b, *c, *d]))),
        _ => Err(Malformed::new("does not end like a Parquet file of the size in meta.json")),
    }
}
