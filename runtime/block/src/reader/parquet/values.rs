//! A page's values, by encoding.

use std::iter;
use std::ops::Range;

use super::footer::Physical;
use super::page::Encoding;
use super::{MAX_PAGE_BYTES, Malformed, Result, delta, hybrid};

/// Byte strings, each stored once per dictionary entry or plain value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    /// Start and end of each entry in `bytes`.
    entries: Vec<(u32, u32)>,
    /// Entry of each value.
    pub(crate) ids: Vec<u32>,
}

impl Strings {
    /// Number of entries.
    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// An entry; empty when there is none.
    pub(crate) fn entry(&self, id: u32) -> &[u8] {
        let (start, end) = self.entries.get(id as usize).copied().unwrap_or_default();
        &self.bytes[start as usize..end as usize]
    }

    /// The value at a position.
    pub(crate) fn value(&self, position: usize) -> &[u8] {
        self.ids.get(position).map_or(&[], |id| self.entry(*id))
    }

    /// The bytes of values one after the other, where there is no dictionary, and their lengths.
    pub(crate) fn plain(&self, positions: Range<usize>) -> (&[u8], impl Iterator<Item = i32>) {
        let entries = self.entries.get(positions).unwrap_or_default();
        let bytes = match (entries.first(), entries.last()) {
            (Some((start, _)), Some((_, end))) => &self.bytes[*start as usize..*end as usize],
            _ => &[],
        };
        (bytes, entries.iter().map(|(start, end)| (end - start) as i32))
    }

    /// Forgets the values, and all entries but those of the dictionary.
    pub(super) fn forget_values(&mut self, dictionary: usize) {
        self.ids.clear();
        self.entries.truncate(dictionary);
        self.bytes.truncate(self.entries.iter().map(|(_, end)| *end as usize).max().unwrap_or(0));
    }

    pub(super) fn add_value(&mut self, bytes: &[u8]) -> Result<()> {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        let end = u32::try_from(self.bytes.len());
        let end = end.map_err(|_| Malformed::new("has more than 4 GiB of text in a column"))?;
        self.ids.push(self.entries.len() as u32);
        self.entries.push((start, end));
        Ok(())
    }

    /// Takes a dictionary page's values, which stay where they are in the page. It comes first in a
    /// chunk.
    pub(super) fn set_dictionary(&mut self, page: Vec<u8>, count: usize) -> Result<()> {
        let mut rest = page.as_slice();
        // Each takes four bytes at least, for its length.
        self.entries = Vec::with_capacity(count.min(page.len() / 4));
        for _ in 0..count {
            let value = plain_bytes(&mut rest)?;
            let end = page.len() - rest.len();
            self.entries.push(((end - value.len()) as u32, end as u32));
        }
        self.bytes = page;
        self.ids.clear();
        Ok(())
    }
}

/// The values of a column, nulls left out.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    Strings(Strings),
    /// INT32 and INT64.
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
}

/// A dictionary of numbers; strings keep theirs in [`Strings`].
#[derive(Debug)]
pub(super) enum NumberDictionary {
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
}

impl Values {
    pub(super) fn new(physical: Physical) -> Result<Self> {
        Ok(match physical {
            Physical::ByteArray => Self::Strings(Strings::default()),
            Physical::Int32 | Physical::Int64 => Self::Ints(Vec::new()),
            Physical::Double => Self::Doubles(Vec::new()),
            Physical::Boolean => Self::Bools(Vec::new()),
            Physical::Other => return Err(Malformed::new("has a column of a type that blocks do not use")),
        })
    }
}

/// Which values of a page to take.
pub(super) struct Selection {
    /// How many the page has.
    pub(super) of: usize,
    /// Positions of those wanted: ascending, disjoint, within the page.
    pub(super) ranges: Vec<Range<usize>>,
}

impl Selection {
    /// The position behind the last wanted.
    fn end(&self) -> usize {
        self.ranges.last().map_or(0, |range| range.end)
    }

    /// The wanted ones of `values`, which begin with the page's first.
    fn pick<'a, T>(&'a self, values: &'a [T]) -> Result<impl Iterator<Item = &'a T>> {
        if values.len() < self.end() {
            return Err(ends());
        }
        Ok(self.ranges.iter().flat_map(|range| &values[range.clone()]))
    }
}

