//! A tenant's list of blocks as two objects: `index.pb.zst`, which wins, and `index.json.gz`.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::marker::PhantomData;

use flate2::{Compression, GzBuilder, read::MultiGzDecoder};
use jiff::Timestamp;
use prost::Message;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use tempoform_core::protobuf::Fields;
use uuid::Uuid;

use crate::meta::{BlockMeta, BlockVersion, UNSET_TIME, go_time};

/// Most bytes of an index, decompressed: about 500,000 blocks.
const MAX_BYTES: u64 = 256 << 20;
/// Most blocks in an index: a block takes about 512 bytes of it, but a few that say nothing would do to fill the memory.
const MAX_BLOCKS: usize = 1_000_000;

/// A tenant's blocks at some time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TenantIndex {
    /// When the list was made.
    #[serde(with = "go_time")]
    pub created_at: Timestamp,
    /// Live blocks.
    #[serde(rename = "meta", default, deserialize_with = "blocks")]
    pub live: Vec<BlockMeta>,
    /// Compacted and expired blocks.
    #[serde(default, deserialize_with = "blocks")]
    pub compacted: Vec<CompactedMeta>,
}

/// A compacted block's meta and when it was compacted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CompactedMeta {
    /// The meta; in JSON its keys stand beside `compactedTime`.
    #[serde(flatten)]
    pub meta: BlockMeta,
    /// When.
    #[serde(rename = "compactedTime", with = "go_time")]
    pub compacted_at: Timestamp,
}

/// What is wrong with an index.
#[derive(Debug, thiserror::Error)]
pub enum MalformedIndex {
    /// It does not decompress, or to more than 256 MiB.
    #[error("does not decompress: {0}")]
    Compression(#[source] std::io::Error),
    /// `index.json.gz` is not the JSON of an index.
    #[error("is not the JSON of an index: {0}")]
    Json(#[source] serde_json::Error),
    /// `index.pb.zst` is not the protobuf of an index.
    #[error("is not the protobuf of an index: {0}")]
    Protobuf(#[source] prost::DecodeError),
    /// More blocks than a tenant has.
    #[error("lists more than {MAX_BLOCKS} blocks")]
    TooManyBlocks,
    /// A field has a value that cannot be.
    #[error("holds an impossible {0}")]
    Value(&'static str),
}

/// A list, or `null` for an empty one.
fn blocks<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(BlocksVisitor(PhantomData))
}

struct BlocksVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BlocksVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of blocks")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut blocks = Vec::new();
        while let Some(block) = list.next_element()? {
            if blocks.len() == MAX_BLOCKS {
                return Err(A::Error::custom(MalformedIndex::TooManyBlocks));
            }
            blocks.push(block);
        }
        Ok(blocks)
    }
}

/// Refuses a protobuf with too many blocks before any is decoded.
fn check_count(index: &[u8]) -> Result<(), MalformedIndex> {
    let (mut fields, mut count) = (Fields::new(index), 0);
    // What is not protobuf the decoder tells.
    while let Ok(Some((number, _))) = fields.next_field() {
        count += usize::from(number == 2 || number == 3);
        if count > MAX_BLOCKS {
            return Err(MalformedIndex::TooManyBlocks);
        }
    }
    Ok(())
}

impl TenantIndex {
    /// Whether no block is listed.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.compacted.is_empty()
    }

    /// Reads `index.json.gz`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_json(gzip: &[u8]) -> Result<Self, MalformedIndex> {
        let mut json = Vec::new();
        MultiGzDecoder::new(gzip)
            .take(MAX_BYTES)
            .read_to_end(&mut json)
            .map_err(MalformedIndex::Compression)?;
        serde_json::from_slice(&json).map_err(MalformedIndex::Json)
    }

    /// As `index.json.gz`.
    ///
    /// # Errors
    /// None that a caller could mend: writing to memory.
    pub fn to_json(&self) -> std::io::Result<Vec<u8>> {
        let builder = GzBuilder::new().filename("index.json");
        let mut gzip = builder.write(Vec::new(), Compression::default());
        gzip.write_all(&serde_json::to_vec(self)?)?;
        gzip.finish()
    }

    /// Reads `index.pb.zst`.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_protobuf(zstd: &[u8]) -> Result<Self, MalformedIndex> {
        let mut bytes = Vec::new();
        zstd::stream::read::Decoder::new(zstd)
            .and_then(|decoder| decoder.take(MAX_BYTES).read_to_end(&mut bytes))
            .map_err(MalformedIndex::Compression)?;
        check_count(&bytes)?;
        let index = proto::TenantIndex::decode(bytes.as_slice()).map_err(MalformedIndex::Protobuf)?;
        let proto::TenantIndex { created_at, meta, compacted_meta } = index;
        let compacted = compacted_meta.into_iter().map(|compacted| {
            Ok(CompactedMeta {
                meta: meta_from_proto(compacted.block_meta.unwrap_or_default())?,
                compacted_at: timestamp(compacted.compacted_time)?,
            })
        });
        Ok(Self {
            created_at: timestamp(created_at)?,
            live: meta.into_iter().map(meta_from_proto).collect::<Result<_, _>>()?,
            compacted: compacted.collect::<Result<_, _>>()?,
        })
    }

    /// As `index.pb.zst`.
    ///
    /// # Errors
    /// None that a caller could mend: writing to memory.
    pub fn to_protobuf(&self) -> std::io::Result<Vec<u8>> {
        let Self { created_at, live, compacted } = self;
        let compacted_meta = compacted.iter().map(|compacted| proto::CompactedBlockMeta {
            block_meta: Some(meta_to_proto(&compacted.meta)),
            compacted_time: Some(proto_time(compacted.compacted_at)),
        });
        let index = proto::TenantIndex {
            created_at: Some(proto_time(*created_at)),
            meta: live.iter().map(meta_to_proto).collect(),
            compacted_meta: compacted_meta.collect(),
        };
        zstd::stream::encode_all(index.encode_to_vec().as_slice(), 0)
    }
}

