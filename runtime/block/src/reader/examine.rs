//! The parsers of a block's file one by one, without a store: for `tests/fuzz`, which holds that no bytes do harm.
//!
//! Not behind a feature: a workspace unifies features, and the executables would differ with what is built beside
//! them. What nobody calls is not linked.

use std::ops::Range;

use bytes::Bytes;

use super::parquet::column::{ChunkBytes, Values, Want, decode, decode_dictionary, walk};
use super::parquet::footer::{Chunk, Codec, Footer, Leaf, Physical, RowGroup};
use super::parquet::page_index;
use super::placed::{Layers, Placed};

/// What the footer of a file of `file_size` bytes says: its columns, and the rows of its row groups.
///
/// # Errors
/// What is wrong with it.
pub fn footer(bytes: &[u8], file_size: u64) -> Result<(Vec<String>, Vec<u64>), String> {
    let footer = Footer::parse(bytes, file_size).map_err(told)?;
    let columns = footer.leaves.iter().map(|leaf| leaf.path.join(".")).collect();
    Ok((columns, footer.row_groups.iter().map(|group| group.rows).collect()))
}

/// Reads both parts of a page index from the same bytes: the number of pages by each.
///
/// # Errors
/// What is wrong with the first.
pub fn page_index(bytes: &[u8]) -> Result<(usize, Option<usize>), String> {
    let bounds = page_index::column_index(bytes).ok().map(|bounds| bounds.len());
    let pages = page_index::offset_index(bytes).map_err(told)?;
    Ok((pages.len(), bounds))
}

/// A column chunk as a footer would tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkShape {
    /// Parquet's code of the physical type: 0 boolean, 1 and 2 integers, 5 double, 6 bytes.
    pub physical: u8,
    /// Parquet's code of the compression: 0 none, 1 Snappy, 2 gzip, 6 Zstandard.
    pub codec: u8,
    /// Greatest definition level, at least `max_rep`.
    pub max_def: u8,
    /// Greatest repetition level.
    pub max_rep: u8,
    /// Entries, nulls and empty lists included.
    pub entries: u32,
    /// Rows.
    pub rows: u32,
}

/// Where a chunk is, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    /// What it is.
    pub shape: ChunkShape,
    /// Its bytes in the file.
    pub range: Range<u64>,
    /// Those of its page index, both parts.
    pub indexes: Vec<Range<u64>>,
}

/// The chunks of a file of `file_size` bytes, by its footer.
///
/// # Errors
/// What is wrong with the footer.
pub fn chunks(footer: &[u8], file_size: u64) -> Result<Vec<ChunkPlace>, String> {
    let footer = Footer::parse(footer, file_size).map_err(told)?;
    let of_group = |group: &RowGroup| {
        let place = |(leaf, chunk): (&Leaf, &Chunk)| ChunkPlace {
            shape: ChunkShape {
                physical: physical_code(leaf.physical),
                codec: codec_code(chunk.codec),
                max_def: leaf.max_def,
                max_rep: leaf.max_rep,
                entries: chunk.entries as u32,
                rows: group.rows as u32,
            },
            range: chunk.range.clone(),
            indexes: chunk.offset_index.iter().chain(&chunk.column_index).cloned().collect(),
        };
        footer.leaves.iter().zip(&group.chunks).map(place).collect::<Vec<_>>()
    };
    Ok(footer.row_groups.iter().flat_map(of_group).collect())
}

const fn physical_code(physical: Physical) -> u8 {
    match physical {
        Physical::Boolean => 0,
        Physical::Int32 => 1,
        Physical::Int64 => 2,
        Physical::Double => 5,
        Physical::ByteArray => 6,
        Physical::Other => 7,
    }
}

const fn codec_code(codec: Codec) -> u8 {
    match codec {
        Codec::None => 0,
        Codec::Snappy => 1,
        Codec::Gzip => 2,
        Codec::Zstd => 6,
        Codec::Other(_) => 7,
    }
}