/// Appends the wanted values of a page. `dictionary_entries` is the size of the chunk's dictionary.
pub(super) fn decode(
    values: &mut Values,
    physical: Physical,
    encoding: Encoding,
    bytes: &[u8],
    wanted: &Selection,
    dictionary: Option<&NumberDictionary>,
    dictionary_entries: usize,
) -> Result<()> {
    if wanted.ranges.iter().all(Range::is_empty) {
        return Ok(());
    }
    match (values, encoding) {
        (Values::Strings(strings), Encoding::Dictionary) => {
            let ids = indexes(bytes, wanted, dictionary_entries)?;
            strings.ids.extend(wanted.pick(&ids)?);
            Ok(())
        }
        (Values::Strings(strings), encoding) => decode_strings(strings, encoding, bytes, wanted),
        (Values::Ints(ints), Encoding::Dictionary) => match dictionary {
            Some(NumberDictionary::Ints(entries)) => {
                let ids = indexes(bytes, wanted, entries.len())?;
                ints.extend(wanted.pick(&ids)?.map(|i| entries[*i as usize]));
                Ok(())
            }
            _ => Err(no_dictionary()),
        },
        (Values::Ints(ints), Encoding::Plain) => {
            match physical {
                Physical::Int32 => {
                    let words = wanted.pick(words::<4>(bytes))?;
                    ints.extend(words.map(|word| i64::from(i32::from_le_bytes(*word))));
                }
                _ => ints.extend(wanted.pick(words::<8>(bytes))?.map(|word| i64::from_le_bytes(*word))),
            }
            Ok(())
        }
        (Values::Ints(ints), Encoding::DeltaBinaryPacked) => {
            let (decoded, _) = delta::decode(bytes, wanted.of)?;
            let picked = wanted.pick(&decoded)?;
            // INT32 deltas wrap at 32 bits.
            match physical {
                Physical::Int32 => ints.extend(picked.map(|value| i64::from(*value as i32))),
                _ => ints.extend(picked),
            }
            Ok(())
        }
        (Values::Doubles(doubles), Encoding::Dictionary) => match dictionary {
            Some(NumberDictionary::Doubles(entries)) => {
                let ids = indexes(bytes, wanted, entries.len())?;
                doubles.extend(wanted.pick(&ids)?.map(|i| entries[*i as usize]));
                Ok(())
            }
            _ => Err(no_dictionary()),
        },
        (Values::Doubles(doubles), Encoding::Plain) => {
            doubles.extend(wanted.pick(words::<8>(bytes))?.map(|word| f64::from_le_bytes(*word)));
            Ok(())
        }
        (Values::Bools(bools), Encoding::Plain) => {
            if wanted.end().div_ceil(8) > bytes.len() {
                return Err(ends());
            }
            let positions = wanted.ranges.iter().cloned().flatten();
            bools.extend(positions.map(|i| bytes[i / 8] >> (i % 8) & 1 == 1));
            Ok(())
        }
        (Values::Bools(bools), Encoding::Rle) => {
            let levels = bytes.get(4..).ok_or_else(ends)?;
            let mut decoded: Vec<bool> = Vec::new();
            hybrid::decode(levels, 1, wanted.end(), &mut decoded)?;
            bools.extend(wanted.pick(&decoded)?);
            Ok(())
        }
        (_, encoding) => Err(Malformed::new(format!("has values in an unexpected encoding ({encoding:?})"))),
    }
}

/// Reads a dictionary page of numbers.
pub(super) fn number_dictionary(physical: Physical, page: &[u8], count: usize) -> Result<NumberDictionary> {
    let mut values = Values::new(physical)?;
    let all = Selection { of: count, ranges: iter::once(0..count).collect() };
    decode(&mut values, physical, Encoding::Plain, page, &all, None, 0)?;
    match values {
        Values::Ints(ints) => Ok(NumberDictionary::Ints(ints)),
        Values::Doubles(doubles) => Ok(NumberDictionary::Doubles(doubles)),
        _ => Err(Malformed::new("has a dictionary in a column of booleans")),
    }
}

