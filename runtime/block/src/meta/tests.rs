use proptest::prelude::*;

use super::*;
use crate::dedicated::{DedicatedOption, DedicatedScope, DedicatedType};

/// Written by a live Tempo 2.10.8.
const LIVE: &str = r#"{"format":"vParquet4","blockID":"679e6bf6-97d3-4226-8c02-57f396e8bcac","tenantID":"single-tenant","startTime":"2026-11-23T09:35:02Z","endTime":"2026-11-23T09:35:03Z","totalObjects":40000,"size":83958659,"compactionLevel":0,"encoding":"none","indexPageSize":0,"totalRecords":1,"dataEncoding":"","bloomShards":1,"footerSize":21129,"dedicatedColumns":[{"n":"http.request.method"},{"n":"url.path"},{"n":"url.route"},{"n":"server.address"},{"n":"http.route"}]}"#;

#[test]
fn tempo_2_meta_round_trips_byte_for_byte() {
    let meta = BlockMeta::from_json(LIVE.as_bytes()).unwrap();
    assert_eq!(meta.version, BlockVersion::VParquet4);
    assert_eq!(meta.size, 83_958_659);
    assert_eq!(meta.footer_size, 21_129);
    assert_eq!(String::from_utf8(meta.to_json()).unwrap(), LIVE);
}

#[test]
fn tempo_3_meta_without_encoding_is_read() {
    let json = LIVE.replace(r#""encoding":"none","#, "").replace(r#""dataEncoding":"","#, "");
    assert_eq!(
        BlockMeta::from_json(json.as_bytes()).unwrap(),
        BlockMeta::from_json(LIVE.as_bytes()).unwrap()
    );
}

#[test]
fn old_meta_is_read_with_what_it_has() {
    let json = r#"{"format":"v2","blockID":"00000000-0000-4000-8000-000000000001","minID":"AAE=","maxID":"//8=",
        "tenantID":"t","startTime":"2022-05-01T10:00:00.5+02:00","endTime":"0001-01-01T00:00:00Z",
        "totalObjects":3,"encoding":"zstd","dataEncoding":"v2","indexPageSize":256000,"dedicatedColumns":null,"other":{}}"#;
    let meta = BlockMeta::from_json(json.as_bytes()).unwrap();
    assert_eq!(meta.version, BlockVersion::Other("v2".into()));
    assert!(!meta.version.is_readable());
    assert_eq!(meta.start_time.to_string(), "2022-05-01T08:00:00.5Z");
    assert_eq!(meta.end_time, UNSET_TIME);
    assert_eq!((meta.size, meta.footer_size, meta.replication_factor), (0, 0, 0));
    assert_eq!(meta.bloom_shard_count(), 10);
}

#[test]
fn unset_fields_are_left_out() {
    let json =
        String::from_utf8(BlockMeta::new(BlockVersion::VParquet4, Uuid::nil(), "t").to_json()).unwrap();
    assert!(json.contains(r#""startTime":"0001-01-01T00:00:00Z""#), "{json}");
    for key in ["\"size\"", "dedicatedColumns", "replicationFactor"] {
        assert!(!json.contains(key), "{key} in {json}");
    }
}

#[test]
fn wrong_types_are_errors() {
    for json in ["", "7", r#"{"blockID":"x"}"#, r#"{"size":-1}"#, r#"{"startTime":"yesterday"}"#] {
        assert!(BlockMeta::from_json(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn time_overlap_is_inclusive() {
    let meta = BlockMeta::from_json(LIVE.as_bytes()).unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert!(meta.overlaps(at("2026-11-23T09:35:03Z"), at("2026-11-23T10:00:00Z")));
    assert!(meta.overlaps(at("2026-11-23T09:00:00Z"), at("2026-11-23T09:35:02Z")));
    assert!(!meta.overlaps(at("2026-11-23T09:35:04Z"), at("2026-11-23T10:00:00Z")));
}

fn dedicated() -> impl Strategy<Value = DedicatedColumn> {
    (0..3usize, "[a-z.]{1,9}", any::<bool>(), any::<bool>()).prop_map(|(scope, name, int, blob)| {
        DedicatedColumn {
            scope: [DedicatedScope::Span, DedicatedScope::Resource, DedicatedScope::Event][scope],
            name,
            value_type: if int { DedicatedType::Int } else { DedicatedType::String },
            options: if blob { vec![DedicatedOption::Blob] } else { Vec::new() },
        }
    })
}

pub(crate) fn any_meta() -> impl Strategy<Value = BlockMeta> {
    let times = (0i64..4_000_000_000, 0i32..1_000_000_000);
    (
        (any::<u128>(), "[a-z]{1,8}", times.clone(), times),
        any::<(u32, u64, u32, u32, u32, u32, u32)>(),
        proptest::collection::vec(dedicated(), 0..4),
    )
        .prop_map(|((id, tenant, start, end), numbers, dedicated_columns)| BlockMeta {
            version: BlockVersion::VParquet4,
            block_id: Uuid::from_u128(id),
            tenant_id: tenant,
            start_time: Timestamp::new(start.0, start.1).unwrap(),
            end_time: Timestamp::new(end.0, end.1).unwrap(),
            total_objects: u64::from(numbers.0),
            size: numbers.1,
            compaction_level: numbers.2,
            total_records: numbers.3,
            bloom_shards: numbers.4,
            footer_size: numbers.5,
            dedicated_columns,
            replication_factor: numbers.6,
            merged_from: Vec::new(),
        })
}

proptest! {
    #[test]
    fn any_meta_round_trips(meta in any_meta(), inputs in proptest::collection::vec(any::<u128>(), 0..3)) {
        let merged_from = inputs.into_iter().map(Uuid::from_u128).collect();
        let meta = BlockMeta { merged_from, ..meta };
        prop_assert_eq!(BlockMeta::from_json(&meta.to_json()).unwrap(), meta);
    }
}