/// What a column came to, each part read by another path.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadColumn {
    /// Entries.
    pub entries: usize,
    /// Repetition levels.
    pub rep: Vec<u8>,
    /// Definition levels.
    pub def: Vec<u8>,
    /// Values, as text.
    pub values: Vec<String>,
}

impl ChunkShape {
    /// Decodes `rows` of a chunk.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, chunk: &Bytes, rows: Range<u64>) -> Result<ReadColumn, String> {
        let (leaf, meta) = self.described(chunk.len());
        let bytes = ChunkBytes::Whole(chunk.clone());
        let column = decode(&leaf, &meta, &bytes, std::slice::from_ref(&rows), Want::Values).map_err(told)?;
        let read = ReadColumn {
            entries: column.entries,
            rep: column.rep.clone(),
            def: column.def.clone(),
            values: shown(&column.values),
        };
        for level in 0..=self.max_rep {
            // Whether these fit together is for the layers to say.
            drop(Layers::new(&leaf, &column, level));
        }
        drop(Placed::new(&leaf, column, self.max_rep));
        Ok(read)
    }

    /// Its levels alone: repetition, definition.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn levels(&self, chunk: &Bytes, rows: Range<u64>) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (leaf, meta) = self.described(chunk.len());
        let bytes = ChunkBytes::Whole(chunk.clone());
        let column = decode(&leaf, &meta, &bytes, std::slice::from_ref(&rows), Want::Levels).map_err(told)?;
        Ok((column.rep, column.def))
    }

    /// Its dictionary, if it has one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn dictionary(&self, chunk: &Bytes) -> Result<Option<Vec<Vec<u8>>>, String> {
        let (leaf, meta) = self.described(chunk.len());
        let strings = decode_dictionary(&leaf, &meta, chunk).map_err(told)?;
        Ok(strings
            .map(|strings| (0..strings.entries()).map(|id| strings.entry(id as u32).to_vec()).collect()))
    }

    /// Goes through it page by page as the whole check of a block does, in pieces of `piece` bytes: all values, and
    /// the rows.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn walk(&self, chunk: &Bytes, piece: usize) -> Result<(Vec<String>, u64), String> {
        let (leaf, meta) = self.described(chunk.len());
        let mut pieces = chunk.chunks(piece.max(1)).map(Bytes::copy_from_slice);
        let mut values = Vec::new();
        let rows = walk(
            &leaf,
            &meta,
            || pieces.next(),
            |page| {
                values.extend(shown(&page.column.values));
                Ok(())
            },
        );
        Ok((values, rows.map_err(told)?))
    }

    fn described(&self, length: usize) -> (Leaf, Chunk) {
        let physical = match self.physical {
            0 => Physical::Boolean,
            1 => Physical::Int32,
            2 => Physical::Int64,
            5 => Physical::Double,
            6 => Physical::ByteArray,
            _ => Physical::Other,
        };
        let codec = match self.codec {
            0 => Codec::None,
            1 => Codec::Snappy,
            2 => Codec::Gzip,
            6 => Codec::Zstd,
            other => Codec::Other(i64::from(other)),
        };
        let path: Vec<_> = (0..=self.max_rep).map(|part| part.to_string()).collect();
        let lists = (1..=usize::from(self.max_rep)).collect();
        let leaf = Leaf { path, physical, max_def: self.max_def, max_rep: self.max_rep, lists };
        let chunk =
            Chunk { codec, entries: u64::from(self.entries), range: 0..length as u64, ..Chunk::default() };
        (leaf, chunk)
    }
}

fn told(error: super::Malformed) -> String {
    error.to_string()
}

fn shown(values: &Values) -> Vec<String> {
    match values {
        Values::Strings(strings) => {
            (0..strings.ids.len()).map(|at| String::from_utf8_lossy(strings.value(at)).into_owned()).collect()
        }
        Values::Ints(ints) => ints.iter().map(i64::to_string).collect(),
        Values::Doubles(doubles) => doubles.iter().map(|double| format!("{double:?}")).collect(),
        Values::Bools(bools) => bools.iter().map(bool::to_string).collect(),
    }
}
