//! Sets of rows.

/// A set of rows below a fixed number of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
    rows: u32,
}

impl Bitmap {
    pub(crate) fn empty(rows: u32) -> Self {
        Self { words: vec![0; rows.div_ceil(64) as usize], rows }
    }

    pub(crate) fn full(rows: u32) -> Self {
        let mut full = Self { words: vec![u64::MAX; rows.div_ceil(64) as usize], rows };
        full.clear_tail();
        full
    }

    /// Ignores rows that do not exist.
    pub(crate) fn insert(&mut self, row: u32) {
        if row < self.rows {
            self.words[(row / 64) as usize] |= 1 << (row % 64);
        }
    }

    pub(crate) fn remove(&mut self, row: u32) {
        if row < self.rows {
            self.words[(row / 64) as usize] &= !(1 << (row % 64));
        }
    }

    pub(crate) fn insert_range(&mut self, rows: std::ops::Range<u32>) {
        let (start, end) = (rows.start, rows.end.min(self.rows));
        if start >= end {
            return;
        }
        let (first, last) = ((start / 64) as usize, ((end - 1) / 64) as usize);
        let head = u64::MAX << (start % 64);
        let tail = u64::MAX >> (63 - (end - 1) % 64);
        if first == last {
            self.words[first] |= head & tail;
            return;
        }
        self.words[first] |= head;
        self.words[first + 1..last].fill(u64::MAX);
        self.words[last] |= tail;
    }

    pub(crate) fn contains(&self, row: u32) -> bool {
        row < self.rows && self.words[(row / 64) as usize] & (1 << (row % 64)) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        self.combine(other, |one, two| one & two);
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        self.combine(other, |one, two| one | two);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.combine(other, |one, two| one & !two);
    }

    pub(crate) fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.clear_tail();
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(position, word)| {
            let base = position as u32 * 64;
            std::iter::successors(Some(*word), |rest| Some(rest & rest.wrapping_sub(1)))
                .take_while(|rest| *rest != 0)
                .map(move |rest| base + rest.trailing_zeros())
        })
    }

    fn combine(&mut self, other: &Self, op: impl Fn(u64, u64) -> u64) {
        debug_assert_eq!(self.rows, other.rows, "sets over the same rows");
        self.words.iter_mut().zip(&other.words).for_each(|(one, two)| *one = op(*one, *two));
    }

    fn clear_tail(&mut self) {
        let used = self.rows % 64;
        if used > 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn from(rows: u32, members: &BTreeSet<u32>) -> Bitmap {
        let mut bitmap = Bitmap::empty(rows);
        members.iter().for_each(|row| bitmap.insert(*row));
        bitmap
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(
            rows in 0_u32..200,
            one in prop::collection::btree_set(0_u32..200, 0..40),
            two in prop::collection::btree_set(0_u32..200, 0..40),
            range in (0_u32..220, 0_u32..220),
        ) {
            let one: BTreeSet<u32> = one.into_iter().filter(|row| *row < rows).collect();
            let two: BTreeSet<u32> = two.into_iter().filter(|row| *row < rows).collect();
            let check = |bitmap: &Bitmap, expected: BTreeSet<u32>| {
                prop_assert_eq!(bitmap.iter().collect::<BTreeSet<_>>(), expected.clone());
                prop_assert_eq!(bitmap.is_empty(), expected.is_empty());
                prop_assert!((0..220).all(|row| bitmap.contains(row) == expected.contains(&row)));
                Ok(())
            };
            let mut bitmap = from(rows, &one);
            bitmap.intersect(&from(rows, &two));
            check(&bitmap, &one & &two)?;
            let mut bitmap = from(rows, &one);
            bitmap.unite(&from(rows, &two));
            check(&bitmap, &one | &two)?;
            let mut bitmap = from(rows, &one);
            bitmap.subtract(&from(rows, &two));
            check(&bitmap, &one - &two)?;
            let mut bitmap = from(rows, &one);
            bitmap.invert();
            check(&bitmap, &(0..rows).collect() - &one)?;
            let mut bitmap = from(rows, &one);
            bitmap.insert_range(range.0..range.1);
            check(&bitmap, &one | &(range.0..range.1.min(rows)).collect())?;
            let mut bitmap = Bitmap::full(rows);
            two.iter().for_each(|row| bitmap.remove(*row));
            check(&bitmap, &(0..rows).collect() - &two)?;
        }
    }
}
