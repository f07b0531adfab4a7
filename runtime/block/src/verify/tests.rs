use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;
use tempoform_core::{Account, TraceId};

use super::*;
use crate::bloom::BloomBuilder;
use crate::meta::BlockVersion;
use crate::store::{BlockState, StoreOptions};
use crate::test_blocks::{TestBlock, test_blocks};

/// A copy of a block that may be damaged.
struct Copy {
    folder: TempDir,
    path: BlockPath,
}

impl Copy {
    fn of(block: &TestBlock) -> Self {
        let copy = Self { folder: tempfile::tempdir().unwrap(), path: block.path() };
        std::fs::create_dir_all(copy.file("")).unwrap();
        for entry in std::fs::read_dir(&block.folder).unwrap() {
            let entry = entry.unwrap();
            std::fs::write(
                copy.file(entry.file_name().to_str().unwrap()),
                std::fs::read(entry.path()).unwrap(),
            )
            .unwrap();
        }
        copy
    }

    fn named(name: &str) -> Self {
        Self::of(&test_blocks().into_iter().find(|block| block.name == name).unwrap())
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(self.path.folder().as_ref()).join(name)
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(self.file(name)).unwrap();
        edit(&mut bytes);
        std::fs::write(self.file(name), bytes).unwrap();
    }

    fn edit_meta(&self, edit: impl FnOnce(&mut BlockMeta)) {
        self.edit("meta.json", |bytes| {
            let mut meta = BlockMeta::from_json(bytes).unwrap();
            edit(&mut meta);
            *bytes = meta.to_json();
        });
    }

    async fn verify(&self) -> Verified {
        verify_in(self.folder.path(), &self.path).await
    }

    async fn findings(&self) -> Vec<String> {
        self.verify().await.findings.iter().map(ToString::to_string).collect()
    }
}

async fn verify_in(bucket: &Path, path: &BlockPath) -> Verified {
    let store = BlockStore::local(bucket, StoreOptions::default(), None).unwrap();
    let account = Account::default();
    let folder = store.folder(path, &account).await.unwrap();
    verify(&store, path, &folder, &account).await.unwrap()
}

/// Writes a block whose data are these.
fn write(bucket: &Path, path: &BlockPath, data: Vec<u8>, ids: &[TraceId]) {
    let mut bloom = BloomBuilder::new(ids.len() as u64, 0.01, 1024);
    ids.iter().for_each(|id| bloom.add(id));
    let mut meta = BlockMeta::new(BlockVersion::VParquet4, path.block(), "t");
    (meta.size, meta.total_objects) = (data.len() as u64, ids.len() as u64);
    (meta.total_records, meta.bloom_shards) = (1, 1);
    let block = bucket.join(path.folder().as_ref());
    std::fs::create_dir_all(&block).unwrap();
    std::fs::write(block.join("data.parquet"), data).unwrap();
    std::fs::write(block.join("bloom-0"), &bloom.finish()[0]).unwrap();
    std::fs::write(block.join("meta.json"), meta.to_json()).unwrap();
}

const BLOCK: &str = "v2.10.8-vp4-default";

#[tokio::test]
async fn blocks_of_tempo_are_whole() {
    for block in test_blocks() {
        let (store, account) = (block.store(), Account::default());
        let tenant = block.meta.tenant_id.parse().unwrap();
        let folders = store.folders(&tenant, &account).await.unwrap();
        assert_eq!(folders.len(), 1);
        assert_eq!((folders[0].block, folders[0].state), (block.meta.block_id, BlockState::Live));
        let verified = verify(&store, &block.path(), &folders[0], &account).await.unwrap();
        assert_eq!(verified.findings, [], "{}", block.name);
        assert_eq!(verified.traces, block.meta.total_objects);
        assert!(verified.pages_with_checksum > 0 && verified.pages >= verified.pages_with_checksum);
        let mut spans = 0;
        let reader = BlockReader::open(&store, block.path(), &block.meta, &account).await.unwrap();
        for group in 0..reader.row_groups() {
            let traces = reader.traces(group, &account).await.unwrap();
            let scopes =
                traces.iter().flat_map(|(_, trace)| &trace.resource_spans).flat_map(|r| &r.scope_spans);
            spans += scopes.map(|scope| scope.spans.len() as u64).sum::<u64>();
        }
        assert_eq!(verified.spans, spans, "{}", block.name);
    }
}

