//! The parts of a Parquet file, without a store around them.

use bytes::Bytes;
use tempoform_block::examine::{self, ChunkShape};

use crate::input::Input;
use crate::resources::within;

/// A footer, or the parts of a page index, take memory in proportion.
pub(crate) fn footer(data: &[u8]) {
    let most = data.len() * 256;
    for size in [data.len() as u64, u64::MAX] {
        if let Ok((columns, row_groups)) = within(most, || examine::footer(data, size)) {
            assert!(columns.len() <= data.len() && row_groups.len() <= data.len());
            assert!(row_groups.iter().all(|rows| *rows <= u64::from(u32::MAX)));
        }
    }
    if let Ok((pages, _)) = within(most, || examine::page_index(data)) {
        assert!(pages <= data.len());
    }
}

/// The bytes that say what a column is.
pub(crate) const SHAPE_BYTES: usize = 8;

/// A column, by its first bytes.
pub(crate) fn shape(input: &mut Input<'_>) -> ChunkShape {
    let max_rep = input.byte() % 9;
    ChunkShape {
        physical: input.byte() % 8,
        codec: input.byte() % 8,
        max_def: max_rep.saturating_add(input.byte() % 3),
        max_rep,
        entries: u32::from(input.short()),
        rows: u32::from(input.short()),
    }
}

/// The first bytes of an input for the column.
pub(crate) fn shape_bytes(shape: &ChunkShape) -> [u8; SHAPE_BYTES] {
    let ChunkShape { physical, codec, max_def, max_rep, entries, rows } = *shape;
    let ([a, b], [c, d]) = ((entries as u16).to_le_bytes(), (rows as u16).to_le_bytes());
    [max_rep, physical, codec, max_def.saturating_sub(max_rep), a, b, c, d]
}

/// Values by rows, by halves, page by page and levels alone agree.
pub(crate) fn column(data: &[u8]) {
    let mut input = Input::new(data);
    let shape = shape(&mut input);
    let chunk = Bytes::copy_from_slice(input.rest());
    let rows = u64::from(shape.rows);
    drop(shape.dictionary(&chunk));
    let walked = shape.walk(&chunk, 1 + chunk.len() / 3);
    let Ok(whole) = shape.read(&chunk, 0..rows) else { return };
    let levels = shape.levels(&chunk, 0..rows);
    assert_eq!(levels, Ok((whole.rep.clone(), whole.def.clone())));
    assert!(whole.entries as u64 <= u64::from(shape.entries));
    if let Ok((values, walked_rows)) = walked
        && walked_rows == rows
    {
        assert_eq!(values, whole.values);
    }
    let middle = rows / 2;
    if let (Ok(first), Ok(second)) = (shape.read(&chunk, 0..middle), shape.read(&chunk, middle..rows)) {
        assert_eq!([first.rep, second.rep].concat(), whole.rep);
        assert_eq!([first.values, second.values].concat(), whole.values);
    }
}
