//! Reads a file's columns with the `parquet` crate, as levels and values.

use bytes::Bytes;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

/// One entry of a column: definition level, repetition level, and the value if it is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) def: i16,
    pub(crate) rep: i16,
    pub(crate) value: Option<Cell>,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Cell {
    Bytes(Vec<u8>),
    Int(i64),
    /// By its bits, so that NaN equals itself.
    Double(u64),
    Bool(bool),
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{:?}", bytes::Bytes::copy_from_slice(bytes)),
            Self::Int(int) => write!(f, "{int}"),
            Self::Double(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

/// All columns of a file, across its row groups.
pub(crate) fn read_columns(file: &Bytes) -> Vec<Vec<Entry>> {
    let file = SerializedFileReader::new(file.clone()).unwrap();
    let columns = file.metadata().file_metadata().schema_descr().num_columns();
    let mut read = vec![Vec::new(); columns];
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group).unwrap();
        for (column, entries) in read.iter_mut().enumerate() {
            let max_def = group.metadata().column(column).column_descr().max_def_level();
            let rows = group.metadata().num_rows() as usize;
            entries.extend(read_column(group.get_column_reader(column).unwrap(), max_def, rows));
        }
    }
    read
}

fn read_column(reader: ColumnReader, max_def: i16, rows: usize) -> Vec<Entry> {
    let (mut defs, mut reps) = (Vec::new(), Vec::new());
    macro_rules! values {
        ($reader:expr, $cell:expr) => {{
            let mut reader = $reader;
            let mut values = Vec::new();
            let mut read = 0;
            loop {
                let (records, _, levels) =
                    reader.read_records(rows, Some(&mut defs), Some(&mut reps), &mut values).unwrap();
                read += records;
                if levels == 0 {
                    break;
                }
            }
            assert_eq!(read, rows);
            values.iter().map($cell).collect::<Vec<Cell>>()
        }};
    }
    let values = match reader {
        ColumnReader::BoolColumnReader(r) => values!(r, |v: &bool| Cell::Bool(*v)),
        ColumnReader::Int32ColumnReader(r) => values!(r, |v: &i32| Cell::Int((*v).into())),
        ColumnReader::Int64ColumnReader(r) => values!(r, |v: &i64| Cell::Int(*v)),
        ColumnReader::DoubleColumnReader(r) => values!(r, |v: &f64| Cell::Double(v.to_bits())),
        ColumnReader::ByteArrayColumnReader(r) => values!(r, |v: &ByteArray| Cell::Bytes(v.data().to_vec())),
        _ => panic!("no such type in any schema"),
    };
    if max_def == 0 {
        return values.into_iter().map(|value| Entry { def: 0, rep: 0, value: Some(value) }).collect();
    }
    reps.resize(defs.len(), 0);
    let mut values = values.into_iter();
    let entries = defs.iter().zip(&reps).map(|(def, rep)| {
        let value = (*def == max_def).then(|| values.next().unwrap());
        Entry { def: *def, rep: *rep, value }
    });
    let entries = entries.collect();
    assert_eq!(values.next(), None);
    entries
}
