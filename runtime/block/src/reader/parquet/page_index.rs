//! The page index: where the pages of a chunk are, and what they span.

use super::thrift::{Compact, Kind};
use super::{Bounds, Malformed, Result};

/// Where one data page is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageLocation {
    /// Offset in the file, header included.
    pub(crate) offset: u64,
    /// Bytes, header included.
    pub(crate) length: u64,
    /// Its first row in the row group.
    pub(crate) first_row: u64,
}

/// Reads an offset index: at least one page, rows ascending from 0.
pub(crate) fn offset_index(bytes: &[u8]) -> Result<Vec<PageLocation>> {
    let mut pages: Vec<PageLocation> = Vec::new();
    Compact::new(bytes).fields(|thrift, id, kind| match (id, kind) {
        (1, Kind::List) => {
            for _ in 0..thrift.list_of(Kind::Struct)? {
                pages.push(page_location(thrift)?);
            }
            Ok(())
        }
        (_, kind) => thrift.skip(kind),
    })?;
    let ascending = pages.windows(2).all(|pair| pair[0].first_row <= pair[1].first_row);
    if !ascending || pages.first().is_none_or(|first| first.first_row != 0) {
        return Err(Malformed::new("has an offset index whose rows are out of order"));
    }
    Ok(pages)
}

fn page_location(thrift: &mut Compact<'_>) -> Result<PageLocation> {
    let mut page = PageLocation::default();
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::Int) => page.offset = thrift.unsigned()?,
            (2, Kind::Int) => page.length = thrift.unsigned()?,
            (3, Kind::Int) => page.first_row = thrift.unsigned()?,
            (_, kind) => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(page)
}

/// Reads a column index: the bounds of each page, possibly cut short. Empty bounds say nothing.
pub(crate) fn column_index(bytes: &[u8]) -> Result<Vec<Bounds>> {
    let (mut least, mut greatest) = (Vec::new(), Vec::new());
    Compact::new(bytes).fields(|thrift, id, kind| match (id, kind) {
        (2, Kind::List) => byte_strings(thrift, &mut least),
        (3, Kind::List) => byte_strings(thrift, &mut greatest),
        (_, kind) => thrift.skip(kind),
    })?;
    if least.len() != greatest.len() {
        return Err(Malformed::new("has a column index with unequal bounds"));
    }
    Ok(least.into_iter().zip(greatest).collect())
}

fn byte_strings(thrift: &mut Compact<'_>, out: &mut Vec<Box<[u8]>>) -> Result<()> {
    for _ in 0..thrift.list_of(Kind::Bytes)? {
        out.push(thrift.bytes()?.into());
    }
    Ok(())
}
