//! Reading Parquet files, as much of it as vParquet blocks use.
//!
//! Why not the `parquet` crate, which our writer uses: its column readers expand dictionaries, cannot
//! be asked for single rows without decoding what is before, and neither they nor its footer parser
//! are bounded in what they allocate, or free of panics, on damaged files. Here every length is
//! checked against the bytes at hand first.
//!
//! Source: [apache/parquet-format](https://github.com/apache/parquet-format): `parquet.thrift`,
//! `Encodings.md`, `PageIndex.md`.

pub(crate) mod column;
pub(crate) mod footer;
pub(crate) mod page;
pub(crate) mod page_index;

mod delta;
mod hybrid;
mod thrift;
mod values;

use std::borrow::Cow;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(Cow<'static, str>);

impl Malformed {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }

    pub(crate) const fn of(what: &'static str) -> Self {
        Self(Cow::Borrowed(what))
    }
}

/// Least and greatest value of a page or chunk, possibly cut short.
pub(crate) type Bounds = (Box<[u8]>, Box<[u8]>);

pub(crate) type Result<T, E = Malformed> = std::result::Result<T, E>;

/// Most entries (levels) of one page: far above what writers do, so that a damaged count cannot
/// allocate the machine away.
const MAX_PAGE_ENTRIES: u32 = 1 << 26;
/// Most bytes of one decompressed page.
const MAX_PAGE_BYTES: usize = 256 << 20;
/// Most entries of one column chunk.
const MAX_CHUNK_ENTRIES: u64 = 1 << 28;
