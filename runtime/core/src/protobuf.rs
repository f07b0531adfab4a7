//! Reading protobuf wire format in place, without decoding messages.
//!
//! Source: the [protobuf encoding](https://protobuf.dev/programming-guides/encoding/). Groups (wire
//! types 3 and 4) are refused: proto3 has none.

/// Wire bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A varint, length or fixed-width value runs past the end.
    #[error("ends inside a field")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("holds a varint of more than 64 bits")]
    LongVarint,
    /// Field number 0, or one above 2^29 - 1.
    #[error("holds a field number out of range")]
    FieldNumber,
    /// A group, or a wire type that does not exist.
    #[error("holds an unknown wire type")]
    WireType,
}

/// One field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: bytes, string, submessage or packed field.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// Goes through the fields of one message.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message whose body is `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next field's tag in the body.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The next field: its number and value; `None` at the end.
    ///
    /// # Errors
    /// The first thing that is not wire format; do not go on after it.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::FieldNumber)?;
        if number == 0 || number >= 1 << 29 {
            return Err(WireError::FieldNumber);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(WireError::WireType),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        let rest = &self.bytes[self.at..];
        match rest {
            [first, ..] if *first < 0x80 => {
                self.at += 1;
                return Ok(u64::from(*first));
            }
            [first, second, ..] if *second < 0x80 => {
                self.at += 2;
                return Ok(u64::from(first & 0x7f) | u64::from(*second) << 7);
            }
            _ => {}
        }
        let mut value = 0;
        for (i, byte) in rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            // Nine bytes hold 63 bits, so of the tenth only the lowest bit may be set: decoders refuse the rest.
            if i == 9 && *byte >= 2 {
                return Err(WireError::LongVarint);
            }
            if *byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(WireError::Truncated)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(length).ok_or(WireError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(WireError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| WireError::Truncated)
    }
}

/// Length of `value` as a varint.
pub const fn varint_len(value: u64) -> usize {
    // 9/64 is 1/7 rounded up far enough for 64 bits; 0 takes a byte too.
    ((64 - (value | 1).leading_zeros()) as usize * 9 + 64) / 64
}

/// Appends `value` as a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the tag and length of a length-delimited field (`number` below 16) of `length` bytes.
pub fn put_bytes_header(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push((number << 3) | 2);
    put_varint(out, length as u64);
}

/// Appends a length-delimited field (`number` below 16).
pub fn put_bytes(out: &mut Vec<u8>, number: u8, body: &[u8]) {
    put_bytes_header(out, number, body.len());
    out.extend_from_slice(body);
}

/// Size of a length-delimited field (number below 16) whose body is `length` bytes.
pub const fn bytes_field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_their_boundaries() {
        for shift in 0..64 {
            for value in [(1u64 << shift) - 1, 1 << shift, u64::MAX] {
                let mut bytes = vec![8];
                put_varint(&mut bytes, value);
                assert_eq!(bytes.len() - 1, varint_len(value), "{value}");
                let field = Fields::new(&bytes).next_field();
                assert_eq!(field, Ok(Some((1, Value::Varint(value)))));
            }
        }
    }

    #[test]
    fn damage_is_an_error_not_a_panic() {
        let cases: [(&[u8], WireError); 8] = [
            (&[0x08], WireError::Truncated),
            (&[0x08, 0x80], WireError::Truncated),
            (&[0x0a, 0x05, 1], WireError::Truncated),
            (&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], WireError::LongVarint),
            (&[0x08, 128, 128, 128, 128, 128, 128, 128, 128, 128, 2], WireError::LongVarint),
            (&[0x00, 0x00], WireError::FieldNumber),
            (&[0x0b], WireError::WireType),
            (&[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 127], WireError::Truncated),
        ];
        for (bytes, error) in cases {
            assert_eq!(Fields::new(bytes).next_field(), Err(error), "{bytes:x?}");
        }
    }
}
