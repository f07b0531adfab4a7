//! The file's footer: schema and where the column chunks are.

use std::ops::Range;

use super::thrift::{Compact, Kind};
use super::{Bounds, MAX_CHUNK_ENTRIES, Malformed, Result};

/// A file's metadata.
#[derive(Debug)]
pub(crate) struct Footer {
    /// The leaves in order.
    pub(crate) leaves: Vec<Leaf>,
    /// The row groups; each has as many chunks as there are leaves.
    pub(crate) row_groups: Vec<RowGroup>,
    /// The library that wrote the file, as it calls itself.
    pub(crate) created_by: String,
}

/// A column's place in the schema.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Path from the root, without the root's name.
    pub(crate) path: Vec<String>,
    pub(crate) physical: Physical,
    pub(crate) max_def: u8,
    pub(crate) max_rep: u8,
    /// Lengths of the parts of the path that end in what repeats, shortest first: one for each repetition level.
    pub(crate) lists: Vec<usize>,
}

/// Physical types that blocks use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Physical {
    Boolean,
    Int32,
    Int64,
    Double,
    ByteArray,
    /// INT96, FLOAT, FIXED_LEN_BYTE_ARRAY: may stand in a file, cannot be read.
    Other,
}

#[derive(Debug)]
pub(crate) struct RowGroup {
    pub(crate) rows: u64,
    pub(crate) chunks: Vec<Chunk>,
}

/// One column of one row group.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) codec: Codec,
    /// Entries, nulls and empty lists included.
    pub(crate) entries: u64,
    /// Its bytes in the file, dictionary first.
    pub(crate) range: Range<u64>,
    pub(crate) offset_index: Option<Range<u64>>,
    pub(crate) column_index: Option<Range<u64>>,
    /// Least and greatest value, possibly cut short (the least downwards, the greatest upwards).
    pub(crate) bounds: Option<Bounds>,
    /// Entries without a value, if the file tells.
    pub(crate) nulls: Option<u64>,
    /// Bytes of its pages before compression.
    pub(crate) uncompressed: u64,
    /// Encodings of its pages, one bit for the code of each.
    pub(crate) encodings: u16,
    /// Whether it begins with a dictionary.
    pub(crate) has_dictionary: bool,
    /// Whether some values are known to be outside of the dictionary.
    pub(crate) leaves_dictionary: bool,
}

impl Chunk {
    /// Whether it is known to have no value at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0 || self.nulls == Some(self.entries)
    }
}

/// Compression of a chunk's pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Codec {
    #[default]
    None,
    Snappy,
    Gzip,
    Zstd,
    /// LZO, LZ4, Brotli: no writer of blocks uses them.
    Other(i64),
}

impl Footer {
    /// Parses the footer of a file of `file_size` bytes; `bytes` are the thrift structure alone.
    pub(crate) fn parse(bytes: &[u8], file_size: u64) -> Result<Self> {
        let mut thrift = Compact::new(bytes);
        let mut leaves = None;
        let mut row_groups = Vec::new();
        let mut created_by = String::new();
        thrift.fields(|thrift, id, kind| match (id, kind) {
            (2, Kind::List) => {
                leaves = Some(schema(thrift)?);
                Ok(())
            }
            (4, Kind::List) => {
                for _ in 0..thrift.list_of(Kind::Struct)? {
                    row_groups.push(row_group(thrift, file_size)?);
                }
                Ok(())
            }
            (6, Kind::Bytes) => {
                created_by = String::from_utf8_lossy(thrift.bytes()?).into_owned();
                Ok(())
            }
            (_, kind) => thrift.skip(kind),
        })?;
        let leaves = leaves.ok_or(Malformed::new("has no schema"))?;
        if row_groups.iter().any(|group: &RowGroup| group.chunks.len() != leaves.len()) {
            return Err(Malformed::new("has row groups whose columns are not those of the schema"));
        }
        Ok(Self { leaves, row_groups, created_by })
    }
}

struct Element {
    name: String,
    physical: Physical,
    repetition: i64,
    children: u64,
}

fn schema(thrift: &mut Compact<'_>) -> Result<Vec<Leaf>> {
    let length = thrift.list_of(Kind::Struct)?;
    let elements = (0..length).map(|_| schema_element(thrift)).collect::<Result<Vec<_>>>()?;
    let mut elements = elements.into_iter();
    let root = elements.next().ok_or(Malformed::new("has an empty schema"))?;
    let mut walk = Walk { elements, path: Vec::new(), lists: Vec::new(), leaves: Vec::new(), path_bytes: 0 };
    for _ in 0..root.children {
        walk.element(Levels::default())?;
    }
    Ok(walk.leaves)
}

