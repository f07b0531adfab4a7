//! From repetition and definition levels to row numbers.

use std::ops::Range;

use super::parquet::column::{Column, Strings, Values};
use super::parquet::footer::Leaf;
use super::parquet::{Malformed, Result};
use super::schema::check_nesting;

/// A column's values with the row each belongs to. A row may have none, or several (a list).
#[derive(Debug)]
pub(crate) struct Placed {
    /// Row of each value at the column's level, ascending.
    pub(crate) rows: Vec<u32>,
    pub(crate) values: Values,
}

/// How rows of the levels down to one column hang together: for each level from 1, the row above of
/// each row.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// Number of traces.
    pub(crate) traces: u32,
    /// `parents[k - 1]`: rows of level `k - 1`, by row of level `k`.
    pub(crate) parents: Vec<Vec<u32>>,
}

/// Deepest list: an event attribute's array.
pub(crate) const MAX_LEVELS: usize = 8;

impl Placed {
    /// Places a column's values at rows of `level`.
    pub(super) fn new(leaf: &Leaf, column: Column, level: u8) -> Result<Self> {
        check_nesting(leaf, level)?;
        let rows = if leaf.max_def == 0 {
            (0..column.entries as u32).collect()
        } else {
            value_rows(leaf, &column, level)?
        };
        Ok(Self { rows, values: column.values })
    }

    /// Positions of a row's values, from `at` on; moves `at` behind them. Rows are asked for in order.
    pub(crate) fn advance(&self, at: &mut usize, row: u32) -> Range<usize> {
        while self.rows.get(*at).is_some_and(|r| *r < row) {
            *at += 1;
        }
        let start = *at;
        while self.rows.get(*at) == Some(&row) {
            *at += 1;
        }
        start..*at
    }

    pub(crate) fn strings(&self) -> Option<&Strings> {
        match &self.values {
            Values::Strings(strings) => Some(strings),
            _ => None,
        }
    }

    /// The bytes at a position; empty when this is no column of strings.
    pub(crate) fn bytes(&self, position: usize) -> &[u8] {
        self.strings().map_or(&[], |strings| strings.value(position))
    }

    /// The number at a position; 0 when this is no column of integers.
    pub(crate) fn int(&self, position: usize) -> i64 {
        match &self.values {
            Values::Ints(ints) => ints.get(position).copied().unwrap_or(0),
            _ => 0,
        }
    }
}

const NO_ROW: Malformed = Malformed::of("has a value in a list that has not begun");

/// Where an entry stands: which levels begin a new row with it.
struct Entry {
    first: usize,
    last: usize,
}

impl Entry {
    /// `i`-th entry of a column; levels of a flat column are all zero.
    fn of(leaf: &Leaf, column: &Column, i: usize) -> Result<Self> {
        let rep = usize::from(column.rep.get(i).copied().unwrap_or(0));
        let def = usize::from(column.def.get(i).copied().unwrap_or(0));
        let before = i.checked_sub(1).map_or(0, |i| usize::from(column.def.get(i).copied().unwrap_or(0)));
        if rep > def || rep > before || usize::from(leaf.max_rep) >= MAX_LEVELS {
            return Err(Malformed::new("has a list that goes on where there is none"));
        }
        Ok(Self { first: rep, last: def.min(usize::from(leaf.max_rep)) })
    }
}

/// Adds the rows that a column's entries begin, to the count of each level down to the column's own lists.
pub(crate) fn count_rows(leaf: &Leaf, column: &Column, counts: &mut [u64; MAX_LEVELS]) -> Result<()> {
    let Leaf { max_def, max_rep, .. } = *leaf;
    if max_def != max_rep && max_def != max_rep.saturating_add(1) {
        return Err(Malformed::new("does not nest as the block format says"));
    }
    for i in 0..column.entries {
        let entry = Entry::of(leaf, column, i)?;
        counts[entry.first..=entry.last].iter_mut().for_each(|count| *count += 1);
    }
    Ok(())
}

fn value_rows(leaf: &Leaf, column: &Column, level: u8) -> Result<Vec<u32>> {
    let mut counts = [0u32; MAX_LEVELS];
    let mut rows = Vec::with_capacity(column.entries);
    for i in 0..column.entries {
        let entry = Entry::of(leaf, column, i)?;
        for count in &mut counts[entry.first..=entry.last] {
            *count += 1;
        }
        if column.def[i] == leaf.max_def {
            rows.push(counts[usize::from(level)].checked_sub(1).ok_or(NO_ROW)?);
        }
    }
    Ok(rows)
}

