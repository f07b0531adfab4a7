//! The columns of a block: for each leaf its path, type, levels, codec and encoding, and the Parquet
//! type tree that follows from them.
//!
//! Source of the tables: blocks written by Grafana Tempo 2.10 and 3.0.

use std::sync::{Arc, LazyLock};

use parquet::basic::{Compression, Encoding, IntType, LogicalType, Repetition, Type as PhysicalType};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type, TypePtr};

pub mod v4;

/// A leaf column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Names from the root's child down, with dots.
    pub path: &'static str,
    /// Type of its values.
    pub leaf_type: LeafType,
    /// Definition level of a value that is there.
    pub max_def: u8,
    /// Lists around it.
    pub max_rep: u8,
    /// Codec of its column chunks.
    pub codec: LeafCodec,
    /// Encoding of its data pages.
    pub encoding: LeafEncoding,
}

/// Physical and logical type of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafType {
    /// `BYTE_ARRAY`.
    Bytes,
    /// `BYTE_ARRAY` (String).
    Text,
    /// `BOOLEAN`.
    Bool,
    /// `INT32` (Int 32, signed).
    Int32,
    /// `INT32` (Int 32, unsigned).
    UInt32,
    /// `INT64` (Int 64, signed).
    Int64,
    /// `INT64` (Int 64, unsigned).
    UInt64,
    /// `DOUBLE`.
    Double,
}

/// Codec of a leaf's column chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafCodec {
    /// None.
    Uncompressed,
    /// Snappy.
    Snappy,
}

/// Encoding of a leaf's data pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafEncoding {
    /// `RLE_DICTIONARY`, never with a fall back: Tempo prunes row groups by the dictionary alone.
    Dictionary,
    /// `DELTA_LENGTH_BYTE_ARRAY`.
    DeltaLength,
    /// `DELTA_BINARY_PACKED`.
    Delta,
    /// `PLAIN`.
    Plain,
}

const fn leaf(
    path: &'static str,
    leaf_type: LeafType,
    max_def: u8,
    max_rep: u8,
    codec: LeafCodec,
    encoding: LeafEncoding,
) -> Leaf {
    Leaf { path, leaf_type, max_def, max_rep, codec, encoding }
}

impl LeafType {
    /// Parquet's physical type.
    pub const fn physical(self) -> PhysicalType {
        match self {
            Self::Bytes | Self::Text => PhysicalType::BYTE_ARRAY,
            Self::Bool => PhysicalType::BOOLEAN,
            Self::Int32 | Self::UInt32 => PhysicalType::INT32,
            Self::Int64 | Self::UInt64 => PhysicalType::INT64,
            Self::Double => PhysicalType::DOUBLE,
        }
    }

    /// Parquet's logical type.
    pub const fn logical(self) -> Option<LogicalType> {
        let (bit_width, is_signed) = match self {
            Self::Bytes | Self::Bool | Self::Double => return None,
            Self::Text => return Some(LogicalType::String),
            Self::Int32 => (32, true),
            Self::UInt32 => (32, false),
            Self::Int64 => (64, true),
            Self::UInt64 => (64, false),
        };
        Some(LogicalType::Integer(IntType { bit_width, is_signed }))
    }
}

impl LeafCodec {
    /// Parquet's name for it.
    pub const fn compression(self) -> Compression {
        match self {
            Self::Uncompressed => Compression::UNCOMPRESSED,
            Self::Snappy => Compression::SNAPPY,
        }
    }
}

impl LeafEncoding {
    /// Parquet's name for it.
    pub const fn encoding(self) -> Encoding {
        match self {
            Self::Dictionary => Encoding::RLE_DICTIONARY,
            Self::DeltaLength => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            Self::Delta => Encoding::DELTA_BINARY_PACKED,
            Self::Plain => Encoding::PLAIN,
        }
    }
}

/// The schema of vParquet4.
pub fn vparquet4() -> SchemaDescPtr {
    static SCHEMA: LazyLock<SchemaDescPtr> =
        LazyLock::new(|| Arc::new(SchemaDescriptor::new(type_tree(&v4::LEAVES))));
    Arc::clone(&SCHEMA)
}

/// The type tree of `leaves`. A segment `list` or `key_value` is repeated, and makes its parent a list
/// or a map; a leaf is optional when its definition levels are more than its lists; all else is required.
pub fn type_tree(leaves: &[Leaf]) -> TypePtr {
    let paths: Vec<Vec<&str>> = leaves.iter().map(|leaf| leaf.path.split('.').collect()).collect();
    let nodes: Vec<_> = paths.iter().map(Vec::as_slice).zip(leaves).collect();
    let root = Type::group_type_builder("Trace").with_fields(children(&nodes));
    Arc::new(root.build().expect("a group with fields is a type"))
}

type Node<'a> = (&'a [&'static str], &'a Leaf);

fn children(nodes: &[Node<'_>]) -> Vec<TypePtr> {
    nodes.chunk_by(|a, b| a.0[0] == b.0[0]).map(child).collect()
}

/// The type of nodes that share their first segment.
fn child(nodes: &[Node<'_>]) -> TypePtr {
    let (path, leaf) = nodes[0];
    if path.len() == 1 {
        return leaf_type(path[0], leaf);
    }
    let below: Vec<Node<'_>> = nodes.iter().map(|(path, leaf)| (&path[1..], *leaf)).collect();
    let repetition =
        if matches!(path[0], "list" | "key_value") { Repetition::REPEATED } else { Repetition::REQUIRED };
    let logical = match path[1] {
        "list" => Some(LogicalType::List),
        "key_value" => Some(LogicalType::Map),
        _ => None,
    };
    let group = Type::group_type_builder(path[0])
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_fields(children(&below));
    Arc::new(group.build().expect("a group with fields is a type"))
}

fn leaf_type(name: &str, leaf: &Leaf) -> TypePtr {
    let repetition = if leaf.max_def > leaf.max_rep { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let leaf_type = Type::primitive_type_builder(name, leaf.leaf_type.physical())
        .with_repetition(repetition)
        .with_logical_type(leaf.leaf_type.logical());
    Arc::new(leaf_type.build().expect("the logical types fit their physical types"))
}

#[cfg(test)]
mod tests;
