//! Pages: headers, decompression, checksums.

use std::borrow::Cow;
use std::io::Read as _;

use bytes::Bytes;

use super::footer::Codec;
use super::thrift::{Compact, Kind};
use super::{MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, Malformed, Result};

/// What a page's header says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header {
    pub(super) kind: PageKind,
    /// Entries, or distinct values of a dictionary.
    pub(super) entries: u32,
    pub(super) encoding: Encoding,
    /// Only in version 2.
    pub(super) rows: Option<u32>,
    compressed: usize,
    uncompressed: usize,
    crc: Option<u32>,
    def_bytes: usize,
    rep_bytes: usize,
    values_are_plain: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PageKind {
    DataV1,
    DataV2,
    Dictionary,
    #[default]
    Other,
}

/// How values are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    #[default]
    Plain,
    Rle,
    Dictionary,
    DeltaBinaryPacked,
    DeltaLengthByteArray,
    DeltaByteArray,
    Other(i64),
}

impl Encoding {
    fn from_code(code: i64) -> Self {
        match code {
            0 => Self::Plain,
            2 | 8 => Self::Dictionary,
            3 => Self::Rle,
            5 => Self::DeltaBinaryPacked,
            6 => Self::DeltaLengthByteArray,
            7 => Self::DeltaByteArray,
            other => Self::Other(other),
        }
    }
}

/// A page: header and body as stored.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(super) header: Header,
    body: Bytes,
}

/// The three parts of a data page.
pub(super) struct Parts<'a> {
    pub(super) rep: Cow<'a, [u8]>,
    pub(super) def: Cow<'a, [u8]>,
    pub(super) values: Cow<'a, [u8]>,
}

impl Page {
    /// The page at the start of `bytes`, and its length with the header.
    pub(super) fn read(bytes: &Bytes) -> Result<(Self, usize)> {
        let mut thrift = Compact::new(bytes);
        let header = header(&mut thrift)?;
        let start = thrift.position();
        let end = start.checked_add(header.compressed).filter(|end| *end <= bytes.len());
        let end = end.ok_or(Malformed::new("has a page that ends behind its column"))?;
        Ok((Self { header, body: bytes.slice(start..end) }, end))
    }

    /// Whether it has a checksum: writers that have none leave the field out or write 0.
    pub(super) fn has_checksum(&self) -> bool {
        self.header.crc.is_some_and(|crc| crc != 0)
    }

    fn check(&self) -> Result<()> {
        match self.header.crc {
            // A fuzzer would never come past it, and so never to what it protects.
            Some(crc) if self.has_checksum() && !cfg!(fuzzing) && crc32fast::hash(&self.body) != crc => {
                Err(Malformed::new("has a page whose checksum is wrong"))
            }
            _ => Ok(()),
        }
    }

    /// A dictionary page's values.
    pub(super) fn dictionary(&self, codec: Codec) -> Result<Cow<'_, [u8]>> {
        self.check()?;
        decompress(codec, &self.body, self.header.uncompressed)
    }

    /// A data page's levels and values, decompressed. `has_rep` and `has_def` say which levels the
    /// column has.
    pub(super) fn parts(&self, codec: Codec, has_rep: bool, has_def: bool) -> Result<Parts<'_>> {
        self.check()?;
        match self.header.kind {
            PageKind::DataV2 => self.parts_v2(codec),
            _ => self.parts_v1(codec, has_rep, has_def),
        }
    }

    fn parts_v2(&self, codec: Codec) -> Result<Parts<'_>> {
        let Header { rep_bytes, def_bytes, uncompressed, values_are_plain, .. } = self.header;
        let levels = rep_bytes
            .checked_add(def_bytes)
            .filter(|levels| *levels <= self.body.len() && *levels <= uncompressed)
            .ok_or(Malformed::new("has a page whose levels are longer than the page"))?;
        let values = &self.body[levels..];
        // Dictionary indexes stay uncompressed in Tempo's files, whatever the column's codec says.
        let values = if values_are_plain {
            Cow::Borrowed(values)
        } else {
            decompress(codec, values, uncompressed - levels)?
        };
        Ok(Parts {
            rep: Cow::Borrowed(&self.body[..rep_bytes]),
            def: Cow::Borrowed(&self.body[rep_bytes..levels]),
            values,
        })
    }

    fn parts_v1(&self, codec: Codec, has_rep: bool, has_def: bool) -> Result<Parts<'_>> {
        let body = decompress(codec, &self.body, self.header.uncompressed)?;
        let mut rest: &[u8] = &body;
        let rep = if has_rep { level_bytes(&mut rest)? } else { &[] };
        let def = if has_def { level_bytes(&mut rest)? } else { &[] };
        let parts = [rep, def, rest].map(<[u8]>::to_vec).map(Cow::Owned);
        let [rep, def, values] = parts;
        Ok(Parts { rep, def, values })
    }
}

