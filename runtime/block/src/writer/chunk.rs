//! The pages of one column in the current row group, encoded, and what the footer and the page index
//! say about them.

use std::cmp::Ordering;
use std::io::{Chain, Cursor, Read};

use bytes::{Buf as _, Bytes};
use parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::dictionary::Dictionary;
use super::page::{DataPage, put_data_page, put_dictionary_page};
use super::{PageCompression, WriteError};
use crate::schema::{Leaf, LeafCodec, LeafEncoding, LeafType, v4};

/// Texts and bytes in the page index are cut to this, except trace ids, which are no longer.
const MAX_BOUND_BYTES: usize = 16;

/// Levels of one page, encoded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels<'a> {
    /// Entries, including those without a value.
    pub(super) entries: usize,
    /// Entries without a value.
    pub(super) nulls: usize,
    pub(super) rep: &'a [u8],
    pub(super) def: &'a [u8],
}

/// Least and greatest value of a page, as stored; text and bytes in full.
pub(super) type Bounds<'a> = Option<(&'a [u8], &'a [u8])>;

/// Compresses page bodies.
pub(super) struct Compressor {
    compression: PageCompression,
    snappy: snap::raw::Encoder,
}

impl Compressor {
    pub(super) fn new(compression: PageCompression) -> Self {
        Self { compression, snappy: snap::raw::Encoder::new() }
    }

    fn codec(&self, leaf: &Leaf) -> Result<Compression, WriteError> {
        Ok(match (leaf.codec, self.compression) {
            (LeafCodec::Uncompressed, _) => Compression::UNCOMPRESSED,
            (LeafCodec::Snappy, PageCompression::Snappy) => Compression::SNAPPY,
            (LeafCodec::Snappy, PageCompression::Zstd(level)) => {
                Compression::ZSTD(ZstdLevel::try_new(level)?)
            }
        })
    }

    /// Appends `body` to `out`, compressed.
    fn compress(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        let failed = |source| WriteError::Compress { what: "pages", source };
        let start = out.len();
        match self.compression {
            PageCompression::Snappy => {
                out.resize(start + snap::raw::max_compress_len(body.len()), 0);
                let written = self.snappy.compress(body, &mut out[start..]);
                out.truncate(start + written.map_err(|error| failed(error.into()))?);
            }
            PageCompression::Zstd(level) => {
                out.extend_from_slice(&zstd::bulk::compress(body, level).map_err(failed)?);
            }
        }
        Ok(())
    }
}

/// A column chunk that is being filled.
pub(super) struct Chunk {
    leaf: &'static Leaf,
    descriptor: ColumnDescPtr,
    pages: Vec<u8>,
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
    page_count: i32,
    entries: usize,
    nulls: usize,
    uncompressed_bytes: usize,
    bounds: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether no bound had to be cut.
    exact: bool,
}

impl Chunk {
    pub(super) fn new(leaf: &'static Leaf, descriptor: ColumnDescPtr) -> Self {
        Self {
            leaf,
            descriptor,
            pages: Vec::new(),
            column_index: ColumnIndexBuilder::new(leaf.leaf_type.physical()),
            offset_index: OffsetIndexBuilder::new(),
            page_count: 0,
            entries: 0,
            nulls: 0,
            uncompressed_bytes: 0,
            bounds: None,
            exact: true,
        }
    }

