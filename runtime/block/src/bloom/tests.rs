use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::test_data;

fn ids_of(kind: &str) -> BTreeSet<TraceId> {
    let input = std::fs::read_to_string(test_data::folder().join("input.traces.jsonl")).unwrap();
    let ids: BTreeSet<TraceId> = input
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["traceID"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ids.len(), 308, "{kind}");
    ids
}

fn shards_of(kind: &str) -> Vec<BloomShard> {
    let count = std::fs::read_dir(test_data::block(kind))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("bloom-"))
        .count();
    (0..count).map(|i| BloomShard::parse(test_data::object(kind, &format!("bloom-{i}"))).unwrap()).collect()
}

#[test]
fn every_id_is_found_in_blooms_written_by_tempo() {
    for entry in std::fs::read_dir(test_data::folder()).unwrap() {
        let entry = entry.unwrap();
        if !entry.path().is_dir() {
            continue;
        }
        let kind = entry.file_name().into_string().unwrap();
        let shards = shards_of(&kind);
        assert!(!shards.is_empty(), "{kind}");
        for id in ids_of(&kind) {
            assert!(shards[shard_of(&id, shards.len() as u32) as usize].may_contain(&id), "{kind} {id}");
        }
    }
}

#[test]
fn shards_are_byte_for_byte_those_of_tempo() {
    let kind = "v2.10.8-vp4-default";
    let mut builder = BloomBuilder::new(308, 0.01, 102_400);
    for id in ids_of(kind) {
        builder.add(&id);
    }
    assert_eq!(builder.finish(), [test_data::object(kind, "bloom-0")]);
}

#[test]
fn shards_follow_from_the_expected_count() {
    let cases = [(0, 1), (1, 1), (80_000, 1), (90_000, 2), (1_000_000, 12), (1_000_000_000, 1000)];
    for (expected, shards) in cases {
        let built = BloomBuilder::new(expected, 0.01, 102_400);
        assert_eq!(built.shards.len(), shards, "{expected}");
        assert_eq!(built.hashes, 7, "{expected}");
    }
    assert_eq!(BloomBuilder::new(1000, 0.05, 102_400).hashes, 5);
}

#[test]
fn damage_is_refused() {
    let object = BloomBuilder::new(10, 0.01, 16).finish().remove(0);
    let truncated = object.slice(..object.len() - 1);
    let mut zero_hashes = object.to_vec();
    zero_hashes[8..16].fill(0);
    let mut other_length = object.to_vec();
    other_length[23] ^= 1;
    for damaged in [Bytes::new(), truncated, zero_hashes.into(), other_length.into()] {
        let length = damaged.len();
        assert!(BloomShard::parse(damaged).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn what_was_added_is_found(ids in prop::collection::vec(any::<[u8; 16]>(), 1..200), shard_bytes in 8u32..64) {
        let mut builder = BloomBuilder::new(ids.len() as u64, 0.01, shard_bytes);
        for id in &ids {
            builder.add(&TraceId::new(*id));
        }
        let shards: Vec<_> = builder.finish().into_iter().map(|object| BloomShard::parse(object).unwrap()).collect();
        for id in ids {
            let id = TraceId::new(id);
            prop_assert!(shards[shard_of(&id, shards.len() as u32) as usize].may_contain(&id));
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(shard) = BloomShard::parse(bytes.into()) {
            shard.may_contain(&TraceId::default());
        }
    }
}
