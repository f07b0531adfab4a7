//! Files of the log and objects of blocks.

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;
use tempoform_block::bloom::BloomBuilder;
use tempoform_block::dedicated::{default_dedicated_columns, filter_for_version};
use tempoform_block::{
    BlockMeta, BlockVersion, BlockWriter, CompactedMeta, EncodedResource, EncodedScope, PageCompression,
    TenantIndex, WriterOptions, WrittenBlock, examine,
};
use tempoform_core::{BatchId, BatchSet, TraceId};
use tempoform_ingester::examine::LogFile;
use tempoform_wire::internal::SettleRequest;
use tempoform_wire::otlp::{ResourceSpans, ScopeSpans};
use uuid::Uuid;

use super::traces::{by_trace, requests};
use crate::columns::{SHAPE_BYTES, shape_bytes};
use crate::log::{AS_IS, COMPRESSED, NAMED, PART};

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_le_bytes();
    [&[kind, 7], &length[..], payload].concat()
}

/// Without its number where it has no name.
fn records(kinds: &[u8]) -> Vec<u8> {
    let mut input = vec![0, kinds.len() as u8];
    for (kind, payload) in kinds.iter().zip(requests().iter().cycle()) {
        let mut record = record(*kind, payload);
        if kind & NAMED == 0 {
            record.remove(1);
        }
        input.extend(record);
    }
    input
}

pub(crate) fn log() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let file = LogFile::new(folder.path());
    let id = |number| Some(BatchId { origin: 3, number });
    let payloads: Vec<_> = requests()
        .into_iter()
        .zip(1..)
        .map(|(payload, number)| (id(number), number == 1, Bytes::from(payload)))
        .collect();
    file.write(&payloads).expect("room on the disk");
    let as_is = [&[AS_IS][..], &file.bytes().expect("our file")].concat();
    let whole = records(&[NAMED, 0, NAMED | 16]);
    let cut = [&whole[..], &[90, 0, 0]].concat();
    let flipped = [&whole[..], &[40, 0, 255]].concat();
    vec![as_is, whole, cut, flipped, vec![AS_IS], vec![0, 1, NAMED, 0, 0, 0]]
}

pub(crate) fn followed() -> Vec<Vec<u8>> {
    let whole = records(&[NAMED | COMPRESSED, COMPRESSED, NAMED | COMPRESSED | PART | 16]);
    let flipped = [&whole[..], &[40, 0, 255]].concat();
    vec![whole, flipped, records(&[NAMED])]
}

pub(crate) fn stored_batches() -> Vec<Vec<u8>> {
    let sets =
        [vec![0..5, 70_000..70_900, u64::MAX - 2..u64::MAX], vec![1..2, 3..4], vec![0..2500, 2500..5000]];
    let note = |numbers: Vec<std::ops::Range<u64>>| {
        let ids =
            numbers.into_iter().flatten().flat_map(|number| [1, 9].map(|origin| BatchId { origin, number }));
        let stored = ids.collect::<BatchSet>().to_wire();
        SettleRequest { stored, ..SettleRequest::default() }.encode_to_vec()
    };
    sets.into_iter().map(note).collect()
}

fn some_meta() -> BlockMeta {
    let version = BlockVersion::VParquet4;
    BlockMeta {
        start_time: Timestamp::constant(1_700_000_000, 5),
        end_time: Timestamp::constant(1_700_000_100, 0),
        total_objects: 3,
        size: 40_000,
        total_records: 1,
        bloom_shards: 1,
        footer_size: 9000,
        dedicated_columns: filter_for_version(&version, &default_dedicated_columns()),
        replication_factor: 1,
        ..BlockMeta::new(version, Uuid::from_u128(7), "single-tenant")
    }
}

pub(crate) fn metas() -> Vec<Vec<u8>> {
    let old = br#"{"format":"vParquet3","blockID":"00000000-0000-4000-8000-000000000024","startTime":"2024-01-01T01:00:00+01:00","dedicatedColumns":null,"encoding":"zstd"}"#;
    vec![some_meta().to_json(), old.to_vec(), b"{}".to_vec()]
}

pub(crate) fn tenant_indexes() -> Vec<Vec<u8>> {
    let index = TenantIndex {
        created_at: Timestamp::constant(1_700_000_000, 1),
        live: vec![some_meta(), BlockMeta::new(BlockVersion::VParquet3, Uuid::nil(), "a")],
        compacted: vec![CompactedMeta { meta: some_meta(), compacted_at: Timestamp::constant(1, 0) }],
    };
    let protobuf = index.to_protobuf().expect("memory can be written to");
    let json = index.to_json().expect("memory can be written to");
    let plain_json = serde_json::to_vec(&index).expect("an index has text keys alone");
    let plain_protobuf = zstd::decode_all(&protobuf[..]).expect("our own frame");
    // Many empty blocks of a few bytes each.
    let tiny = [0x12, 0].repeat(3000);
    let tiny_json =
        format!("{{\"created_at\": \"2024-01-01T00:00:00Z\", \"meta\": [{}]}}", vec!["{}"; 3000].join(","));
    let inputs = [
        (0, protobuf),
        (1, json),
        (2, plain_protobuf),
        (3, plain_json),
        (2, tiny),
        (3, tiny_json.into_bytes()),
    ];
    inputs.into_iter().map(|(kind, body)| [&[kind][..], &body].concat()).collect()
}