#[tokio::test]
async fn a_layout_names_columns_sizes_and_encodings() {
    let block = test_blocks().into_iter().find(|block| block.name == BLOCK).unwrap();
    let account = Account::default();
    let reader = BlockReader::open(&block.store(), block.path(), &block.meta, &account).await.unwrap();
    let layout = reader.layout();
    assert_eq!(layout.columns.len(), 103);
    insta::assert_yaml_snapshot!("layout", layout);
}

#[tokio::test]
async fn a_flipped_byte_in_any_page_is_found() {
    let copy = Copy::named(BLOCK);
    let store = BlockStore::local(copy.folder.path(), StoreOptions::default(), None).unwrap();
    let account = Account::default();
    let meta = store.read_meta(&copy.path, &account).await.unwrap();
    let reader = BlockReader::open(&store, copy.path.clone(), &meta, &account).await.unwrap();
    let count = reader.file().footer.leaves.len();
    // The last byte of a chunk is one of a page's body.
    for (column, row_group) in [(0, 0), (6, 1), (52, 2), (60, 3), (count - 1, reader.row_groups() - 1)] {
        let at = reader.chunk(row_group, column).range.end as usize - 1;
        copy.edit("data.parquet", |bytes| bytes[at] ^= 0x10);
        let findings = copy.findings().await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        let name = reader.name(column);
        assert!(
            findings[0].contains(&format!("data.parquet, {name} has a page whose checksum is wrong")),
            "{findings:?}"
        );
        assert!(findings[0].starts_with(&copy.path.to_string()));
        copy.edit("data.parquet", |bytes| bytes[at] ^= 0x10);
    }
    assert!(copy.findings().await.is_empty());
}

#[tokio::test]
async fn data_that_are_cut_short_or_gone_are_found() {
    let copy = Copy::named(BLOCK);
    let length = std::fs::metadata(copy.file("data.parquet")).unwrap().len();
    copy.edit("data.parquet", |bytes| bytes.truncate(bytes.len() - 100));
    let findings = copy.findings().await;
    let what = format!("data.parquet has {} bytes, and {length} by the meta", length - 100);
    assert_eq!(findings, [format!("{}: {what}", copy.path)]);
    // As long as it was, but without its end.
    copy.edit("data.parquet", |bytes| bytes.resize(length as usize, 0));
    assert!(copy.findings().await[0].contains("data.parquet, footer does not end like a Parquet file"));
    std::fs::remove_file(copy.file("data.parquet")).unwrap();
    assert_eq!(copy.findings().await, [format!("{}: data.parquet is missing", copy.path)]);
}

#[tokio::test]
async fn blooms_that_are_missing_damaged_or_lack_an_id_are_found() {
    let copy = Copy::named(BLOCK);
    let whole = std::fs::read(copy.file("bloom-0")).unwrap();
    copy.edit("bloom-0", |bytes| bytes[24..].fill(0));
    let findings = copy.findings().await;
    assert!(
        findings.len() == 1 && findings[0].contains("bloom-0 lacks 308 of the block's ids"),
        "{findings:?}"
    );
    // One bit: a few ids, or one.
    let bit = whole.iter().skip(24).position(|byte| *byte != 0).unwrap() + 24;
    std::fs::write(copy.file("bloom-0"), &whole).unwrap();
    copy.edit("bloom-0", |bytes| bytes[bit] = 0);
    let findings = copy.findings().await;
    assert!(findings.len() == 1 && findings[0].contains("bloom-0 lacks"), "{findings:?}");
    copy.edit("bloom-0", |bytes| bytes.truncate(1000));
    assert!(copy.findings().await[0].contains("bloom-0"));
    std::fs::remove_file(copy.file("bloom-0")).unwrap();
    assert_eq!(copy.findings().await, [format!("{}: bloom-0 is missing", copy.path)]);
}