/// Levels of version 1 carry their length before them.
fn level_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    const WRONG: &str = "has a page whose levels are longer than the page";
    let (length, after) = rest.split_first_chunk::<4>().ok_or(Malformed::new(WRONG))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (levels, after) = after.split_at_checked(length).ok_or(Malformed::new(WRONG))?;
    *rest = after;
    Ok(levels)
}

fn header(thrift: &mut Compact<'_>) -> Result<Header> {
    let mut header = Header::default();
    let mut kind = -1;
    thrift.fields(|thrift, id, field| {
        match (id, field) {
            (1, Kind::Int) => kind = thrift.int()?,
            (2, Kind::Int) => header.uncompressed = length(thrift)?,
            (3, Kind::Int) => header.compressed = length(thrift)?,
            // Stored as a signed number.
            (4, Kind::Int) => header.crc = Some(thrift.int()? as u32),
            (5 | 7 | 8, Kind::Struct) => data_header(thrift, &mut header, id == 8)?,
            (_, field) => thrift.skip(field)?,
        }
        Ok(())
    })?;
    header.kind = match kind {
        0 => PageKind::DataV1,
        2 => PageKind::Dictionary,
        3 => PageKind::DataV2,
        _ => PageKind::Other,
    };
    if header.entries > MAX_PAGE_ENTRIES || header.uncompressed > MAX_PAGE_BYTES {
        return Err(Malformed::new("has a page of absurd size"));
    }
    Ok(header)
}

/// The three inner headers agree on fields 1 (count); the rest differs.
fn data_header(thrift: &mut Compact<'_>, header: &mut Header, v2: bool) -> Result<()> {
    thrift.fields(|thrift, id, field| {
        match (id, field, v2) {
            (1, Kind::Int, _) => header.entries = count(thrift)?,
            (2, Kind::Int, false) | (4, Kind::Int, true) => {
                header.encoding = Encoding::from_code(thrift.int()?);
            }
            (3, Kind::Int, true) => header.rows = Some(count(thrift)?),
            (5, Kind::Int, true) => header.def_bytes = length(thrift)?,
            (6, Kind::Int, true) => header.rep_bytes = length(thrift)?,
            (7, Kind::False, true) => header.values_are_plain = true,
            (_, field, _) => thrift.skip(field)?,
        }
        Ok(())
    })
}

fn length(thrift: &mut Compact<'_>) -> Result<usize> {
    usize::try_from(thrift.unsigned()?).map_err(|_| Malformed::new("has a page of absurd size"))
}

fn count(thrift: &mut Compact<'_>) -> Result<u32> {
    u32::try_from(thrift.unsigned()?).map_err(|_| Malformed::new("has a page of absurd size"))
}

fn decompress(codec: Codec, bytes: &[u8], length: usize) -> Result<Cow<'_, [u8]>> {
    if codec == Codec::None {
        return Ok(Cow::Borrowed(bytes));
    }
    if length == 0 {
        return Ok(Cow::Borrowed(&[]));
    }
    let out = match codec {
        Codec::None => unreachable!("handled above"),
        Codec::Snappy => snappy(bytes, length)?,
        Codec::Zstd => {
            let reader = zstd::stream::read::Decoder::new(bytes).map_err(bad_compression)?;
            read_at_most(reader, length)?
        }
        Codec::Gzip => read_at_most(flate2::read::MultiGzDecoder::new(bytes), length)?,
        Codec::Other(code) => {
            return Err(Malformed::new(format!("is compressed with codec {code}, which blocks do not use")));
        }
    };
    if out.len() != length {
        return Err(Malformed::new("has a page that decompresses to another size than it says"));
    }
    Ok(Cow::Owned(out))
}

fn snappy(bytes: &[u8], length: usize) -> Result<Vec<u8>> {
    // A snappy block knows its length; it cannot shrink data to less than 1/22.
    let says = snap::raw::decompress_len(bytes).map_err(bad_compression)?;
    if says != length || length / 64 > bytes.len() {
        return Err(Malformed::new("has a page that decompresses to another size than it says"));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(bad_compression)
}

/// The buffer grows with what really comes out, and never above `length` + 1.
fn read_at_most(reader: impl std::io::Read, length: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(length as u64 + 1).read_to_end(&mut out).map_err(bad_compression)?;
    Ok(out)
}

fn bad_compression(error: impl std::fmt::Display) -> Malformed {
    Malformed::new(format!("has a page that does not decompress: {error}"))
}
