//! The log's files: what was written is read back, and damage is never taken for data.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use tempoform_core::{BatchId, BatchSet, TraceId};
use uuid::Uuid;

use super::*;
use crate::wal::{
    DiskIndex, IndexFile, MemoryIndex, NewRecord, Segment, SegmentPaths, SegmentReader, read_names,
    replay_segment, verify_segment,
};

fn name(number: u64) -> Option<BatchId> {
    Some(BatchId { origin: 1, number })
}

fn record(batch: &SpanBatch, number: u64) -> NewRecord<'_> {
    NewRecord { id: name(number), part: false, payload: &batch.payload }
}

/// Writes `requests` (traces of each) and gives the index that came of it.
fn write(paths: &SegmentPaths, requests: &[Vec<u8>]) -> (MemoryIndex, u64) {
    let mut segment = Segment::create(paths.clone()).expect("created");
    let mut index = MemoryIndex::default();
    for (traces, id) in requests.iter().zip(1..) {
        let batch = batch(&request(traces, id));
        let appended = segment.append(&[record(&batch, u64::from(id))]).expect("appended");
        segment.file().sync_data().expect("synced");
        segment.committed(true);
        index.add(name(u64::from(id)), &batch, appended[0].payload_at);
    }
    (index, segment.len())
}

fn spans_by_trace(paths: &SegmentPaths, index: &MemoryIndex) -> BTreeMap<u8, usize> {
    let reader = SegmentReader::new(fs::File::open(paths.wal()).expect("opened"));
    let mut spans = BTreeMap::new();
    for trace in 0..=u8::MAX {
        let runs: Vec<_> = index.find(&TraceId::new([trace; 16])).collect();
        let piece = reader.piece(&runs, |scope| Ok(index.scopes[scope as usize])).expect("read");
        let found = count(&TracesData::decode(&piece[..]).expect("a piece").resource_spans);
        if found > 0 {
            spans.insert(trace, found);
        }
    }
    spans
}

fn expected(requests: &[Vec<u8>]) -> BTreeMap<u8, usize> {
    let mut spans = BTreeMap::new();
    requests.iter().flatten().for_each(|trace| *spans.entry(*trace).or_default() += 1);
    spans
}

fn requests() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(1..6u8, 1..6), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_replayed(requests in requests()) {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = SegmentPaths::new(folder.path(), Uuid::new_v4());
        let (index, length) = write(&paths, &requests);
        prop_assert_eq!(spans_by_trace(&paths, &index), expected(&requests));
        let replayed = replay_segment(&paths).expect("replayed");
        prop_assert_eq!((replayed.end, replayed.damaged), (length, 0));
        prop_assert_eq!(spans_by_trace(&paths, &replayed.index), expected(&requests));
        prop_assert!(verify_segment(&paths).expect("read"));
        let names: BatchSet = (1..=requests.len() as u64).filter_map(name).collect();
        prop_assert_eq!(&replayed.index.batches, &names);
        let read = read_names(&fs::File::open(paths.wal()).expect("opened"), length).expect("read");
        prop_assert_eq!((read.batches, read.end), (names, length));

        let on_disk = DiskIndex::create(&paths, &index, length);
        for trace in 0..8u8 {
            let id = TraceId::new([trace; 16]);
            let found: Vec<_> = on_disk.find(&id).expect("read").map(|run| run.expect("read")).collect();
            prop_assert_eq!(found, index.find(&id).collect::<Vec<_>>());
        }
        prop_assert!(IndexFile::open(&paths, length).expect("read").is_some());
        prop_assert!(IndexFile::open(&paths, length + 1).expect("read").is_none(), "of another log");
    }

    /// A prefix of the records survives any damage; the rest is set aside, and the file is as before otherwise.
    #[test]
    fn damage_costs_only_what_follows_it(requests in requests(), at in any::<prop::sample::Index>(), flip in 1..=255u8, cut: bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = SegmentPaths::new(folder.path(), Uuid::new_v4());
        write(&paths, &requests);
        let mut bytes = fs::read(paths.wal()).expect("read");
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        fs::write(paths.wal(), &bytes).expect("written");

        let replayed = replay_segment(&paths).expect("replayed");
        let found = spans_by_trace(&paths, &replayed.index);
        let whole = (0..=requests.len()).find(|whole| expected(&requests[..*whole]) == found);
        prop_assert!(whole.is_some(), "{found:?} is no prefix of {requests:?}");
        prop_assert!(replayed.end <= at as u64, "what is damaged is not taken");
        let read = read_names(&fs::File::open(paths.wal()).expect("opened"), replayed.end).expect("read");
        prop_assert_eq!(&read.batches, &replayed.index.batches, "nothing more is claimed than what is there");
        prop_assert_eq!(fs::read(paths.wal()).expect("read"), &bytes[..replayed.end as usize]);
        let aside = fs::read(paths.damaged(replayed.end)).unwrap_or_default();
        prop_assert_eq!(aside, &bytes[replayed.end as usize..]);
        prop_assert_eq!(replay_segment(&paths).expect("replayed again").damaged, 0);
    }

    #[test]
    fn a_damaged_index_is_not_used(requests in requests(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = SegmentPaths::new(folder.path(), Uuid::new_v4());
        let (index, length) = write(&paths, &requests);
        drop(DiskIndex::create(&paths, &index, length));
        let mut bytes = fs::read(paths.index()).expect("read");
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(paths.index(), bytes).expect("written");
        prop_assert!(IndexFile::open(&paths, length).expect("read").is_none());
    }
}