    pub(super) const fn leaf(&self) -> &'static Leaf {
        self.leaf
    }

    /// Adds a page of `rows` rows. As in Tempo's files, pages of dictionary numbers are not compressed.
    pub(super) fn add_page(
        &mut self,
        rows: usize,
        levels: Levels<'_>,
        values: &[u8],
        bounds: Bounds<'_>,
        compressor: &mut Compressor,
    ) -> Result<(), WriteError> {
        let level_bytes = levels.rep.len() + levels.def.len();
        let mut body = Vec::with_capacity(level_bytes + values.len());
        body.extend_from_slice(levels.rep);
        body.extend_from_slice(levels.def);
        let compressible = self.leaf.codec != LeafCodec::Uncompressed
            && self.leaf.encoding != LeafEncoding::Dictionary
            && !values.is_empty();
        let mut is_compressed = false;
        if compressible {
            compressor.compress(values, &mut body)?;
            is_compressed = body.len() - level_bytes < values.len();
        }
        if !is_compressed {
            body.truncate(level_bytes);
            body.extend_from_slice(values);
        }
        let page = DataPage {
            rows,
            levels,
            encoding: self.leaf.encoding.encoding(),
            is_compressed,
            uncompressed: level_bytes + values.len(),
            body: &body,
        };
        let offset = self.pages.len();
        let header = put_data_page(&mut self.pages, &page);
        self.offset_index.append_row_count(rows as i64);
        let length = self.pages.len() - offset;
        self.offset_index.append_offset_and_size(offset as i64, length as i32);
        self.uncompressed_bytes += header + page.uncompressed;
        self.entries += levels.entries;
        self.nulls += levels.nulls;
        self.page_count += 1;
        self.add_bounds(levels, bounds);
        Ok(())
    }

    fn add_bounds(&mut self, levels: Levels<'_>, bounds: Bounds<'_>) {
        let nulls = levels.nulls as i64;
        let Some((min, max)) = bounds else {
            if levels.nulls < levels.entries {
                self.column_index.to_invalid();
            } else {
                self.column_index.append(true, Vec::new(), Vec::new(), nulls, None);
            }
            return;
        };
        self.exact &= min.len().max(max.len()) <= MAX_BOUND_BYTES;
        let (min, max) = (cut_down(self.leaf.leaf_type, min), cut_up(self.leaf.leaf_type, max));
        let order = self.leaf.leaf_type;
        self.bounds = Some(match self.bounds.take() {
            None => (min.clone(), max.clone()),
            Some((least, greatest)) => (
                if compare(order, &min, &least).is_lt() { min.clone() } else { least },
                if compare(order, &max, &greatest).is_gt() { max.clone() } else { greatest },
            ),
        });
        self.column_index.append(false, min, max, nulls, None);
    }

    /// Ends the chunk: its bytes, and what there is to say about them.
    pub(super) fn finish(
        self,
        rows: usize,
        dictionary: Option<&Dictionary>,
        compressor: &mut Compressor,
    ) -> Result<(ChunkBytes, ColumnCloseResult), WriteError> {
        let codec = compressor.codec(self.leaf)?;
        let dictionary_page =
            dictionary.map(|values| self.dictionary_page(values, compressor)).transpose()?;
        let (dictionary_page, dictionary_uncompressed) = dictionary_page.unwrap_or_default();
        let mut column_index = self.column_index;
        if self.leaf == &v4::LEAVES[v4::at::TRACE_ID] {
            column_index.set_boundary_order(BoundaryOrder::ASCENDING);
        }
        let bytes = ChunkBytes { dictionary_page: dictionary_page.into(), data_pages: self.pages.into() };
        let mut metadata = ColumnChunkMetaData::builder(self.descriptor)
            .set_compression(codec)
            .set_encodings_mask(encodings(self.leaf))
            .set_page_encoding_stats(encoding_stats(self.leaf, self.page_count))
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size((self.uncompressed_bytes + dictionary_uncompressed) as i64)
            .set_num_values(self.entries as i64)
            .set_data_page_offset(0);
        let bounds = self.bounds.filter(|_| column_index.valid());
        if let Some(statistics) = statistics(self.leaf.leaf_type, bounds, self.exact, self.nulls) {
            metadata = metadata.set_statistics(statistics);
        }
        let column_index = column_index.valid().then(|| column_index.build()).transpose()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len(),
            rows_written: rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index,
            offset_index: Some(self.offset_index.build()),
        };
        let close = close.update_dictionary_location(bytes.dictionary_page.len())?;
        Ok((bytes, close))
    }

    /// The dictionary's page, and its size before compression.
    fn dictionary_page(
        &self,
        dictionary: &Dictionary,
        compressor: &mut Compressor,
    ) -> Result<(Vec<u8>, usize), WriteError> {
        let mut compressed = Vec::new();
        let body = match self.leaf.codec {
            LeafCodec::Uncompressed => dictionary.page(),
            LeafCodec::Snappy => {
                compressor.compress(dictionary.page(), &mut compressed)?;
                compressed.as_slice()
            }
        };
        let mut page = Vec::with_capacity(body.len() + 32);
        let header = put_dictionary_page(&mut page, dictionary.len(), dictionary.page().len(), body);
        Ok((page, header + dictionary.page().len()))
    }
}

fn encodings(leaf: &Leaf) -> EncodingMask {
    let mut mask = EncodingMask::default();
    mask.insert(leaf.encoding.encoding());
    if leaf.encoding == LeafEncoding::Dictionary {
        mask.insert(Encoding::PLAIN);
    }
    if leaf.max_def > 0 {
        mask.insert(Encoding::RLE);
    }
    mask
}

fn encoding_stats(leaf: &Leaf, pages: i32) -> Vec<PageEncodingStats> {
    let data = PageEncodingStats {
        page_type: PageType::DATA_PAGE_V2,
        encoding: leaf.encoding.encoding(),
        count: pages,
    };
    let dictionary =
        PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 };
    if leaf.encoding == LeafEncoding::Dictionary { vec![dictionary, data] } else { vec![data] }
}

