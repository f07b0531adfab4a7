//! Pages with their headers, in thrift's compact protocol.
//!
//! Why not the `parquet` crate's: it writes no checksums. A damaged block must be noticed, by us and by Tempo, whose
//! own pages have them.

use parquet::basic::Encoding;
use tempoform_core::protobuf::put_varint;

use super::chunk::Levels;

/// A data page, version 2.
pub(super) struct DataPage<'a> {
    pub(super) rows: usize,
    pub(super) levels: Levels<'a>,
    pub(super) encoding: Encoding,
    pub(super) is_compressed: bool,
    /// Bytes of levels and values before compression.
    pub(super) uncompressed: usize,
    /// Levels and values as stored.
    pub(super) body: &'a [u8],
}

const DATA_PAGE_V2: i64 = 3;
const DICTIONARY_PAGE: i64 = 2;

/// Appends a data page; returns the length of its header.
pub(super) fn put_data_page(out: &mut Vec<u8>, page: &DataPage<'_>) -> usize {
    let DataPage { rows, levels, encoding, is_compressed, uncompressed, body } = page;
    let start = out.len();
    let mut header = page_header(out, DATA_PAGE_V2, *uncompressed, body);
    header.begin(8);
    header.int(1, levels.entries as i64);
    header.int(2, levels.nulls as i64);
    header.int(3, *rows as i64);
    header.int(4, *encoding as i64);
    header.int(5, levels.def.len() as i64);
    header.int(6, levels.rep.len() as i64);
    header.bool(7, *is_compressed);
    header.end();
    header.end();
    let length = out.len() - start;
    out.extend_from_slice(body);
    length
}

/// Appends a page of `count` distinct values; returns the length of its header.
pub(super) fn put_dictionary_page(
    out: &mut Vec<u8>,
    count: usize,
    uncompressed: usize,
    body: &[u8],
) -> usize {
    let start = out.len();
    let mut header = page_header(out, DICTIONARY_PAGE, uncompressed, body);
    header.begin(7);
    header.int(1, count as i64);
    header.int(2, Encoding::PLAIN as i64);
    header.bool(3, false);
    header.end();
    header.end();
    let length = out.len() - start;
    out.extend_from_slice(body);
    length
}

/// What headers of all kinds begin with. The checksum is of the bytes as stored, without the header.
fn page_header<'a>(out: &'a mut Vec<u8>, kind: i64, uncompressed: usize, body: &[u8]) -> Fields<'a> {
    let mut header = Fields { out, last: vec![0] };
    header.int(1, kind);
    header.int(2, uncompressed as i64);
    header.int(3, body.len() as i64);
    // Thrift has only signed numbers.
    header.int(4, i64::from(crc32fast::hash(body) as i32));
    header
}

/// Writes fields of nested structs, ids ascending.
struct Fields<'a> {
    out: &'a mut Vec<u8>,
    /// The last field's id, of each struct that is open.
    last: Vec<u8>,
}

impl Fields<'_> {
    fn field(&mut self, id: u8, kind: u8) {
        if let Some(last) = self.last.last_mut() {
            self.out.push((id - *last) << 4 | kind);
            *last = id;
        }
    }

    fn int(&mut self, id: u8, value: i64) {
        self.field(id, 5);
        put_varint(self.out, (value << 1 ^ value >> 63) as u64);
    }

    fn bool(&mut self, id: u8, value: bool) {
        self.field(id, if value { 1 } else { 2 });
    }

    fn begin(&mut self, id: u8) {
        self.field(id, 12);
        self.last.push(0);
    }

    fn end(&mut self) {
        self.last.pop();
        self.out.push(0);
    }
}
