//! What the file says of itself, and how it is laid out.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parquet::basic::{Encoding, PageType};
use parquet::column::page::Page;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use tempoform_wire::otlp::{
    AnyValue, KeyValue, Resource, ResourceSpans, ScopeSpans, Span, TracesData, any_value,
};

use super::*;
use crate::schema::v4::{LEAVES, at};
use crate::schema::{self, LeafCodec, LeafEncoding};

/// `count` traces of one span each, whose attribute values are all different and `length` long.
fn distinct(count: u64, length: usize) -> Vec<(TraceId, TracesData)> {
    let attribute = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value)) }),
    };
    let trace = |i: u64| {
        let span = Span {
            span_id: (i + 1).to_be_bytes().to_vec(),
            name: format!("operation {}", i % 10),
            start_time_unix_nano: 1_000_000_000_000 + i,
            end_time_unix_nano: 1_000_000_005_000 + i,
            attributes: vec![
                attribute("value", format!("{i:0>length$}")),
                attribute("other", (i % 3).to_string()),
            ],
            ..Span::default()
        };
        let resource = Resource {
            attributes: vec![attribute("service.name", "shop".to_owned())],
            ..Resource::default()
        };
        let spans = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
        let resource_spans =
            ResourceSpans { resource: Some(resource), scope_spans: vec![spans], ..Default::default() };
        (
            TraceId::new(u128::from(i * 3 + 1).to_be_bytes()),
            TracesData { resource_spans: vec![resource_spans] },
        )
    };
    (0..count).map(trace).collect()
}

fn open(block: &Block) -> SerializedFileReader<Bytes> {
    let options = ReadOptionsBuilder::new().with_page_index().build();
    SerializedFileReader::new_with_options(block.data.clone(), options).unwrap()
}

#[test]
fn schema_codecs_and_encodings_are_those_of_the_table() {
    let file = open(&write(WriterOptions::default(), &distinct(10, 8)));
    let schema = file.metadata().file_metadata().schema_descr();
    assert_eq!(schema.root_schema(), schema::vparquet4().root_schema());
    assert_eq!(schema.root_schema().name(), "Trace");
    assert_eq!(file.metadata().file_metadata().version(), 2);
    let columns = file.metadata().row_group(0).columns();
    assert_eq!(columns.len(), LEAVES.len());
    for (column, leaf) in columns.iter().zip(&LEAVES) {
        assert_eq!(column.column_path().string(), leaf.path);
        assert_eq!(column.compression(), leaf.codec.compression(), "{}", leaf.path);
        let mut expected = vec![leaf.encoding.encoding()];
        expected.extend((leaf.max_def > 0).then_some(Encoding::RLE));
        expected.extend((leaf.encoding == LeafEncoding::Dictionary).then_some(Encoding::PLAIN));
        let found: BTreeSet<i32> = column.encodings().map(|e| e as i32).collect();
        assert_eq!(found, expected.iter().map(|e| *e as i32).collect(), "{}", leaf.path);
    }
}

#[test]
fn a_column_of_distinct_texts_keeps_its_dictionary() {
    // 9,000 values of 200 bytes: more than the 1 MiB at which other writers fall back to plain pages.
    let block = write(WriterOptions::default(), &distinct(9_000, 200));
    let file = open(&block);
    let group = file.get_row_group(0).unwrap();
    for (i, leaf) in LEAVES.iter().enumerate() {
        let pages: Vec<Page> = group.get_column_page_reader(i).unwrap().map(Result::unwrap).collect();
        let data = pages.iter().filter(|page| page.is_data_page());
        assert!(data.clone().all(|page| page.page_type() == PageType::DATA_PAGE_V2), "{}", leaf.path);
        assert!(data.clone().all(|page| page.encoding() == leaf.encoding.encoding()), "{}", leaf.path);
        assert_eq!(data.count(), 3, "{}", leaf.path);
        let dictionaries = pages.iter().filter(|page| page.is_dictionary_page()).count();
        assert_eq!(dictionaries, usize::from(leaf.encoding == LeafEncoding::Dictionary), "{}", leaf.path);
    }
    let values = group.get_column_page_reader(at::SPAN_ATTRIBUTES + 2).unwrap().next().unwrap().unwrap();
    assert!(values.buffer().len() > 1 << 20);
    assert_eq!(values.num_values(), 9_003);
}

#[test]
fn pages_of_all_columns_start_at_the_same_rows() {
    let block = write(WriterOptions::default(), &distinct(10_000, 8));
    let file = open(&block);
    let index = file.metadata().page_index().expect("required above");
    for (i, leaf) in LEAVES.iter().enumerate() {
        let offsets = index.offset_index(0, i).expect(leaf.path);
        let starts: Vec<i64> = offsets.page_locations().iter().map(|page| page.first_row_index).collect();
        assert_eq!(starts, [0, 4096, 8192], "{}", leaf.path);
    }
}