#[tokio::test]
async fn blooms_that_a_damaged_meta_names_are_one_finding() {
    let copy = Copy::named(BLOCK);
    copy.edit_meta(|meta| meta.bloom_shards = 1000);
    let findings = copy.findings().await;
    assert_eq!(findings[0], format!("{}: bloom-1 is missing, and 998 more of 1000 blooms", copy.path));
    copy.edit_meta(|meta| meta.bloom_shards = u32::MAX);
    let named = format!("{}: meta.json names 4294967295 blooms, a block has 1000 at most", copy.path);
    assert_eq!(copy.findings().await, [named]);
}

#[tokio::test]
async fn a_meta_that_counts_wrongly_is_found() {
    let copy = Copy::named(BLOCK);
    copy.edit_meta(|meta| {
        meta.total_objects += 1;
        meta.total_records += 2;
        meta.footer_size += 3;
    });
    let findings = copy.findings().await;
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(findings[0].contains("meta.json counts 309 traces, the data hold 308"), "{findings:?}");
    copy.edit_meta(|meta| meta.block_id = uuid::Uuid::nil());
    assert!(copy.findings().await[0].contains("is of another block"));
    copy.edit("meta.json", |bytes| bytes.truncate(20));
    assert!(copy.findings().await[0].contains("meta.json is not a meta"));
}

#[tokio::test]
async fn a_wrong_index_is_found() {
    let copy = Copy::named(BLOCK);
    copy.edit("index", |bytes| *bytes = br#"{"rowGroups":[]}"#.to_vec());
    assert_eq!(
        copy.findings().await,
        [format!("{}: index has other last ids than the row groups", copy.path)]
    );
    copy.edit("index", |bytes| bytes.truncate(9));
    assert_eq!(copy.findings().await, [format!("{}: index is not a list of trace ids", copy.path)]);
    std::fs::remove_file(copy.file("index")).unwrap();
    assert!(copy.findings().await.is_empty(), "it is optional");
}

#[tokio::test]
async fn a_format_that_cannot_be_read_is_a_finding() {
    let copy = Copy::named(BLOCK);
    copy.edit_meta(|meta| meta.version = BlockVersion::from("vParquet9"));
    assert!(copy.findings().await[0].contains("meta.json names the format vParquet9"));
}

#[tokio::test]
async fn ids_out_of_order_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = BlockPath::new("t".parse().unwrap(), uuid::Uuid::from_u128(7));
    let ids: Vec<TraceId> = [1, 3, 2, 4].map(|byte| TraceId::new([byte; 16])).to_vec();
    let schema = Arc::new(parse_message_type("message Trace { REQUIRED BYTE_ARRAY TraceID; }").unwrap());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::new())).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = ids.iter().map(|id| ByteArray::from(id.as_bytes().to_vec())).collect();
    column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    let data = file.into_inner().unwrap();
    write(folder.path(), &path, data, &ids);
    let found = verify_in(folder.path(), &path).await.findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].to_string().contains("is not ascending: row 2 has 0202"), "{found:?}");
}

#[tokio::test]
async fn a_column_with_other_rows_than_its_list_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = BlockPath::new("t".parse().unwrap(), uuid::Uuid::from_u128(8));
    let schema = "message Trace { REQUIRED BYTE_ARRAY TraceID; REPEATED GROUP rs { REQUIRED INT64 A; REQUIRED INT64 B; } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::new())).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut ids = group.next_column().unwrap().unwrap();
    let id = ByteArray::from(vec![1; 16]);
    ids.typed::<ByteArrayType>().write_batch(&[id], None, None).unwrap();
    ids.close().unwrap();
    for rep in [&[0, 1][..], &[0, 1, 1]] {
        let mut column = group.next_column().unwrap().unwrap();
        let (values, def) = (vec![5; rep.len()], vec![1; rep.len()]);
        column.typed::<Int64Type>().write_batch(&values, Some(&def), Some(rep)).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    write(folder.path(), &path, file.into_inner().unwrap(), &[TraceId::new([1; 16])]);
    let found = verify_in(folder.path(), &path).await.findings;
    let what = "data.parquet, rs.B has 3 elements of rs in row group 0, and rs.A has 2";
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("{path}: {what}")]);
}
