//! Parts of a file that were read ahead.

use std::ops::Range;

use bytes::Bytes;

/// Bytes of a file, by where they lie.
#[derive(Debug, Default)]
pub(super) struct Window(Vec<(u64, Bytes)>);

impl Window {
    /// What was read for `ranges`.
    pub(super) fn new(ranges: &[Range<u64>], bytes: Vec<Bytes>) -> Self {
        let mut parts: Vec<_> = ranges.iter().map(|range| range.start).zip(bytes).collect();
        parts.sort_by_key(|(start, _)| *start);
        Self(parts)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// A range, if one part has all of it.
    pub(super) fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let before = self.0.partition_point(|(start, _)| *start <= range.start);
        // Parts may overlap: an earlier one may be the longer.
        self.0[..before].iter().rev().find_map(|(start, bytes)| {
            let from = usize::try_from(range.start - start).ok()?;
            let to = from.checked_add(usize::try_from(range.end - range.start).ok()?)?;
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_found() {
        let file = Bytes::from_iter(0..=255_u8);
        let ranges = [100..120, 0..50, 40..45];
        let bytes = ranges.iter().map(|range| file.slice(range.start as usize..range.end as usize)).collect();
        let window = Window::new(&ranges, bytes);
        for (range, is_there) in
            [(0..50, true), (42..50, true), (100..101, true), (99..101, false), (45..51, false)]
        {
            let expected = file.slice(range.start as usize..range.end as usize);
            assert_eq!(window.get(&range), is_there.then_some(expected), "{range:?}");
        }
    }
}