fn schema_element(thrift: &mut Compact<'_>) -> Result<Element> {
    let mut element = Element { name: String::new(), physical: Physical::Other, repetition: 0, children: 0 };
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::Int) => element.physical = physical(thrift.int()?),
            (3, Kind::Int) => element.repetition = thrift.int()?,
            (4, Kind::Bytes) => element.name = String::from_utf8_lossy(thrift.bytes()?).into_owned(),
            (5, Kind::Int) => element.children = thrift.unsigned()?,
            (_, kind) => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(element)
}

fn physical(code: i64) -> Physical {
    match code {
        0 => Physical::Boolean,
        1 => Physical::Int32,
        2 => Physical::Int64,
        5 => Physical::Double,
        6 => Physical::ByteArray,
        _ => Physical::Other,
    }
}

#[derive(Clone, Copy, Default)]
struct Levels {
    def: u8,
    rep: u8,
}

/// Most bytes of all leaves' paths together: each leaf repeats the names of those above it. Schemas of blocks have some
/// 20 KiB.
const MAX_PATH_BYTES: usize = 4 << 20;

/// The way through a schema, depth first.
struct Walk {
    elements: std::vec::IntoIter<Element>,
    path: Vec<String>,
    lists: Vec<usize>,
    leaves: Vec<Leaf>,
    path_bytes: usize,
}

impl Walk {
    fn element(&mut self, mut levels: Levels) -> Result<()> {
        let element = self.elements.next().ok_or(Malformed::new("has a schema that ends early"))?;
        if self.path.len() >= 32 {
            return Err(Malformed::new("has a schema that nests too deep"));
        }
        levels.def += u8::from(element.repetition != 0);
        self.path.push(element.name);
        let repeats = element.repetition == 2;
        levels.rep += u8::from(repeats);
        self.lists.extend(repeats.then_some(self.path.len()));
        if element.children == 0 {
            self.leaf(element.physical, levels)?;
        }
        for _ in 0..element.children {
            self.element(levels)?;
        }
        self.path.pop();
        if repeats {
            self.lists.pop();
        }
        Ok(())
    }

    fn leaf(&mut self, physical: Physical, Levels { def, rep }: Levels) -> Result<()> {
        self.path_bytes += self.path.iter().map(|name| name.len() + size_of::<String>()).sum::<usize>();
        if self.path_bytes > MAX_PATH_BYTES {
            return Err(Malformed::new("has a schema of absurd size"));
        }
        let (path, lists) = (self.path.clone(), self.lists.clone());
        self.leaves.push(Leaf { path, physical, max_def: def, max_rep: rep, lists });
        Ok(())
    }
}

fn row_group(thrift: &mut Compact<'_>, file_size: u64) -> Result<RowGroup> {
    let mut group = RowGroup { rows: 0, chunks: Vec::new() };
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::List) => {
                for _ in 0..thrift.list_of(Kind::Struct)? {
                    group.chunks.push(chunk(thrift, file_size)?);
                }
            }
            (3, Kind::Int) => group.rows = thrift.unsigned()?,
            (_, kind) => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    if group.rows > u64::from(u32::MAX) {
        return Err(Malformed::new("has a row group with an absurd number of rows"));
    }
    Ok(group)
}

/// Offset and length of something in the file.
#[derive(Clone, Copy, Default)]
struct Piece {
    offset: u64,
    length: u64,
}

impl Piece {
    fn range(self, file_size: u64) -> Result<Option<Range<u64>>> {
        if self.length == 0 {
            return Ok(None);
        }
        match self.offset.checked_add(self.length) {
            Some(end) if end <= file_size => Ok(Some(self.offset..end)),
            _ => Err(Malformed::new("points behind the end of the file")),
        }
    }
}

fn chunk(thrift: &mut Compact<'_>, file_size: u64) -> Result<Chunk> {
    let (mut offset_index, mut column_index) = (Piece::default(), Piece::default());
    let mut chunk = None;
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (3, Kind::Struct) => chunk = Some(column_metadata(thrift, file_size)?),
            (4, Kind::Int) => offset_index.offset = thrift.unsigned()?,
            (5, Kind::Int) => offset_index.length = thrift.unsigned()?,
            (6, Kind::Int) => column_index.offset = thrift.unsigned()?,
            (7, Kind::Int) => column_index.length = thrift.unsigned()?,
            (_, kind) => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    let mut chunk = chunk.ok_or(Malformed::new("has a column without metadata"))?;
    chunk.offset_index = offset_index.range(file_size)?;
    chunk.column_index = column_index.range(file_size)?;
    Ok(chunk)
}