#[test]
fn statistics_bound_what_is_there() {
    let traces = distinct(10_000, 40);
    let block = write(WriterOptions::default(), &traces);
    let file = open(&block);
    let chunk = |leaf: usize| file.metadata().row_group(0).column(leaf).statistics().unwrap().clone();
    let ids = chunk(at::TRACE_ID);
    assert_eq!(ids.min_bytes_opt(), Some(traces[0].0.as_bytes().as_slice()));
    assert_eq!(ids.max_bytes_opt(), Some(traces[9_999].0.as_bytes().as_slice()));
    assert!(ids.min_is_exact() && ids.max_is_exact());
    let starts = chunk(at::SPAN_START_TIME);
    assert_eq!(starts.min_bytes_opt(), Some(1_000_000_000_000u64.to_le_bytes().as_slice()));
    assert_eq!(starts.max_bytes_opt(), Some(1_000_000_009_999u64.to_le_bytes().as_slice()));
    let values = chunk(at::SPAN_ATTRIBUTES + 2);
    assert_eq!(values.min_bytes_opt(), Some(&b"0"[..]));
    assert_eq!(values.max_bytes_opt(), Some(&b"2"[..]));
    let events = chunk(at::EVENT_NAME);
    assert_eq!((events.null_count_opt(), events.min_bytes_opt()), (Some(10_000), None));
}

#[test]
fn row_groups_are_bounded_and_counted() {
    let traces = distinct(1_000, 100);
    let block = write(WriterOptions { row_group_bytes: 50_000, ..WriterOptions::default() }, &traces);
    let file = open(&block);
    let groups = file.metadata().row_groups();
    assert!(groups.len() > 3, "{}", groups.len());
    assert_eq!(block.written.total_records as usize, groups.len());
    assert_eq!(groups.iter().map(|group| group.num_rows()).sum::<i64>(), 1_000);
    let index: serde_json::Value = serde_json::from_slice(&block.written.index).unwrap();
    let last_ids: Vec<String> = groups
        .iter()
        .scan(0, |rows, group| {
            *rows += group.num_rows() as usize;
            Some(BASE64.encode(traces[*rows - 1].0.as_bytes()))
        })
        .collect();
    assert_eq!(index, serde_json::json!({ "rowGroups": last_ids }));
}

#[test]
fn sizes_and_times_are_those_of_the_file() {
    let block = write(WriterOptions::default(), &distinct(10, 8));
    let WrittenBlock { size, footer_size, total_objects, spans, start_unix_nano, end_unix_nano, .. } =
        block.written;
    assert_eq!(size, block.data.len() as u64);
    let end = block.data.len();
    assert_eq!(footer_size.to_le_bytes(), block.data[end - 8..end - 4]);
    assert_eq!((total_objects, spans), (10, 10));
    assert_eq!((start_unix_nano, end_unix_nano), (1_000_000_000_000, 1_000_000_005_009));
    assert!(block.written.sidecars.is_empty());
}

#[test]
fn a_smaller_codec_is_used_where_tempo_compresses() {
    let options = WriterOptions { compression: PageCompression::Zstd(1), ..WriterOptions::default() };
    let block = write(options, &distinct(500, 60));
    let file = open(&block);
    for (column, leaf) in file.metadata().row_group(0).columns().iter().zip(&LEAVES) {
        let compressed = !matches!(column.compression(), parquet::basic::Compression::UNCOMPRESSED);
        assert_eq!(compressed, leaf.codec == LeafCodec::Snappy, "{}", leaf.path);
    }
    assert_eq!(columns::read_columns(&block.data)[0].len(), 500);
}

#[test]
fn a_block_without_traces_is_a_file_without_rows() {
    let block = write(WriterOptions::default(), &[(TraceId::new([1; 16]), TracesData::default())]);
    assert_eq!((block.written.total_objects, block.written.total_records), (0, 0));
    let file = SerializedFileReader::new(block.data).unwrap();
    assert_eq!(file.num_row_groups(), 0);
}

#[test]
fn traces_out_of_order_are_refused_and_harm_nothing() {
    let traces = distinct(3, 8);
    let mut data = Vec::new();
    let mut writer = BlockWriter::new(&mut data, WriterOptions::default()).unwrap();
    for i in [0, 2] {
        writer.add_trace(traces[i].0, &Encoded::from(&traces[i].1).resources()).unwrap();
    }
    for i in [1, 2] {
        let refused = writer.add_trace(traces[i].0, &Encoded::from(&traces[i].1).resources());
        assert!(matches!(refused, Err(WriteError::OutOfOrder { id, .. }) if id == traces[i].0));
    }
    assert_eq!(writer.finish().unwrap().total_objects, 2);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let traces = tempo::input();
    let (first, second) =
        (write(WriterOptions::default(), &traces), write(WriterOptions::default(), &traces));
    assert_eq!(first.data, second.data);
}