pub(crate) fn blooms() -> Vec<Vec<u8>> {
    let mut builder = BloomBuilder::new(20, 0.01, 64);
    (1..20).for_each(|id| builder.add(&TraceId::new([id; 16])));
    builder.finish().into_iter().map(|shard| shard.to_vec()).collect()
}

/// A resource, and its scopes, each with its spans; all encoded.
type OfResource = (Vec<u8>, Vec<(Vec<u8>, Vec<Vec<u8>>)>);

fn encoded(resource: &ResourceSpans) -> OfResource {
    let of_scope = |scope: &ScopeSpans| {
        let spans = scope.spans.iter().map(prost::Message::encode_to_vec).collect();
        (scope.scope.clone().unwrap_or_default().encode_to_vec(), spans)
    };
    let around = resource.resource.clone().unwrap_or_default().encode_to_vec();
    (around, resource.scope_spans.iter().map(of_scope).collect())
}

fn written(options: WriterOptions) -> (Vec<u8>, WrittenBlock) {
    const WRITES: &str = "memory can be written to";
    let mut data = Vec::new();
    let mut writer = BlockWriter::new(&mut data, options).expect(WRITES);
    for (id, trace) in by_trace() {
        let of_trace: Vec<_> =
            trace.resource_spans.iter().map(|resource| (encoded(resource), resource)).collect();
        let resources: Vec<_> = of_trace
            .iter()
            .map(|((around, scopes), resource)| EncodedResource {
                resource: around,
                schema_url: resource.schema_url.as_bytes(),
                scopes: scopes
                    .iter()
                    .zip(&resource.scope_spans)
                    .map(|((scope, spans), of)| EncodedScope {
                        scope,
                        schema_url: of.schema_url.as_bytes(),
                        spans: spans.iter().map(Vec::as_slice).collect(),
                    })
                    .collect(),
            })
            .collect();
        writer.add_trace(id, &resources).expect("sound spans");
    }
    let written = writer.finish().expect(WRITES);
    (data, written)
}

fn some_blocks() -> Vec<(Vec<u8>, WrittenBlock)> {
    let zstd = WriterOptions {
        compression: PageCompression::Zstd(1),
        row_group_bytes: 1,
        dedicated_columns: filter_for_version(&BlockVersion::VParquet4, &default_dedicated_columns()),
        ..WriterOptions::default()
    };
    [WriterOptions::default(), zstd].into_iter().map(written).collect()
}

pub(crate) fn blocks() -> Vec<Vec<u8>> {
    some_blocks().into_iter().map(|(data, _)| data).collect()
}

pub(crate) fn footers() -> Vec<Vec<u8>> {
    let parts = |(data, written): (Vec<u8>, WrittenBlock)| {
        let end = data.len() - 8;
        let footer = data[end - written.footer_size as usize..end].to_vec();
        let chunks = examine::chunks(&footer, data.len() as u64).expect("our own footer");
        let indexes = chunks.into_iter().take(3).flat_map(|chunk| chunk.indexes);
        let indexes = indexes.map(|range| data[range.start as usize..range.end as usize].to_vec());
        indexes.chain([footer]).collect::<Vec<_>>()
    };
    some_blocks().into_iter().flat_map(parts).collect()
}

/// One chunk of each shape.
pub(crate) fn columns() -> Vec<Vec<u8>> {
    let mut inputs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (data, written) in some_blocks() {
        let end = data.len() - 8;
        let footer = &data[end - written.footer_size as usize..end];
        for chunk in examine::chunks(footer, data.len() as u64).expect("our own footer") {
            let shape = shape_bytes(&chunk.shape).to_vec();
            let bytes = data[chunk.range.start as usize..chunk.range.end as usize].to_vec();
            let is_new = inputs.iter().filter(|(seen, _)| seen[..4] == shape[..4]).count() < 2;
            if is_new && bytes.len() < 4096 {
                inputs.push((shape, bytes));
            }
        }
    }
    debug_assert!(inputs.iter().all(|(shape, _)| shape.len() == SHAPE_BYTES));
    inputs.into_iter().map(|(shape, bytes)| [shape, bytes].concat()).collect()
}

pub(crate) fn extras() -> Vec<Vec<u8>> {
    let sidecars = some_blocks().into_iter().flat_map(|(_, written)| written.sidecars);
    let objects: Vec<_> = sidecars.map(|(_, object)| object.to_vec()).collect();
    let plain = objects.iter().map(|object| {
        let body = zstd::decode_all(&object[4..]).expect("our own frame");
        [&[1][..], &body].concat()
    });
    let plain: Vec<_> = plain.collect();
    // Many empty URLs of a byte each.
    let tiny = [&[1, 0x90, 0x4e][..], &[0; 10_002]].concat();
    objects.into_iter().map(|object| [&[0][..], &object].concat()).chain(plain).chain([tiny]).collect()
}
