//! A block that cannot be read is named, and the others answer.

use tempoform_core::ErrorKind;

use super::*;

const TWO: [&str; 2] = ["v2.10.8-vp4-default", "v3.0.3-vp5-default"];

fn id_of(folder: &Path) -> String {
    format!("block {}", folder.file_name().unwrap().to_str().unwrap())
}

fn overwrite(object: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(object).unwrap();
    change(&mut bytes);
    std::fs::write(object, bytes).unwrap();
}

async fn assert_partial(bucket: &Path, damaged: &Path, object: &str) {
    let retriever = retriever(bucket).await;
    let (id, _) = Bucket::named(TWO[0]).golden().swap_remove(50);
    let answer = find(&retriever, id).await;
    assert_eq!(answer.pieces.len(), 1, "the other block has the trace as well");
    let [failure] = answer.failures.as_slice() else { panic!("{:?}", answer.failures) };
    assert_eq!(failure.source, id_of(damaged));
    assert!(failure.message.contains(object), "{failure:?}");
}

#[tokio::test]
async fn a_bloom_filter_that_is_gone() {
    let (bucket, blocks) = bucket_of(&TWO);
    std::fs::remove_file(blocks[0].join("bloom-0")).unwrap();
    assert_partial(bucket.path(), &blocks[0], "bloom-0").await;
}

#[tokio::test]
async fn a_file_that_is_cut_off() {
    let (bucket, blocks) = bucket_of(&TWO);
    overwrite(&blocks[1].join("data.parquet"), |bytes| bytes.truncate(1000));
    assert_partial(bucket.path(), &blocks[1], "data.parquet").await;

    let retriever = retriever(bucket.path()).await;
    let answer = search(&retriever, everything("{ status = error }")).await;
    assert_eq!(answer.traces.len(), 31);
    assert_eq!(answer.failures.len(), 1);
    let answer = values(&retriever, "resource.service.name", "").await;
    assert_eq!((answer.values.len(), answer.failures.len()), (18, 1));
}

#[tokio::test]
async fn a_footer_of_noise() {
    let (bucket, blocks) = bucket_of(&TWO);
    overwrite(&blocks[0].join("data.parquet"), |bytes| {
        let end = bytes.len();
        bytes[end - 5000..end - 8].fill(0xa5);
    });
    assert_partial(bucket.path(), &blocks[0], "data.parquet").await;
}

#[tokio::test]
async fn a_meta_that_is_no_meta() {
    let (bucket, blocks) = bucket_of(&TWO);
    overwrite(&blocks[0].join("meta.json"), |bytes| bytes.truncate(20));
    assert_partial(bucket.path(), &blocks[0], "meta").await;
}

#[tokio::test]
async fn a_format_of_the_future() {
    let (bucket, blocks) = bucket_of(&TWO);
    overwrite(&blocks[0].join("meta.json"), |bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace("vParquet4", "vParquet9").into_bytes();
    });
    assert_partial(bucket.path(), &blocks[0], "vParquet9").await;
}

#[tokio::test]
async fn memory_that_is_taken_is_told_and_not_passed() {
    let bucket = Bucket::named(TWO[0]);
    let memory = MemoryBudget::new(1 << 20);
    let retriever = unpolled(&bucket.folder, RetrieverOptions::new(memory.clone()));
    retriever.poll().await.unwrap();
    let all = search(&retriever, everything("{ span.rows > 20 }")).await;
    assert!(all.failures.is_empty() && all.traces.len() == 90, "it fits, one row group after the other");
    assert_eq!(memory.used(), 0);

    let _taken = memory.reserve(1 << 20, "a test").unwrap();
    let none = search(&retriever, everything("{ span.rows > 20 }")).await;
    assert!(none.traces.is_empty());
    assert!(none.failures[0].message.contains("memory ceiling"), "{:?}", none.failures);
    let (id, _) = bucket.golden().swap_remove(50);
    let none = find(&retriever, id).await;
    assert!(none.pieces.is_empty());
    assert!(none.failures[0].message.contains("memory ceiling"), "{:?}", none.failures);
    let none = retriever.tag_names(&tenant(), TagNamesRequest::default()).await.unwrap();
    assert!(none.failures[0].message.contains("memory ceiling"), "{:?}", none.failures);
}

#[tokio::test]
async fn a_trace_id_of_another_length_is_refused() {
    let retriever = Bucket::named(TWO[0]).retriever().await;
    let request = FindTraceRequest { trace_id: vec![1; 8].into(), ..Default::default() };
    assert_eq!(retriever.find_trace(&tenant(), request).await.unwrap_err().kind(), ErrorKind::Invalid);
}
