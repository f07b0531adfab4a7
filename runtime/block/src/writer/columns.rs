//! Values of one page, before they are encoded.

use super::dictionary::Dictionary;

/// Values of a column with a dictionary.
#[derive(Debug, Default)]
pub(super) struct DictColumn {
    pub(super) numbers: Vec<u32>,
    pub(super) dictionary: Dictionary,
}

impl DictColumn {
    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) {
        self.numbers.push(self.dictionary.intern(value));
    }
}

/// Values of a column without one.
#[derive(Clone, Debug, Default)]
pub(super) struct ByteColumn {
    pub(super) bytes: Vec<u8>,
    pub(super) lengths: Vec<i32>,
}

impl ByteColumn {
    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.lengths.push(value.len() as i32);
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.lengths.extend_from_slice(&other.lengths);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.lengths.iter().scan(0, |start, length| {
            let value = &self.bytes[*start..*start + *length as usize];
            *start += value.len();
            Some(value)
        })
    }
}

/// Values of an optional column, most of which are not there: only those that are, with the position of
/// what they belong to in the page.
#[derive(Debug, Default)]
pub(super) struct SlotColumn {
    pub(super) entries: Vec<(u32, u32)>,
    pub(super) dictionary: Dictionary,
}

impl SlotColumn {
    /// Adds the value of the span or resource at `at`, unless it has one.
    #[inline]
    pub(super) fn push(&mut self, at: u32, value: &[u8]) -> bool {
        let free = self.entries.last().is_none_or(|(last, _)| *last != at);
        if free {
            let guess = self.entries.last().map_or(0, |(_, number)| *number);
            self.entries.push((at, self.dictionary.intern_guessed(value, guess)));
        }
        free
    }
}