/// The dictionary indexes of a page, up to the last wanted.
fn indexes(bytes: &[u8], wanted: &Selection, entries: usize) -> Result<Vec<u32>> {
    let (width, packed) = bytes.split_first().ok_or_else(ends)?;
    let mut ids: Vec<u32> = Vec::new();
    hybrid::decode(packed, *width, wanted.end(), &mut ids)?;
    match ids.iter().max() {
        Some(max) if *max as usize >= entries => {
            Err(Malformed::new("has a dictionary index beyond the dictionary"))
        }
        _ => Ok(ids),
    }
}

fn decode_strings(strings: &mut Strings, encoding: Encoding, bytes: &[u8], wanted: &Selection) -> Result<()> {
    let mut rest = bytes;
    match encoding {
        Encoding::Plain => add_wanted(strings, wanted, |_| plain_bytes(&mut rest)),
        Encoding::DeltaLengthByteArray => {
            let (lengths, data) = delta::decode(bytes, wanted.of)?;
            rest = data;
            add_wanted(strings, wanted, |i| take(&mut rest, *lengths.get(i).ok_or_else(ends)?))
        }
        Encoding::DeltaByteArray => {
            let (prefixes, suffixes) = delta::decode(bytes, wanted.of)?;
            let (lengths, data) = delta::decode(suffixes, prefixes.len())?;
            check_expanded(&prefixes, &lengths)?;
            rest = data;
            let mut value = Vec::new();
            let mut at = 0;
            for range in &wanted.ranges {
                while at < range.end {
                    let (Some(prefix), Some(length)) = (prefixes.get(at), lengths.get(at)) else {
                        return Err(ends());
                    };
                    let prefix = usize::try_from(*prefix).ok().filter(|prefix| *prefix <= value.len());
                    value.truncate(prefix.ok_or_else(ends)?);
                    value.extend_from_slice(take(&mut rest, *length)?);
                    if at >= range.start {
                        strings.add_value(&value)?;
                    }
                    at += 1;
                }
            }
            Ok(())
        }
        other => Err(Malformed::new(format!("has text in an unexpected encoding ({other:?})"))),
    }
}

/// Each value may repeat all of the one before: the whole may be the square of the page.
fn check_expanded(prefixes: &[i64], lengths: &[i64]) -> Result<()> {
    let parts = prefixes.iter().chain(lengths).map(|part| u64::try_from(*part).unwrap_or(0));
    if parts.fold(0, u64::saturating_add) > MAX_PAGE_BYTES as u64 {
        return Err(Malformed::new("has a page of absurd size"));
    }
    Ok(())
}

/// Adds the wanted ones of the values that `next` gives one after the other.
fn add_wanted<'a>(
    strings: &mut Strings,
    wanted: &Selection,
    mut next: impl FnMut(usize) -> Result<&'a [u8]>,
) -> Result<()> {
    let mut at = 0;
    for range in &wanted.ranges {
        while at < range.end {
            let value = next(at)?;
            if at >= range.start {
                strings.add_value(value)?;
            }
            at += 1;
        }
    }
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], length: i64) -> Result<&'a [u8]> {
    let length = usize::try_from(length).map_err(|_| ends())?;
    let (value, after) = rest.split_at_checked(length).ok_or_else(ends)?;
    *rest = after;
    Ok(value)
}

fn plain_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>().ok_or_else(ends)?;
    *rest = after;
    take(rest, i64::from(u32::from_le_bytes(*length)))
}

/// Numbers of fixed size; what is left over at the end is none.
fn words<const N: usize>(bytes: &[u8]) -> &[[u8; N]] {
    bytes.as_chunks::<N>().0
}

fn ends() -> Malformed {
    Malformed::new("has a page that ends inside its values")
}

fn no_dictionary() -> Malformed {
    Malformed::new("has dictionary indexes but no dictionary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_repeats_what_is_before_has_an_end() {
        assert!(check_expanded(&[0, 5, -1], &[5, 0, 3]).is_ok());
        let repeated = check_expanded(&[0, 20_000].repeat(20_000), &[20_000, 0].repeat(20_000));
        assert_eq!(repeated.unwrap_err().to_string(), "has a page of absurd size");
    }
}
