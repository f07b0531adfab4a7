use proptest::prelude::*;

use super::*;
use crate::test_blocks::test_blocks;

/// Protobuf bytes of an index, decompressed.
fn raw(index: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(index).unwrap()
}

#[test]
fn tempos_two_forms_say_the_same_and_match_the_metas() {
    for block in test_blocks() {
        let tenant = block.folder.parent().unwrap();
        let protobuf =
            TenantIndex::from_protobuf(&std::fs::read(tenant.join("index.pb.zst")).unwrap()).unwrap();
        let json = TenantIndex::from_json(&std::fs::read(tenant.join("index.json.gz")).unwrap()).unwrap();
        assert_eq!(protobuf, json, "{}", block.name);
        assert_eq!(protobuf.live, std::slice::from_ref(&block.meta), "{}", block.name);
    }
}

#[test]
fn our_protobuf_of_tempo_2_indexes_is_theirs_byte_for_byte() {
    for block in test_blocks().into_iter().filter(|block| block.name.starts_with("v2.")) {
        let theirs = std::fs::read(block.folder.parent().unwrap().join("index.pb.zst")).unwrap();
        let ours = TenantIndex::from_protobuf(&theirs).unwrap().to_protobuf().unwrap();
        assert_eq!(hex::encode(raw(&ours)), hex::encode(raw(&theirs)), "{}", block.name);
    }
}

#[test]
fn our_json_of_tempo_2_indexes_is_theirs_byte_for_byte() {
    for block in test_blocks().into_iter().filter(|block| block.name.starts_with("v2.")) {
        let theirs = std::fs::read(block.folder.parent().unwrap().join("index.json.gz")).unwrap();
        let ours = TenantIndex::from_json(&theirs).unwrap().to_json().unwrap();
        let text = |gzip: &[u8]| std::io::read_to_string(MultiGzDecoder::new(gzip)).unwrap();
        assert_eq!(text(&ours).replace("null", "[]"), text(&theirs).replace("null", "[]"), "{}", block.name);
    }
}

#[test]
fn unset_times_and_empty_lists_are_written_as_tempo_does() {
    let meta = BlockMeta::new(BlockVersion::VParquet4, Uuid::nil(), "t");
    let bytes = meta_to_proto(&meta).encode_to_vec();
    // -62135596800 as a ten-byte varint, in field 6.
    assert!(hex::encode(&bytes).contains("320b088092b8"), "{}", hex::encode(&bytes));
    assert!(bytes.windows(3).any(|w| w == [0x5a, 1, 0]), "field 11: one byte, 0");
    assert!(bytes.windows(3).any(|w| w == [0x8a, 1, 0]), "field 17: empty, but there");
}

#[test]
fn null_lists_and_missing_fields_are_read() {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::fast());
    gzip.write_all(br#"{"created_at":"2024-01-02T03:04:05.678Z","meta":null,"compacted":null}"#).unwrap();
    let index = TenantIndex::from_json(&gzip.finish().unwrap()).unwrap();
    assert!(index.is_empty());
    let meta = proto::BlockMeta { block_id: vec![0; 16], ..Default::default() };
    assert_eq!(meta_from_proto(meta).unwrap().start_time, UNSET_TIME);
}

#[test]
fn damaged_indexes_are_errors() {
    let index = TenantIndex {
        created_at: UNSET_TIME,
        live: vec![BlockMeta::new(BlockVersion::VParquet4, Uuid::nil(), "t")],
        compacted: Vec::new(),
    };
    let (protobuf, json) = (index.to_protobuf().unwrap(), index.to_json().unwrap());
    assert!(TenantIndex::from_protobuf(&protobuf[..protobuf.len() - 3]).is_err());
    assert!(TenantIndex::from_json(&json[..json.len() / 2]).is_err());
    assert!(TenantIndex::from_protobuf(&json).is_err());
}

proptest! {
    #[test]
    fn any_index_round_trips(metas in proptest::collection::vec(crate::meta::tests::any_meta(), 0..5)) {
        let time = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
        let compacted = metas.iter().map(|meta| CompactedMeta { meta: meta.clone(), compacted_at: time });
        let index = TenantIndex { created_at: time, compacted: compacted.collect(), live: metas };
        prop_assert_eq!(&TenantIndex::from_protobuf(&index.to_protobuf().unwrap()).unwrap(), &index);
        prop_assert_eq!(&TenantIndex::from_json(&index.to_json().unwrap()).unwrap(), &index);
    }
}

#[test]
fn blocks_that_say_nothing_do_not_fill_the_memory() {
    let many = MAX_BLOCKS + 1;
    let protobuf = zstd::stream::encode_all(&[0x12, 0].repeat(many)[..], 1).unwrap();
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::fast());
    let json =
        format!(r#"{{"created_at": "2024-01-01T00:00:00Z", "meta": [{}{{}}]}}"#, "{},".repeat(MAX_BLOCKS));
    gzip.write_all(json.as_bytes()).unwrap();
    let refused = TenantIndex::from_protobuf(&protobuf).unwrap_err();
    assert!(matches!(refused, MalformedIndex::TooManyBlocks), "{refused}");
    let refused = TenantIndex::from_json(&gzip.finish().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("lists more than 1000000 blocks"), "{refused}");
}