/// The messages of `index.pb.zst`. Tempo always writes field 17, and always one byte (0 = no encoding)
/// in field 11 up to 2.10; both are `optional` here, so that an empty value is written as well.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct TenantIndex {
        #[prost(message, optional, tag = "1")]
        pub(super) created_at: Option<prost_types::Timestamp>,
        #[prost(message, repeated, tag = "2")]
        pub(super) meta: Vec<BlockMeta>,
        #[prost(message, repeated, tag = "3")]
        pub(super) compacted_meta: Vec<CompactedBlockMeta>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct CompactedBlockMeta {
        #[prost(message, optional, tag = "1")]
        pub(super) block_meta: Option<BlockMeta>,
        #[prost(message, optional, tag = "2")]
        pub(super) compacted_time: Option<prost_types::Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct BlockMeta {
        #[prost(string, tag = "1")]
        pub(super) version: String,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) block_id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub(super) tenant_id: String,
        #[prost(message, optional, tag = "6")]
        pub(super) start_time: Option<prost_types::Timestamp>,
        #[prost(message, optional, tag = "7")]
        pub(super) end_time: Option<prost_types::Timestamp>,
        #[prost(int64, tag = "8")]
        pub(super) total_objects: i64,
        #[prost(uint64, tag = "9")]
        pub(super) size: u64,
        #[prost(uint32, tag = "10")]
        pub(super) compaction_level: u32,
        #[prost(bytes = "vec", optional, tag = "11")]
        pub(super) encoding: Option<Vec<u8>>,
        #[prost(uint32, tag = "12")]
        pub(super) index_page_size: u32,
        #[prost(uint32, tag = "13")]
        pub(super) total_records: u32,
        #[prost(string, tag = "14")]
        pub(super) data_encoding: String,
        #[prost(uint32, tag = "15")]
        pub(super) bloom_shards: u32,
        #[prost(uint32, tag = "16")]
        pub(super) footer_size: u32,
        #[prost(bytes = "vec", optional, tag = "17")]
        pub(super) dedicated_columns: Option<Vec<u8>>,
        #[prost(uint32, tag = "18")]
        pub(super) replication_factor: u32,
    }
}

fn meta_to_proto(meta: &BlockMeta) -> proto::BlockMeta {
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
        // Of use to a compactor only, which reads meta.json.
        merged_from: _,
    } = meta;
    let dedicated = if dedicated_columns.is_empty() {
        Vec::new()
    } else {
        serde_json::to_vec(dedicated_columns).expect("columns hold only strings and lists")
    };
    proto::BlockMeta {
        version: version.as_str().to_owned(),
        block_id: block_id.as_bytes().to_vec(),
        tenant_id: tenant_id.clone(),
        start_time: Some(proto_time(*start_time)),
        end_time: Some(proto_time(*end_time)),
        total_objects: i64::try_from(*total_objects).unwrap_or(i64::MAX),
        size: *size,
        compaction_level: *compaction_level,
        encoding: Some(vec![0]),
        index_page_size: 0,
        total_records: *total_records,
        data_encoding: String::new(),
        bloom_shards: *bloom_shards,
        footer_size: *footer_size,
        dedicated_columns: Some(dedicated),
        replication_factor: *replication_factor,
    }
}

fn meta_from_proto(meta: proto::BlockMeta) -> Result<BlockMeta, MalformedIndex> {
    let dedicated_columns = match meta.dedicated_columns.filter(|json| !json.is_empty()) {
        Some(json) => serde_json::from_slice(&json).map_err(MalformedIndex::Json)?,
        None => Vec::new(),
    };
    let block_id = Uuid::from_slice(&meta.block_id).map_err(|_| MalformedIndex::Value("block id"))?;
    Ok(BlockMeta {
        version: BlockVersion::from(meta.version.as_str()),
        block_id,
        tenant_id: meta.tenant_id,
        start_time: timestamp(meta.start_time)?,
        end_time: timestamp(meta.end_time)?,
        total_objects: u64::try_from(meta.total_objects)
            .map_err(|_| MalformedIndex::Value("number of traces"))?,
        size: meta.size,
        compaction_level: meta.compaction_level,
        total_records: meta.total_records,
        bloom_shards: meta.bloom_shards,
        footer_size: meta.footer_size,
        dedicated_columns,
        replication_factor: meta.replication_factor,
        merged_from: Vec::new(),
    })
}

fn proto_time(time: Timestamp) -> prost_types::Timestamp {
    // Protobuf counts nanoseconds forward from the second, also before 1970.
    let (mut seconds, mut nanos) = (time.as_second(), time.subsec_nanosecond());
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    prost_types::Timestamp { seconds, nanos }
}

fn timestamp(time: Option<prost_types::Timestamp>) -> Result<Timestamp, MalformedIndex> {
    let Some(time) = time else { return Ok(UNSET_TIME) };
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    Timestamp::from_nanosecond(nanos).map_err(|_| MalformedIndex::Value("time"))
}

#[cfg(test)]
mod tests;
