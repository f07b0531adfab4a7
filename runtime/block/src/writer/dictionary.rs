//! Distinct byte strings, numbered.

use std::hash::{BuildHasher as _, Hasher as _};

use hashbrown::{DefaultHashBuilder, HashTable};

/// The dictionary of one column chunk. Its bytes are those of the dictionary page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dictionary {
    /// Each value behind its length, 32 bits little-endian.
    page: Vec<u8>,
    /// Where each value's length stands.
    starts: Vec<u32>,
    /// Hash and number of each value. The hash is seeded, since values come from outside.
    table: HashTable<(u32, u32)>,
    hasher: DefaultHashBuilder,
}

impl Dictionary {
    /// The number of `value`, which is added if it is new.
    #[inline]
    pub(crate) fn intern(&mut self, value: &[u8]) -> u32 {
        let hash = self.hash(value);
        let (page, starts) = (&self.page, &self.starts);
        let found = self.table.find(hash, |(other, number)| {
            *other == hash as u32 && value_at(page, starts[*number as usize]) == value
        });
        match found {
            Some((_, number)) => *number,
            None => self.add(hash, value),
        }
    }

    /// As [`Self::intern`]; quicker when the value is likely to be the one numbered `guess`.
    #[inline]
    pub(crate) fn intern_guessed(&mut self, value: &[u8], guess: u32) -> u32 {
        match self.starts.get(guess as usize) {
            Some(start) if value_at(&self.page, *start) == value => guess,
            _ => self.intern(value),
        }
    }

    #[cold]
    fn add(&mut self, hash: u64, value: &[u8]) -> u32 {
        let number = self.starts.len() as u32;
        self.starts.push(self.page.len() as u32);
        self.page.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.page.extend_from_slice(value);
        let (hasher, page, starts) = (&self.hasher, &self.page, &self.starts);
        self.table.insert_unique(hash, (hash as u32, number), |(_, number)| {
            hash_with(hasher, value_at(page, starts[*number as usize]))
        });
        number
    }

    fn hash(&self, value: &[u8]) -> u64 {
        hash_with(&self.hasher, value)
    }

    /// The value with this number, which must be one that [`Self::intern`] gave.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> &[u8] {
        value_at(&self.page, self.starts[number as usize])
    }

    /// How many values there are.
    pub(crate) const fn len(&self) -> usize {
        self.starts.len()
    }

    /// The values as a dictionary page holds them.
    pub(crate) fn page(&self) -> &[u8] {
        &self.page
    }

    /// All values, in the order of their numbers.
    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.iter().map(|start| value_at(&self.page, *start))
    }

    /// Forgets all values; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.page.clear();
        self.starts.clear();
        self.table.clear();
    }
}

fn hash_with(hasher: &DefaultHashBuilder, value: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(value);
    state.finish()
}

#[inline]
fn value_at(page: &[u8], start: u32) -> &[u8] {
    let start = start as usize;
    let length = page[start..].first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    &page[start + 4..start + 4 + length as usize]
}

#[cfg(test)]
mod tests {
    use super::Dictionary;

    #[test]
    fn equal_values_get_the_same_number() {
        let mut dictionary = Dictionary::default();
        let words: Vec<String> = (0..10_000).map(|i| format!("value {}", i % 5000)).collect();
        let numbers: Vec<u32> = words.iter().map(|word| dictionary.intern(word.as_bytes())).collect();
        assert_eq!(dictionary.len(), 5000);
        for (word, number) in words.iter().zip(numbers) {
            assert_eq!(dictionary.get(number), word.as_bytes());
        }
        assert_eq!(dictionary.intern(b""), 5000);
        assert_eq!(dictionary.get(5000), b"");
        assert_eq!(dictionary.values().nth(4999), Some(&b"value 4999"[..]));
    }
}
