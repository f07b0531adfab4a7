//! What a block's file is made of, for people to look at.

use serde::Serialize;

use super::BlockReader;
use super::parquet::footer::{Chunk, Codec, Physical};
use crate::dedicated::DedicatedScope;

/// A block's file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockLayout {
    /// The library that wrote it, as it calls itself.
    pub created_by: String,
    /// Bytes of the footer, without the last 8 of the file.
    pub footer_bytes: u64,
    /// The row groups in order.
    pub row_groups: Vec<RowGroupLayout>,
    /// The columns in order, over all row groups.
    pub columns: Vec<ColumnLayout>,
}

/// A row group.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RowGroupLayout {
    /// Traces.
    pub traces: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// Bytes of its pages before compression.
    pub uncompressed_bytes: u64,
}

/// A column, its chunks of all row groups taken together.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnLayout {
    /// Path in the schema.
    pub name: String,
    /// The attribute that the column is dedicated to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Physical type.
    pub kind: &'static str,
    /// Codec of its pages: `none`, `snappy`, `gzip`, `zstd`, or its number; several where row groups differ.
    pub codec: String,
    /// Encodings of its pages, as Parquet names them.
    pub encodings: Vec<&'static str>,
    /// Bytes as stored.
    pub bytes: u64,
    /// Bytes of its pages before compression.
    pub uncompressed_bytes: u64,
    /// Entries, nulls and empty lists included.
    pub entries: u64,
    /// Entries without a value; `None` where a row group does not tell.
    pub nulls: Option<u64>,
}

/// Parquet's encodings by code.
const ENCODINGS: [&str; 10] = [
    "PLAIN",
    "GROUP_VAR_INT",
    "PLAIN_DICTIONARY",
    "RLE",
    "BIT_PACKED",
    "DELTA_BINARY_PACKED",
    "DELTA_LENGTH_BYTE_ARRAY",
    "DELTA_BYTE_ARRAY",
    "RLE_DICTIONARY",
    "BYTE_STREAM_SPLIT",
];

impl BlockReader {
    /// What the block's file is made of, as its footer tells.
    pub fn layout(&self) -> BlockLayout {
        let file = self.file();
        let group = |group: &super::parquet::footer::RowGroup| RowGroupLayout {
            traces: group.rows,
            bytes: sum(group.chunks.iter().map(stored)),
            uncompressed_bytes: sum(group.chunks.iter().map(|chunk| chunk.uncompressed)),
        };
        BlockLayout {
            created_by: file.footer.created_by.clone(),
            footer_bytes: file.footer_length,
            row_groups: file.footer.row_groups.iter().map(group).collect(),
            columns: (0..file.footer.leaves.len()).map(|column| self.column_layout(column)).collect(),
        }
    }

    fn column_layout(&self, column: usize) -> ColumnLayout {
        let chunks =
            || self.file().footer.row_groups.iter().filter_map(move |group| group.chunks.get(column));
        let mut codecs: Vec<String> = chunks().map(|chunk| codec(chunk.codec)).collect();
        codecs.sort_unstable();
        codecs.dedup();
        let encodings = chunks().fold(0, |all, chunk| all | chunk.encodings);
        ColumnLayout {
            name: self.name(column),
            attribute: self.attribute_of(column),
            kind: kind(self.leaf(column).physical),
            codec: codecs.join(", "),
            encodings: (0..)
                .zip(ENCODINGS)
                .filter(|(code, _)| encodings >> code & 1 == 1)
                .map(|(_, name)| name)
                .collect(),
            bytes: sum(chunks().map(stored)),
            uncompressed_bytes: sum(chunks().map(|chunk| chunk.uncompressed)),
            entries: sum(chunks().map(|chunk| chunk.entries)),
            nulls: chunks().map(|chunk| chunk.nulls).collect::<Option<Vec<_>>>().map(sum),
        }
    }

    fn attribute_of(&self, column: usize) -> Option<String> {
        let schema = &self.file().schema;
        let scopes = [
            (DedicatedScope::Resource, "resource"),
            (DedicatedScope::Span, "span"),
            (DedicatedScope::Event, "event"),
        ];
        scopes.into_iter().find_map(|(scope, name)| {
            let columns = schema.dedicated(&self.meta().dedicated_columns, scope);
            let (key, _) = columns.into_iter().find(|(_, leaf)| schema.find(leaf) == Some(column))?;
            Some(format!("{name}.{key}"))
        })
    }
}

/// A damaged footer may claim anything.
fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

fn stored(chunk: &Chunk) -> u64 {
    chunk.range.end - chunk.range.start
}

fn codec(codec: Codec) -> String {
    match codec {
        Codec::None => "none".to_owned(),
        Codec::Snappy => "snappy".to_owned(),
        Codec::Gzip => "gzip".to_owned(),
        Codec::Zstd => "zstd".to_owned(),
        Codec::Other(code) => format!("codec {code}"),
    }
}

fn kind(physical: Physical) -> &'static str {
    match physical {
        Physical::Boolean => "BOOLEAN",
        Physical::Int32 => "INT32",
        Physical::Int64 => "INT64",
        Physical::Double => "DOUBLE",
        Physical::ByteArray => "BYTE_ARRAY",
        Physical::Other => "other",
    }
}