/// Statistics of a chunk: the number of nulls, and bounds where they are known.
fn statistics(
    leaf_type: LeafType,
    bounds: Option<(Vec<u8>, Vec<u8>)>,
    exact: bool,
    nulls: usize,
) -> Option<Statistics> {
    let nulls = Some(nulls as u64);
    let (min, max) = bounds.unzip();
    Some(match leaf_type {
        LeafType::Bytes | LeafType::Text => Statistics::ByteArray(
            ValueStatistics::new(min.map(ByteArray::from), max.map(ByteArray::from), None, nulls, false)
                .with_min_is_exact(exact)
                .with_max_is_exact(exact),
        ),
        LeafType::Int32 | LeafType::UInt32 => Statistics::int32(
            min.map(|b| i32::from_le_bytes(fixed(&b))),
            max.map(|b| i32::from_le_bytes(fixed(&b))),
            None,
            nulls,
            false,
        ),
        LeafType::Int64 | LeafType::UInt64 => Statistics::int64(
            min.map(|b| i64::from_le_bytes(fixed(&b))),
            max.map(|b| i64::from_le_bytes(fixed(&b))),
            None,
            nulls,
            false,
        ),
        // Too little in them to be worth it.
        LeafType::Bool | LeafType::Double => return None,
    })
}

/// `bytes` as a number's; they always have its length.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// The order of stored values.
fn compare(leaf_type: LeafType, a: &[u8], b: &[u8]) -> Ordering {
    match leaf_type {
        LeafType::Bytes | LeafType::Text | LeafType::Bool | LeafType::Double => a.cmp(b),
        LeafType::Int32 => i32::from_le_bytes(fixed(a)).cmp(&i32::from_le_bytes(fixed(b))),
        LeafType::UInt32 => u32::from_le_bytes(fixed(a)).cmp(&u32::from_le_bytes(fixed(b))),
        LeafType::Int64 => i64::from_le_bytes(fixed(a)).cmp(&i64::from_le_bytes(fixed(b))),
        LeafType::UInt64 => u64::from_le_bytes(fixed(a)).cmp(&u64::from_le_bytes(fixed(b))),
    }
}

/// Where a text or bytes may be cut: within bounds, and not inside a character.
fn cut_at(leaf_type: LeafType, value: &[u8]) -> usize {
    let mut end = MAX_BOUND_BYTES.min(value.len());
    if leaf_type == LeafType::Text {
        while end > 0 && value.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
    }
    end
}

/// A short lower bound of `value`.
fn cut_down(leaf_type: LeafType, value: &[u8]) -> Vec<u8> {
    value[..cut_at(leaf_type, value)].to_vec()
}

/// A short upper bound of `value`: cut, with its last ASCII character counted up; in full without any.
fn cut_up(leaf_type: LeafType, value: &[u8]) -> Vec<u8> {
    let end = cut_at(leaf_type, value);
    if end == value.len() {
        return value.to_vec();
    }
    let Some(last) = value[..end].iter().rposition(|byte| *byte < 0x7f) else { return value.to_vec() };
    let mut bound = value[..=last].to_vec();
    bound[last] += 1;
    bound
}

/// A chunk in file order.
pub(super) struct ChunkBytes {
    dictionary_page: Bytes,
    data_pages: Bytes,
}

impl Length for ChunkBytes {
    fn len(&self) -> u64 {
        (self.dictionary_page.len() + self.data_pages.len()) as u64
    }
}

impl ChunkReader for ChunkBytes {
    type T = Chain<Cursor<Bytes>, Cursor<Bytes>>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let (mut first, mut second) = (self.dictionary_page.clone(), self.data_pages.clone());
        let skipped = first.len().min(start as usize);
        first.advance(skipped);
        second.advance(second.len().min(start as usize - skipped));
        Ok(Read::chain(Cursor::new(first), Cursor::new(second)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_long_texts_are_short_and_still_bounds() {
        let cases: [(&str, &str, &str); 5] = [
            ("short", "short", "short"),
            ("exactly sixteen!", "exactly sixteen!", "exactly sixteen!"),
            ("longer than sixteen", "longer than sixt", "longer than sixu"),
            ("umlauts äöüäöüäöü", "umlauts äöüä", "umlauts!"),
            ("ääääääääääääääääää", "ääääääää", "ääääääääääääääääää"),
        ];
        for (value, lower, upper) in cases {
            assert_eq!(cut_down(LeafType::Text, value.as_bytes()), lower.as_bytes());
            assert_eq!(cut_up(LeafType::Text, value.as_bytes()), upper.as_bytes());
            assert!(lower <= value && value <= upper);
        }
    }

    #[test]
    fn a_trace_id_is_never_cut() {
        assert_eq!(cut_down(LeafType::Bytes, &[0xff; 16]), [0xff; 16]);
        assert_eq!(cut_up(LeafType::Bytes, &[0xff; 16]), [0xff; 16]);
    }
}
