//! Thrift's compact protocol, reading only.

use super::{Malformed, Result};

/// Type of a field or list element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    /// i16, i32 and i64 look alike: a zigzag varint.
    Int,
    Double,
    Bytes,
    List,
    Map,
    Struct,
}

/// Structures of the format nest a handful deep.
const MAX_DEPTH: u32 = 16;

/// A position in encoded bytes.
pub(super) struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Compact<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).ok_or(ENDS)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::new("holds an overlong varint"))
    }

    pub(super) fn int(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number that is a length, count or offset.
    pub(super) fn unsigned(&mut self) -> Result<u64> {
        u64::try_from(self.int()?).map_err(|_| Malformed::new("holds a negative length or offset"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| ENDS)?;
        let end = self.at.checked_add(length).ok_or(ENDS)?;
        let bytes = self.bytes.get(self.at..end).ok_or(ENDS)?;
        self.at = end;
        Ok(bytes)
    }

    /// Kind and number of a list's elements. Each takes a byte at least, so that the number never
    /// exceeds the bytes left.
    pub(super) fn list(&mut self) -> Result<(Kind, usize)> {
        let head = self.byte()?;
        let length = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        let left = self.bytes.len() - self.at;
        let length = usize::try_from(length).ok().filter(|length| *length <= left).ok_or(ENDS)?;
        Ok((kind(head & 0x0f)?, length))
    }

    /// Number of elements of a list that must hold `expected` (an empty list may hold anything).
    pub(super) fn list_of(&mut self, expected: Kind) -> Result<usize> {
        let (kind, length) = self.list()?;
        if kind != expected && length > 0 {
            return Err(Malformed::new("holds a list of another type than the format says"));
        }
        Ok(length)
    }

    /// Calls `each` with every field of a struct; it reads the value or skips it.
    pub(super) fn fields(&mut self, mut each: impl FnMut(&mut Self, i64, Kind) -> Result<()>) -> Result<()> {
        let mut id = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.int()?,
                step => id
                    .checked_add(i64::from(step))
                    .ok_or(Malformed::of("numbers its fields beyond all bounds"))?,
            };
            each(self, id, kind(head & 0x0f)?)?;
        }
    }

    pub(super) fn skip(&mut self, kind: Kind) -> Result<()> {
        self.skip_nested(kind, 0)
    }

    fn skip_nested(&mut self, kind: Kind, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Malformed::new("nests too deep"));
        }
        match kind {
            Kind::True | Kind::False => Ok(()),
            Kind::Byte => self.byte().map(drop),
            Kind::Int => self.varint().map(drop),
            Kind::Double => (0..8).try_for_each(|_| self.byte().map(drop)),
            Kind::Bytes => self.bytes().map(drop),
            Kind::List => {
                let (kind, length) = self.list()?;
                (0..length).try_for_each(|_| self.skip_element(kind, depth))
            }
            Kind::Map => Err(Malformed::new("holds a map, which the format has none of")),
            Kind::Struct => self.fields(|this, _, kind| this.skip_nested(kind, depth + 1)),
        }
    }

    /// In lists a boolean takes a byte.
    fn skip_element(&mut self, kind: Kind, depth: u32) -> Result<()> {
        match kind {
            Kind::True | Kind::False => self.byte().map(drop),
            kind => self.skip_nested(kind, depth + 1),
        }
    }
}

const ENDS: Malformed = Malformed(std::borrow::Cow::Borrowed("ends inside a structure"));

fn kind(code: u8) -> Result<Kind> {
    Ok(match code {
        1 => Kind::True,
        2 => Kind::False,
        3 => Kind::Byte,
        4..=6 => Kind::Int,
        7 => Kind::Double,
        8 => Kind::Bytes,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Struct,
        _ => return Err(Malformed::new("holds an unknown thrift type")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_numbers_beyond_all_bounds_are_an_error() {
        // Field 2^63 - 1, a byte; then one field further.
        let bytes = [3, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0x13, 0, 0];
        let read = Compact::new(&bytes).fields(|thrift, _, kind| thrift.skip(kind));
        assert_eq!(read.unwrap_err().to_string(), "numbers its fields beyond all bounds");
    }
}