fn column_metadata(thrift: &mut Compact<'_>, file_size: u64) -> Result<Chunk> {
    let mut chunk = Chunk::default();
    let (mut data, mut dictionary, mut length) = (0, None, 0);
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (2, Kind::List) => {
                for _ in 0..thrift.list_of(Kind::Int)? {
                    // No code has more than four bits.
                    chunk.encodings |= 1 << (thrift.int()? & 0xf);
                }
            }
            (4, Kind::Int) => chunk.codec = codec(thrift.int()?),
            (5, Kind::Int) => chunk.entries = thrift.unsigned()?,
            (6, Kind::Int) => chunk.uncompressed = thrift.unsigned()?,
            (7, Kind::Int) => length = thrift.unsigned()?,
            (9, Kind::Int) => data = thrift.unsigned()?,
            (11, Kind::Int) => dictionary = Some(thrift.unsigned()?),
            (12, Kind::Struct) => (chunk.bounds, chunk.nulls) = statistics(thrift)?,
            (13, Kind::List) => {
                for _ in 0..thrift.list_of(Kind::Struct)? {
                    chunk.leaves_dictionary |= is_data_outside_dictionary(thrift)?;
                }
            }
            (_, kind) => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    if chunk.entries > MAX_CHUNK_ENTRIES {
        return Err(Malformed::new("has a column with an absurd number of values"));
    }
    // Some writers put 0 where there is no dictionary.
    let dictionary = dictionary.filter(|offset| *offset > 0);
    chunk.has_dictionary = dictionary.is_some();
    let offset = dictionary.map_or(data, |dictionary| dictionary.min(data));
    chunk.range = Piece { offset, length }.range(file_size)?.unwrap_or(offset..offset);
    Ok(chunk)
}

fn codec(code: i64) -> Codec {
    match code {
        0 => Codec::None,
        1 => Codec::Snappy,
        2 => Codec::Gzip,
        6 => Codec::Zstd,
        other => Codec::Other(other),
    }
}

/// Whether these are data pages in another encoding than dictionary numbers.
fn is_data_outside_dictionary(thrift: &mut Compact<'_>) -> Result<bool> {
    const DICTIONARY_PAGE: i64 = 2;
    const DICTIONARY_ENCODINGS: [i64; 2] = [2, 8];
    let (mut page, mut encoding, mut count) = (0, 0, 0);
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (1, Kind::Int) => page = thrift.int()?,
            (2, Kind::Int) => encoding = thrift.int()?,
            (3, Kind::Int) => count = thrift.int()?,
            (_, kind) => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(page != DICTIONARY_PAGE && count > 0 && !DICTIONARY_ENCODINGS.contains(&encoding))
}

/// Bounds and number of nulls. The deprecated bounds (fields 1 and 2) have no defined order.
fn statistics(thrift: &mut Compact<'_>) -> Result<(Option<Bounds>, Option<u64>)> {
    let (mut least, mut greatest, mut nulls) = (None, None, None);
    thrift.fields(|thrift, id, kind| {
        match (id, kind) {
            (3, Kind::Int) => nulls = Some(thrift.unsigned()?),
            (5, Kind::Bytes) => greatest = Some(thrift.bytes()?.into()),
            (6, Kind::Bytes) => least = Some(thrift.bytes()?.into()),
            (_, kind) => thrift.skip(kind)?,
        }
        Ok(())
    })?;
    Ok((least.zip(greatest), nulls))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schema element: name, children.
    fn element(name: &str, children: u8) -> Vec<u8> {
        [&[0x48, name.len() as u8], name.as_bytes(), &[0x15, children * 2, 0]].concat()
    }

    fn footer(elements: &[Vec<u8>]) -> Vec<u8> {
        let (low, high) = ((elements.len() & 0x7f) as u8 | 0x80, (elements.len() >> 7) as u8);
        [&[0x29, 0xfc, low, high], elements.concat().as_slice(), &[0]].concat()
    }

    #[test]
    fn paths_that_repeat_long_names_have_an_end() {
        let long = "n".repeat(100);
        let under_one = |leaves: u8| {
            let mut elements = vec![element("root", 60)];
            for _ in 0..60 {
                elements.extend((0..20).map(|_| element(&long, 1)));
                elements.push(element(&long, leaves));
                elements.extend((0..leaves).map(|_| element("leaf", 0)));
            }
            Footer::parse(&footer(&elements), 1 << 20)
        };
        assert_eq!(under_one(1).unwrap().leaves.len(), 60);
        assert_eq!(under_one(60).unwrap_err().to_string(), "has a schema of absurd size");
    }
}
