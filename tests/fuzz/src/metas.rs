//! What is known of blocks: metas, tenant indexes, bloom filters.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tempoform_block::bloom::{BloomBuilder, BloomShard, shard_of};
use tempoform_block::{BlockMeta, TenantIndex};
use tempoform_core::TraceId;

use crate::input::Input;
use crate::resources::within;

/// A meta that is read is the same when written and read again.
pub(crate) fn meta(data: &[u8]) {
    let Ok(meta) = within(data.len() * 128, || BlockMeta::from_json(data)) else { return };
    let written = meta.to_json();
    assert_eq!(
        BlockMeta::from_json(&written).ok().as_ref(),
        Some(&meta),
        "{}",
        String::from_utf8_lossy(&written)
    );
}

/// An index that is read, from either object, is the same when written as either and read again. The first byte says
/// which object the rest is, and whether the rest is yet to be compressed.
pub(crate) fn tenant_index(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let (is_json, is_plain) = (kind & 1 == 1, kind & 2 == 2);
    let body = match (is_plain, is_json) {
        (false, _) => input.rest().to_vec(),
        (true, true) => gzip(input.rest()),
        (true, false) => zstd::encode_all(input.rest(), 1).expect("memory can be written to"),
    };
    // A decoder's window, and what an input of this length expands to.
    let most = (16 << 20) + if is_plain { data.len() * 512 } else { 512 << 20 };
    let read =
        within(
            most,
            || if is_json { TenantIndex::from_json(&body) } else { TenantIndex::from_protobuf(&body) },
        );
    let Ok(index) = read else { return };
    let json = index.to_json().expect("memory can be written to");
    assert_eq!(TenantIndex::from_json(&json).ok().as_ref(), Some(&index));
    // The protobuf's counts have a sign.
    let metas = index.live.iter().chain(index.compacted.iter().map(|compacted| &compacted.meta));
    if metas.into_iter().all(|meta| i64::try_from(meta.total_objects).is_ok()) {
        let protobuf = index.to_protobuf().expect("memory can be written to");
        assert_eq!(TenantIndex::from_protobuf(&protobuf).ok().as_ref(), Some(&index));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory can be written to")
}

/// A shard answers for every id; those that were put into one are in it.
pub(crate) fn bloom(data: &[u8]) {
    let ids = ids(data);
    if let Ok(shard) = BloomShard::parse(Bytes::copy_from_slice(data)) {
        assert!(ids.iter().filter(|id| shard.may_contain(id)).count() <= ids.len());
    }
    let mut builder = BloomBuilder::new(ids.len() as u64, 0.01, 64);
    ids.iter().for_each(|id| builder.add(id));
    let shards: Vec<_> = builder.finish().into_iter().map(BloomShard::parse).collect();
    for id in &ids {
        let shard = &shards[shard_of(id, shards.len() as u32) as usize];
        assert!(shard.as_ref().is_ok_and(|shard| shard.may_contain(id)), "{id}");
    }
}

fn ids(data: &[u8]) -> Vec<TraceId> {
    data.as_chunks::<16>().0.iter().take(64).map(|id| TraceId::new(*id)).collect()
}
