//! The ingester's log.

use std::cell::RefCell;

use bytes::Bytes;
use prost::Message as _;
use tempfile::TempDir;
use tempoform_core::{BatchId, Compressed, MemoryBudget, scan_export_request};
use tempoform_ingester::examine::{LogFile, LogRecord, Replayed};
use tempoform_wire::otlp::TracesData;

use crate::input::Input;

/// Bits of an input's first byte: the rest is the file itself.
pub(crate) const AS_IS: u8 = 1;
/// Bits of a record's first byte.
pub(crate) const NAMED: u8 = 1;
pub(crate) const COMPRESSED: u8 = 2;
pub(crate) const PART: u8 = 4;

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(TempDir::new().expect("a folder for temporary files"));
}

/// A file with what the input says, in a folder that is empty else; its records before they were damaged.
fn with_file(data: &[u8], check: impl FnOnce(&LogFile, Option<&[LogRecord]>)) {
    FOLDER.with_borrow(|folder| {
        for entry in std::fs::read_dir(folder.path()).expect("our folder").flatten() {
            std::fs::remove_file(entry.path()).expect("our file");
        }
        let file = LogFile::new(folder.path());
        let mut input = Input::new(data);
        if input.byte() & AS_IS == AS_IS {
            file.put(input.rest()).expect("room on the disk");
            return check(&file, None);
        }
        let records = records(&mut input);
        file.write(&records).expect("room on the disk");
        if input.is_empty() {
            return check(&file, Some(&records));
        }
        file.put(&damaged(file.bytes().expect("our file"), input)).expect("room on the disk");
        check(&file, None);
    });
}

/// The number of records, then of each: its kind, its length, its payload.
fn records(input: &mut Input<'_>) -> Vec<LogRecord> {
    let record = |input: &mut Input<'_>| {
        let kind = input.byte();
        let id = (kind & NAMED == NAMED)
            .then(|| BatchId { origin: 1 + u64::from(kind >> 4), number: input.byte().into() });
        let length = usize::from(input.short());
        let payload = input.bytes(length);
        let payload = if kind & COMPRESSED == COMPRESSED {
            Compressed::new(payload).bytes().clone()
        } else {
            Bytes::copy_from_slice(payload)
        };
        (id, kind & PART == PART, payload)
    };
    (0..input.byte() % 8).map(|_| record(input)).collect()
}

/// Places and what is changed there; a last single byte cuts the file.
fn damaged(mut file: Vec<u8>, mut input: Input<'_>) -> Vec<u8> {
    while !input.is_empty() {
        let (at, with) = (usize::from(input.short()) % file.len().max(1), input.byte());
        match with {
            0 => file.truncate(at),
            with => file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= with),
        }
    }
    file
}

/// Replay takes what is whole and sets the rest aside, once: what is left is whole, and its traces are those of the
/// records, by either index.
pub(crate) fn segment(data: &[u8]) {
    with_file(data, |file, written| {
        let before = file.bytes().expect("our file");
        let (records, end) = file.records().expect("our file");
        let (names, end_of_names) = file.names().expect("our file");
        assert!(end <= end_of_names && end_of_names <= before.len() as u64);
        assert!(records.iter().filter_map(|(id, ..)| *id).all(|id| names.contains(id)));
        if let Some(written) = written {
            assert_eq!((&records[..], end), (written, before.len() as u64));
        }
        rewritten(&records, &before[..end as usize]);

        let replayed = file.replay().expect("what replay indexes is in the file");
        let sound: Vec<_> =
            records.iter().map_while(|(.., payload)| scan_export_request(payload.clone()).ok()).collect();
        assert_eq!(replayed.spans, sound.iter().map(|batch| batch.spans.len() as u64).sum::<u64>());
        assert!(replayed.end <= end);
        assert_eq!(replayed.end + replayed.damaged, before.len() as u64);
        assert_eq!(file.bytes().expect("our file"), before[..replayed.end as usize]);
        assert!(file.is_whole().expect("our file"));
        spans_of_traces(&replayed);
        assert_eq!(replayed.by_disk_index, replayed.traces);

        damaged_index(file, &replayed, data);
        let again = file.replay().expect("what replay indexes is in the file");
        assert_eq!(again, Replayed { damaged: 0, ..replayed });
    });
}

/// The records, written again, are the bytes that they were read from.
fn rewritten(records: &[LogRecord], bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let folder = TempDir::new().expect("a folder for temporary files");
    let file = LogFile::new(folder.path());
    file.write(records).expect("room on the disk");
    assert_eq!(file.bytes().expect("our file"), bytes);
}

fn spans_of_traces(replayed: &Replayed) {
    let mut found = 0;
    for (id, piece) in &replayed.traces {
        let batch = scan_export_request(piece.clone().into()).expect("a piece of what was scanned");
        assert!(batch.spans.iter().all(|span| span.trace_id == *id));
        found += batch.spans.len() as u64;
        TracesData::decode(&piece[..]).expect("what passes the scan decodes");
    }
    assert_eq!(found, replayed.spans);
}

/// An index on disk that is not as it was written is not used.
fn damaged_index(file: &LogFile, replayed: &Replayed, data: &[u8]) {
    let ids: Vec<_> = replayed.traces.iter().map(|(id, _)| *id).collect();
    let mut index = file.index().expect("replay writes one");
    let at = data.iter().fold(0, |at: usize, byte| at.wrapping_mul(31) + usize::from(*byte)) % index.len();
    index[at] ^= 1 << (at % 8);
    file.put_index(&index).expect("room on the disk");
    assert_eq!(file.traces_by_index(&ids).expect("our file"), None);
    file.put_index(data).expect("room on the disk");
    if let Some(traces) = file.traces_by_index(&ids).expect("its places are in the file") {
        assert_eq!(traces, replayed.traces);
    }
}

/// A query of a file of followed batches finds every span in it, or is told that it cannot.
pub(crate) fn followed(data: &[u8]) {
    with_file(data, |file, written| {
        let (records, _) = file.records().expect("our file");
        let memory = MemoryBudget::new(64 << 20);
        let (names, spans) = file.followed(&memory).expect("our file");
        assert!(records.iter().filter_map(|(id, ..)| *id).all(|id| names.contains(id)));
        let batches = records.iter().map(|(.., payload)| {
            let payload = Compressed::from_bytes(payload.clone()).expand().ok()?;
            scan_export_request(payload).ok()
        });
        let expected: Option<u64> = batches.map(|batch| Some(batch?.spans.len() as u64)).sum();
        if let Ok(spans) = spans {
            assert_eq!(Some(spans), expected);
        } else {
            assert!(expected.is_none() || written.is_none());
        }
    });
}