impl Layers {
    /// The rows of all levels down to `level`, from the levels of a column at or below it.
    pub(super) fn new(leaf: &Leaf, column: &Column, level: u8) -> Result<Self> {
        let level = usize::from(level);
        if level > usize::from(leaf.max_rep) {
            return Err(Malformed::new("does not nest as the block format says"));
        }
        let mut counts = [0u32; MAX_LEVELS];
        let mut parents = vec![Vec::new(); level];
        for i in 0..column.entries {
            let entry = Entry::of(leaf, column, i)?;
            for row_level in entry.first..=entry.last.min(level) {
                if row_level > 0 {
                    parents[row_level - 1].push(counts[row_level - 1].checked_sub(1).ok_or(NO_ROW)?);
                }
                counts[row_level] += 1;
            }
        }
        Ok(Self { traces: counts[0], parents })
    }

    /// Number of rows at a level.
    pub(crate) fn rows(&self, level: u8) -> u32 {
        match usize::from(level) {
            0 => self.traces,
            level => self.parents.get(level - 1).map_or(0, |parents| parents.len() as u32),
        }
    }

    /// For each row at `level` (from 1), the row above.
    pub(crate) fn parents_of(&self, level: u8) -> &[u32] {
        self.parents.get(usize::from(level) - 1).map_or(&[], Vec::as_slice)
    }

    /// The rows at `level` below a row of the level above.
    pub(crate) fn children(&self, level: u8, parent: u32) -> Range<u32> {
        let parents = self.parents_of(level);
        let start = parents.partition_point(|p| *p < parent);
        let end = start + parents[start..].partition_point(|p| *p == parent);
        start as u32..end as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::parquet::footer::Physical;

    fn leaf(max_def: u8, max_rep: u8) -> Leaf {
        Leaf { path: Vec::new(), physical: Physical::Int64, max_def, max_rep, lists: Vec::new() }
    }

    fn column(entries: &[(u8, u8)], values: Vec<i64>) -> Column {
        Column {
            rep: entries.iter().map(|entry| entry.0).collect(),
            def: entries.iter().map(|entry| entry.1).collect(),
            entries: entries.len(),
            values: Values::Ints(values),
        }
    }

    #[test]
    fn values_of_nested_lists_get_the_row_they_belong_to() {
        // Two traces: [[1, 2], []] and [[3]], and an empty trace between.
        let entries = [(0, 2), (2, 2), (1, 1), (0, 0), (0, 2)];
        let placed = Placed::new(&leaf(2, 2), column(&entries, vec![1, 2, 3]), 2).unwrap();
        assert_eq!(placed.rows, [0, 1, 2]);
        let placed = Placed::new(&leaf(2, 2), column(&entries, vec![1, 2, 3]), 1).unwrap();
        assert_eq!(placed.rows, [0, 0, 2]);
        let layers = Layers::new(&leaf(2, 2), &column(&entries, vec![]), 2).unwrap();
        assert_eq!(layers.traces, 3);
        assert_eq!(layers.parents, [vec![0, 0, 2], vec![0, 0, 2]]);
        assert_eq!(layers.children(1, 0), 0..2);
        assert_eq!(layers.children(1, 1), 2..2);
        assert_eq!(layers.children(2, 2), 2..3);
    }

    #[test]
    fn optional_values_leave_rows_out() {
        let placed = Placed::new(&leaf(2, 1), column(&[(0, 1), (1, 2), (0, 2)], vec![7, 8]), 1).unwrap();
        assert_eq!(placed.rows, [1, 2]);
        let mut at = 0;
        let ranges = [0, 1, 2, 3].map(|row| placed.advance(&mut at, row));
        assert_eq!(ranges, [0..0, 0..1, 1..2, 2..2]);
    }

    #[test]
    fn levels_that_contradict_each_other_are_errors() {
        assert!(Placed::new(&leaf(2, 2), column(&[(0, 2), (2, 1)], vec![1]), 2).is_err());
        assert!(Placed::new(&leaf(5, 2), column(&[], vec![]), 2).is_err());
        // The second entry goes on with a list of the second level that the first one does not have.
        let orphan = [(0, 0), (2, 2)];
        assert!(Placed::new(&leaf(2, 2), column(&orphan, vec![1]), 2).is_err());
        assert!(Layers::new(&leaf(2, 2), &column(&orphan, vec![]), 2).is_err());
        let first = [(1, 2)];
        assert!(Layers::new(&leaf(2, 2), &column(&first, vec![]), 2).is_err());
    }
}
