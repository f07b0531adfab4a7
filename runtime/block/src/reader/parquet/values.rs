//! A page's values, by encoding.

use super::footer::Physical;
use super::page::Encoding;
use super::{Malformed, Result, delta, hybrid};

/// Byte strings, each stored once per dictionary entry or plain value.
#[derive(Debug, Default)]
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

    fn add_value(&mut self, bytes: &[u8]) -> Result<()> {
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
        self.entries = Vec::with_capacity(count);
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
#[derive(Debug)]
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
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Values before.
    pub(super) skip: usize,
    /// Values wanted.
    pub(super) take: usize,
}

impl Window {
    fn end(self) -> usize {
        self.skip + self.take
    }
}

/// Appends a page's values in `window`. `dictionary_entries` is the size of the chunk's dictionary.
pub(super) fn decode(
    values: &mut Values,
    physical: Physical,
    encoding: Encoding,
    bytes: &[u8],
    window: Window,
    dictionary: Option<&NumberDictionary>,
    dictionary_entries: usize,
) -> Result<()> {
    if window.take == 0 {
        return Ok(());
    }
    match (values, encoding) {
        (Values::Strings(strings), Encoding::Dictionary) => {
            let ids = indexes(bytes, window, dictionary_entries)?;
            strings.ids.extend(ids);
            Ok(())
        }
        (Values::Strings(strings), encoding) => decode_strings(strings, encoding, bytes, window),
        (Values::Ints(ints), Encoding::Dictionary) => match dictionary {
            Some(NumberDictionary::Ints(entries)) => {
                ints.extend(indexes(bytes, window, entries.len())?.iter().map(|i| entries[*i as usize]));
                Ok(())
            }
            _ => Err(no_dictionary()),
        },
        (Values::Ints(ints), Encoding::Plain) => {
            let decoded = plain_ints(bytes, physical, window)?;
            ints.extend(decoded);
            Ok(())
        }
        (Values::Ints(ints), Encoding::DeltaBinaryPacked) => {
            let (decoded, _) = delta::decode(bytes, super::MAX_PAGE_ENTRIES as usize)?;
            let wanted = decoded.get(window.skip..window.end()).ok_or_else(ends)?;
            // INT32 deltas wrap at 32 bits.
            match physical {
                Physical::Int32 => ints.extend(wanted.iter().map(|value| i64::from(*value as i32))),
                _ => ints.extend_from_slice(wanted),
            }
            Ok(())
        }
        (Values::Doubles(doubles), Encoding::Dictionary) => match dictionary {
            Some(NumberDictionary::Doubles(entries)) => {
                doubles.extend(indexes(bytes, window, entries.len())?.iter().map(|i| entries[*i as usize]));
                Ok(())
            }
            _ => Err(no_dictionary()),
        },
        (Values::Doubles(doubles), Encoding::Plain) => {
            doubles.extend(words::<8>(bytes, window)?.map(f64::from_le_bytes));
            Ok(())
        }
        (Values::Bools(bools), Encoding::Plain) => {
            if window.end().div_ceil(8) > bytes.len() {
                return Err(ends());
            }
            bools.extend((window.skip..window.end()).map(|i| bytes[i / 8] >> (i % 8) & 1 == 1));
            Ok(())
        }
        (Values::Bools(bools), Encoding::Rle) => {
            let levels = bytes.get(4..).ok_or_else(ends)?;
            let mut decoded: Vec<bool> = Vec::new();
            hybrid::decode(levels, 1, window.end(), &mut decoded)?;
            bools.extend_from_slice(&decoded[window.skip..]);
            Ok(())
        }
        (_, encoding) => Err(Malformed::new(format!("has values in an unexpected encoding ({encoding:?})"))),
    }
}

/// Reads a dictionary page of numbers.
pub(super) fn number_dictionary(physical: Physical, page: &[u8], count: usize) -> Result<NumberDictionary> {
    let window = Window { skip: 0, take: count };
    match physical {
        Physical::Int32 | Physical::Int64 => {
            Ok(NumberDictionary::Ints(plain_ints(page, physical, window)?.collect()))
        }
        Physical::Double => {
            Ok(NumberDictionary::Doubles(words::<8>(page, window)?.map(f64::from_le_bytes).collect()))
        }
        _ => Err(Malformed::new("has a dictionary in a column of booleans")),
    }
}

fn indexes(bytes: &[u8], window: Window, entries: usize) -> Result<Vec<u32>> {
    let (width, packed) = bytes.split_first().ok_or_else(ends)?;
    let mut ids: Vec<u32> = Vec::new();
    hybrid::decode(packed, *width, window.end(), &mut ids)?;
    ids.drain(..window.skip);
    match ids.iter().max() {
        Some(max) if *max as usize >= entries => {
            Err(Malformed::new("has a dictionary index beyond the dictionary"))
        }
        _ => Ok(ids),
    }
}

fn decode_strings(strings: &mut Strings, encoding: Encoding, bytes: &[u8], window: Window) -> Result<()> {
    match encoding {
        Encoding::Plain => {
            let mut rest = bytes;
            for i in 0..window.end() {
                let value = plain_bytes(&mut rest)?;
                if i >= window.skip {
                    strings.add_value(value)?;
                }
            }
            Ok(())
        }
        Encoding::DeltaLengthByteArray => {
            let (lengths, data) = delta::decode(bytes, super::MAX_PAGE_ENTRIES as usize)?;
            let mut rest = data;
            for (i, length) in lengths.iter().take(window.end()).enumerate() {
                let value = take(&mut rest, *length)?;
                if i >= window.skip {
                    strings.add_value(value)?;
                }
            }
            if lengths.len() < window.end() { Err(ends()) } else { Ok(()) }
        }
        Encoding::DeltaByteArray => {
            let (prefixes, rest) = delta::decode(bytes, super::MAX_PAGE_ENTRIES as usize)?;
            let (lengths, data) = delta::decode(rest, prefixes.len())?;
            let mut rest = data;
            let mut value = Vec::new();
            for (i, (prefix, length)) in prefixes.iter().zip(&lengths).take(window.end()).enumerate() {
                let prefix = usize::try_from(*prefix).ok().filter(|prefix| *prefix <= value.len());
                value.truncate(prefix.ok_or_else(ends)?);
                value.extend_from_slice(take(&mut rest, *length)?);
                if i >= window.skip {
                    strings.add_value(&value)?;
                }
            }
            if lengths.len() < window.end() { Err(ends()) } else { Ok(()) }
        }
        other => Err(Malformed::new(format!("has text in an unexpected encoding ({other:?})"))),
    }
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

fn plain_ints<'a>(
    bytes: &'a [u8],
    physical: Physical,
    window: Window,
) -> Result<Box<dyn Iterator<Item = i64> + 'a>> {
    Ok(match physical {
        Physical::Int32 => {
            Box::new(words::<4>(bytes, window)?.map(|word| i64::from(i32::from_le_bytes(word))))
        }
        _ => Box::new(words::<8>(bytes, window)?.map(i64::from_le_bytes)),
    })
}

fn words<const N: usize>(bytes: &[u8], window: Window) -> Result<impl Iterator<Item = [u8; N]> + '_> {
    let wanted = bytes.get(window.skip * N..window.end() * N).ok_or_else(ends)?;
    Ok(wanted.as_chunks::<N>().0.iter().copied())
}

fn ends() -> Malformed {
    Malformed::new("has a page that ends inside its values")
}

fn no_dictionary() -> Malformed {
    Malformed::new("has dictionary indexes but no dictionary")
}