#[test]
fn refused_records_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = SegmentPaths::new(folder.path(), Uuid::new_v4());
    let mut segment = Segment::create(paths.clone()).expect("created");
    let kept = batch(&request(&[1], 1));
    segment.append(&[record(&kept, 1)]).expect("appended");
    segment.committed(true);
    segment.append(&[record(&batch(&request(&[2], 2)), 2)]).expect("appended");
    segment.forget_undurable().expect("cut back");
    segment.append(&[record(&batch(&request(&[3], 3)), 3)]).expect("appended");
    segment.committed(true);
    let replayed = replay_segment(&paths).expect("replayed");
    assert_eq!(spans_by_trace(&paths, &replayed.index), BTreeMap::from([(1, 1), (3, 1)]));
    assert!(!segment.has_room(u64::from(u32::MAX)), "offsets are 32 bits");
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_a_crash_are_removed_and_strange_files_left_alone() {
    let place = Place::new();
    let ingester = place.start().await;
    push(&ingester, &[1], 1).await.expect("acknowledged");
    place.moody.refuse(true);
    drop(ingester);
    // Its segment is sealed by a task that outlives it.
    while place.files("idx").len() != 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let tenant = place.folder.path().join(TenantId::single().as_str());
    let orphan = Uuid::new_v4();
    for name in [
        format!("{orphan}.idx.tmp"),
        format!("{orphan}.flushed.tmp"),
        format!("{orphan}.idx"),
        "README".into(),
    ] {
        fs::write(tenant.join(name), b"half").expect("written");
    }
    fs::create_dir(place.folder.path().join("no/tenant".replace('/', "|"))).expect("created");
    let ingester = place.start().await;
    assert_eq!(live_spans(&ingester, 1).await, 1);
    assert!(place.files("tmp").is_empty() && !tenant.join(format!("{orphan}.idx")).exists());
    assert!(tenant.join("README").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sync_for_each_write_one_comes_now_and_then() {
    let place = Place::new();
    let durability = Durability::Async { sync_period: Duration::from_millis(10) };
    let ingester =
        place.start_with(Options { durability, ..place.options() }, MemoryBudget::new(1 << 30)).await;
    push(&ingester, &[1], 1).await.expect("acknowledged");
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(ingester);
    let ingester = place.start().await;
    assert_eq!(live_spans(&ingester, 1).await, 1, "a process that ends loses nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_belongs_to_one_process() {
    let place = Place::new();
    let ingester = place.start().await;
    let second = Ingester::start(place.options(), place.store.clone(), MemoryBudget::new(1 << 30)).await;
    let refused = second.expect_err("the first has it").to_string();
    assert!(refused.contains("storage.trace.wal.path"), "{refused}");
    drop(ingester);
    drop(place.start().await);
}
