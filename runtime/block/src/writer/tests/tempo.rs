//! Our block of a set of traces against the block that real Tempo made of the same traces.

use tempoform_wire::otlp::TracesData;

use super::columns::{Cell, Entry, read_columns};
use super::*;
use crate::dedicated::{default_dedicated_columns, filter_for_version};
use crate::meta::BlockVersion;
use crate::schema::v4::{LEAVES, at};
use crate::test_data;

pub(super) fn input() -> Vec<(TraceId, TracesData)> {
    let input = std::fs::read_to_string(test_data::folder().join("input.traces.jsonl")).unwrap();
    let trace = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = line["traceID"].as_str().unwrap().parse().unwrap();
        (id, serde_json::from_value(line["trace"].clone()).unwrap())
    };
    let mut traces: Vec<(TraceId, TracesData)> = input.lines().map(trace).collect();
    traces.sort_by_key(|(id, _)| *id);
    // Tempo merges resources whose attributes are the same in another order; we go by bytes.
    for resource in traces.iter_mut().flat_map(|(_, trace)| &mut trace.resource_spans) {
        resource.resource.iter_mut().for_each(|r| r.attributes.sort_by(|a, b| a.key.cmp(&b.key)));
    }
    traces
}

#[test]
fn every_column_is_as_tempo_writes_it() {
    let dedicated_columns = filter_for_version(&BlockVersion::VParquet4, &default_dedicated_columns());
    let block = write(
        WriterOptions { dedicated_columns, expected_traces: 308, ..WriterOptions::default() },
        &input(),
    );
    let ours = read_columns(&block.data);
    for kind in ["v2.10.8-vp4-default", "v3.0.3-vp4-default"] {
        let mut theirs = read_columns(&test_data::parquet(kind));
        assert_eq!(ours.len(), theirs.len());
        sort_service_stats(&mut theirs);
        for (leaf, (ours, theirs)) in LEAVES.iter().zip(ours.iter().zip(&theirs)) {
            for (i, (our, their)) in ours.iter().zip(theirs).enumerate() {
                assert_eq!(our, their, "{kind}: entry {i} of {}", leaf.path);
            }
            assert_eq!(ours.len(), theirs.len(), "{kind}: {}", leaf.path);
        }
    }
    assert_eq!(block.written.blooms, [test_data::object("v2.10.8-vp4-default", "bloom-0")]);
}

/// Tempo writes the services of a trace in random order, we write them by name.
fn sort_service_stats(columns: &mut [Vec<Entry>]) {
    let leaves = [at::STATS_SERVICE, at::STATS_SPANS, at::STATS_ERRORS];
    let stats = leaves.map(|leaf| columns[leaf].clone());
    let starts: Vec<usize> = (0..stats[0].len()).filter(|i| stats[0][*i].rep == 0).collect();
    let ends = starts[1..].iter().copied().chain([stats[0].len()]);
    for (start, end) in starts.iter().copied().zip(ends) {
        let mut order: Vec<usize> = (start..end).collect();
        order.sort_by_key(|i| match &stats[0][*i].value {
            Some(Cell::Bytes(name)) => name.clone(),
            other => panic!("a service's name is {other:?}"),
        });
        for (leaf, stats) in leaves.iter().zip(&stats) {
            for (to, from) in (start..end).zip(&order) {
                columns[*leaf][to].value = stats[*from].value.clone();
            }
        }
    }
}
