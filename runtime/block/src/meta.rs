//! `meta.json`: what a block is. Its presence makes the block live.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::dedicated::DedicatedColumn;

/// A block's format.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockVersion {
    /// `vParquet3`: read only.
    VParquet3,
    /// `vParquet4`: read and written.
    VParquet4,
    /// `vParquet5`: read only.
    VParquet5,
    /// Anything else: known to exist, not readable.
    Other(Box<str>),
}

impl BlockVersion {
    /// As in meta.json.
    pub fn as_str(&self) -> &str {
        match self {
            Self::VParquet3 => "vParquet3",
            Self::VParquet4 => "vParquet4",
            Self::VParquet5 => "vParquet5",
            Self::Other(name) => name,
        }
    }

    /// Whether [`crate::BlockReader`] can read it.
    pub fn is_readable(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// A preview format: Tempo passes such blocks over without an error.
    pub fn is_preview(&self) -> bool {
        self.as_str().contains("preview")
    }
}

impl From<&str> for BlockVersion {
    fn from(name: &str) -> Self {
        match name {
            "vParquet3" => Self::VParquet3,
            "vParquet4" => Self::VParquet4,
            "vParquet5" => Self::VParquet5,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for BlockVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What meta.json says. JSON keys, order and omissions are Tempo 2.10's, which 3.0 reads as well.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "MetaJson", into = "MetaJson")]
pub struct BlockMeta {
    /// Format of `data.parquet`.
    pub version: BlockVersion,
    /// The block's folder name.
    pub block_id: Uuid,
    /// The tenant as written; the folder it lies in is what counts.
    pub tenant_id: String,
    /// Earliest span start; a filter hint, see [`BlockMeta::overlaps`].
    pub start_time: Timestamp,
    /// Latest span end; a filter hint.
    pub end_time: Timestamp,
    /// Traces = rows.
    pub total_objects: u64,
    /// Bytes of `data.parquet`.
    pub size: u64,
    /// 0 = never compacted.
    pub compaction_level: u32,
    /// Row groups; may be one too many in blocks of Tempo. At least 1, or Tempo's search skips the block.
    pub total_records: u32,
    /// Bloom objects as written, see [`BlockMeta::bloom_shard_count`].
    pub bloom_shards: u32,
    /// Bytes of the Parquet footer without its last 8; 0 = unknown.
    pub footer_size: u32,
    /// Attributes with a column of their own; the order is the mapping of slots.
    pub dedicated_columns: Vec<DedicatedColumn>,
    /// 0: written by one of several replicas, spans need deduplication. 1: already unique.
    pub replication_factor: u32,
    /// Blocks that all went into this one when it was made; a key of ours in meta.json, and not in a tenant index.
    pub merged_from: Vec<Uuid>,
}

/// Go's zero time, which stands for "not set".
pub const UNSET_TIME: Timestamp = Timestamp::constant(-62_135_596_800, 0);

impl BlockMeta {
    /// A meta of an empty block.
    pub fn new(version: BlockVersion, block_id: Uuid, tenant_id: impl Into<String>) -> Self {
        Self {
            version,
            block_id,
            tenant_id: tenant_id.into(),
            start_time: UNSET_TIME,
            end_time: UNSET_TIME,
            total_objects: 0,
            size: 0,
            compaction_level: 0,
            total_records: 0,
            bloom_shards: 0,
            footer_size: 0,
            dedicated_columns: Vec::new(),
            replication_factor: 0,
            merged_from: Vec::new(),
        }
    }

    /// Reads a meta.json; unknown keys are ignored, missing ones are zero.
    ///
    /// # Errors
    /// When it is not JSON, or a value has another type than Tempo's.
    pub fn from_json(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// One line of JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a meta holds only strings, numbers and lists")
    }

    /// Number of bloom objects: metas without it come from a time when there were always ten.
    pub fn bloom_shard_count(&self) -> u32 {
        if self.bloom_shards == 0 { 10 } else { self.bloom_shards }
    }

    /// Whether the block's times touch `start..=end`. Good enough for search; a block may hold spans
    /// outside its times, so this is no proof that a trace is not there.
    pub fn overlaps(&self, start: Timestamp, end: Timestamp) -> bool {
        self.start_time <= end && self.end_time >= start
    }
}

/// The JSON form, with the fields that only old blocks use.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct MetaJson {
    format: String,
    #[serde(rename = "blockID")]
    block_id: Uuid,
    #[serde(rename = "tenantID")]
    tenant_id: String,
    #[serde(with = "go_time")]
    start_time: Timestamp,
    #[serde(with = "go_time")]
    end_time: Timestamp,
    total_objects: u64,
    #[serde(skip_serializing_if = "is_zero_u64")]
    size: u64,
    compaction_level: u32,
    #[serde(skip_deserializing)]
    encoding: LegacyEncoding,
    #[serde(skip_deserializing)]
    index_page_size: u32,
    total_records: u32,
    #[serde(skip_deserializing)]
    data_encoding: String,
    bloom_shards: u32,
    footer_size: u32,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    dedicated_columns: Vec<DedicatedColumn>,
    #[serde(skip_serializing_if = "is_zero_u32")]
    replication_factor: u32,
    #[serde(
        rename = "tempoformMergedFrom",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    merged_from: Vec<Uuid>,
}

/// Tempo 2.10 fails the poll of the whole tenant on an unknown name here; 3.0 ignores the key.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "lowercase")]
enum LegacyEncoding {
    #[default]
    None,
}

impl Default for MetaJson {
    fn default() -> Self {
        BlockMeta::new(BlockVersion::from(""), Uuid::nil(), "").into()
    }
}

impl From<MetaJson> for BlockMeta {
    fn from(json: MetaJson) -> Self {
        let MetaJson {
            format,
            block_id,
            tenant_id,
            start_time,
            end_time,
            total_objects,
            size,
            compaction_level,
            encoding: LegacyEncoding::None,
            index_page_size: _,
            total_records,
            data_encoding: _,
            bloom_shards,
            footer_size,
            dedicated_columns,
            replication_factor,
            merged_from,
        } = json;
        Self {
            version: BlockVersion::from(format.as_str()),
            block_id,
            tenant_id,
            start_time,
            end_time,
            total_objects,
            size,
            compaction_level,
            total_records,
            bloom_shards,
            footer_size,
            dedicated_columns,
            replication_factor,
            merged_from,
        }
    }
}

impl From<BlockMeta> for MetaJson {
    fn from(meta: BlockMeta) -> Self {
        let BlockMeta {
            version,
            block_id,
            tenant_id,
            start_time,
            end_time,
            total_objects,
            size,
            compaction_level,
            total_records,
            bloom_shards,
            footer_size,
            dedicated_columns,
            replication_factor,
            merged_from,
        } = meta;
        Self {
            format: version.as_str().to_owned(),
            block_id,
            tenant_id,
            start_time,
            end_time,
            total_objects,
            size,
            compaction_level,
            encoding: LegacyEncoding::None,
            index_page_size: 0,
            total_records,
            data_encoding: String::new(),
            bloom_shards,
            footer_size,
            dedicated_columns,
            replication_factor,
            merged_from,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// RFC 3339 as Go writes it: fraction without trailing zeros; any offset is read.
pub(crate) mod go_time {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format!("time {text:?}: {error}")))
    }
}

#[cfg(test)]
pub(crate) mod tests;
