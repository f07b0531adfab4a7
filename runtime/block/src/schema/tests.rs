use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::*;
use crate::test_data;

#[test]
fn the_tree_gives_back_the_table() {
    let schema = vparquet4();
    assert_eq!(schema.num_columns(), v4::LEAVES.len());
    for (column, leaf) in schema.columns().iter().zip(&v4::LEAVES) {
        assert_eq!(column.path().string(), leaf.path);
        assert_eq!(column.max_def_level(), i16::from(leaf.max_def), "{}", leaf.path);
        assert_eq!(column.max_rep_level(), i16::from(leaf.max_rep), "{}", leaf.path);
    }
}

#[test]
fn the_schema_is_the_one_tempo_writes() {
    for block in ["v2.10.8-vp4-default", "v3.0.3-vp4-default"] {
        let file = SerializedFileReader::new(test_data::parquet(block)).unwrap();
        let theirs = file.metadata().file_metadata().schema_descr();
        let ours = vparquet4();
        assert_eq!(theirs.root_schema().name(), ours.root_schema().name());
        assert_eq!(theirs.num_columns(), ours.num_columns());
        for (their, our) in theirs.columns().iter().zip(ours.columns()) {
            assert_eq!(their.path(), our.path());
            assert_eq!(their.physical_type(), our.physical_type(), "{}", our.path());
            assert_eq!(their.logical_type_ref(), our.logical_type_ref(), "{}", our.path());
            assert_eq!(their.max_def_level(), our.max_def_level(), "{}", our.path());
            assert_eq!(their.max_rep_level(), our.max_rep_level(), "{}", our.path());
        }
    }
}

#[test]
fn codecs_and_encodings_are_those_tempo_writes() {
    let file = SerializedFileReader::new(test_data::parquet("v2.10.8-vp4-default")).unwrap();
    let group = file.metadata().row_group(0);
    for (column, leaf) in group.columns().iter().zip(&v4::LEAVES) {
        assert_eq!(column.compression(), leaf.codec.compression(), "{}", leaf.path);
        assert!(column.encodings().any(|e| e == leaf.encoding.encoding()), "{}", leaf.path);
    }
}

#[test]
fn named_positions_are_the_leaves_they_name() {
    let cases = [
        (v4::at::STATS_ERRORS, "ServiceStats.key_value.value.ErrorCount"),
        (v4::at::RESOURCE_ATTRIBUTES, "rs.list.element.Resource.Attrs.list.element.Key"),
        (v4::at::SERVICE_NAME, "rs.list.element.Resource.ServiceName"),
        (v4::at::RESOURCE_PROMOTED, "rs.list.element.Resource.Cluster"),
        (v4::at::RESOURCE_DEDICATED, "rs.list.element.Resource.DedicatedAttributes.String01"),
        (v4::at::SCOPE_DROPPED_ATTRIBUTES, "rs.list.element.ss.list.element.Scope.DroppedAttributesCount"),
        (v4::at::SPAN_ID, "rs.list.element.ss.list.element.Spans.list.element.SpanID"),
        (v4::at::KIND, "rs.list.element.ss.list.element.Spans.list.element.Kind"),
        (v4::at::STATUS_MESSAGE, "rs.list.element.ss.list.element.Spans.list.element.StatusMessage"),
        (v4::at::DROPPED_EVENTS, "rs.list.element.ss.list.element.Spans.list.element.DroppedEventsCount"),
        (
            v4::at::LINK_TRACE_STATE,
            "rs.list.element.ss.list.element.Spans.list.element.Links.list.element.TraceState",
        ),
        (v4::at::HTTP_METHOD, "rs.list.element.ss.list.element.Spans.list.element.HttpMethod"),
        (v4::at::HTTP_STATUS_CODE, "rs.list.element.ss.list.element.Spans.list.element.HttpStatusCode"),
        (
            v4::at::SPAN_DEDICATED,
            "rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String01",
        ),
    ];
    for (index, path) in cases {
        assert_eq!(v4::LEAVES[index].path, path);
    }
    let names = ["Key", "IsArray", "Value", "ValueInt", "ValueDouble", "ValueBool", "ValueUnsupported"];
    let groups = [
        v4::at::RESOURCE_ATTRIBUTES,
        v4::at::SCOPE_ATTRIBUTES,
        v4::at::SPAN_ATTRIBUTES,
        v4::at::EVENT_ATTRIBUTES,
        v4::at::LINK_ATTRIBUTES,
    ];
    for first in groups {
        for (offset, name) in names.iter().enumerate() {
            let path = v4::LEAVES[first + offset].path;
            assert!(path.contains(&format!("Attrs.list.element.{name}")), "{path}");
        }
    }
}
