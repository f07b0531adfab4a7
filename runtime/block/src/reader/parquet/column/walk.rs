//! A chunk from its first page to its last, one page in memory at a time.

use bytes::{Bytes, BytesMut};

use super::super::MAX_PAGE_BYTES;
use super::{Column, Decoder, Values, Want};
use crate::reader::parquet::footer::{Chunk, Leaf};
use crate::reader::parquet::page::{Page, PageKind};
use crate::reader::parquet::{Malformed, Result};

/// Most bytes of a page that are gathered: more than a header that is believed asks for.
const MOST_GATHERED: usize = MAX_PAGE_BYTES + (1 << 20);

/// A data page on its own.
pub(crate) struct WalkedPage<'a> {
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Its bytes, header included.
    pub(crate) length: u64,
    /// Its first row in the row group.
    pub(crate) first_row: u64,
    /// What is in it.
    pub(crate) column: &'a Column,
    /// Whether its checksum was compared.
    pub(crate) has_checksum: bool,
}

/// Decodes every page of a chunk whose bytes `more` gives in order, whatever the page index says, and shows each data
/// page to `each`. Gives the number of rows.
///
/// In memory are the chunk's dictionary and one page, encoded and decoded.
pub(crate) fn walk(
    leaf: &Leaf,
    chunk: &Chunk,
    mut more: impl FnMut() -> Option<Bytes>,
    mut each: impl FnMut(&WalkedPage<'_>) -> Result<()>,
) -> Result<u64> {
    const ALL: std::ops::Range<u64> = 0..u64::MAX;
    let mut decoder = Decoder::new(leaf, chunk, Want::Values)?;
    let (mut offset, mut row) = (chunk.range.start, 0);
    let mut bytes = Bytes::new();
    while let Some((page, length)) = next_page(&mut bytes, &mut more)? {
        if page.header.kind != PageKind::Other {
            let held = decoder.page(&page, row, &[ALL])?;
            if page.header.kind != PageKind::Dictionary {
                let (has_checksum, column) = (page.has_checksum(), &decoder.column);
                each(&WalkedPage { offset, length: length as u64, first_row: row, column, has_checksum })?;
            }
            decoder.forget_values();
            row += held;
        }
        offset += length as u64;
    }
    if decoder.seen != chunk.entries {
        return Err(Malformed::new("has a column with fewer values than it says"));
    }
    Ok(row)
}

/// Takes the page at the front of `bytes`, after as much of what follows as it needs; `None` at the end.
fn next_page(bytes: &mut Bytes, more: &mut impl FnMut() -> Option<Bytes>) -> Result<Option<(Page, usize)>> {
    loop {
        let read = (!bytes.is_empty()).then(|| Page::read(bytes));
        if let Some(Ok((page, length))) = read {
            *bytes = bytes.slice(length..);
            return Ok(Some((page, length)));
        }
        let next = if bytes.len() < MOST_GATHERED { more() } else { None };
        match (next, read) {
            (Some(next), _) if bytes.is_empty() => *bytes = next,
            (Some(next), _) => {
                let mut joined = BytesMut::with_capacity(bytes.len() + next.len());
                joined.extend_from_slice(bytes);
                joined.extend_from_slice(&next);
                *bytes = joined.freeze();
            }
            (None, Some(Err(error))) => return Err(error),
            (None, _) => return Ok(None),
        }
    }
}

impl Decoder<'_> {
    /// Forgets the pages so far, but not the dictionary.
    fn forget_values(&mut self) {
        let Column { rep, def, entries, values } = &mut self.column;
        rep.clear();
        def.clear();
        *entries = 0;
        match values {
            Values::Strings(strings) => strings.forget_values(self.dictionary_entries),
            Values::Ints(ints) => ints.clear(),
            Values::Doubles(doubles) => doubles.clear(),
            Values::Bools(bools) => bools.clear(),
        }
    }
}
