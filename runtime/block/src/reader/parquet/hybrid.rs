//! The RLE / bit-packing hybrid: levels, dictionary indexes, booleans.

use super::{Malformed, Result};

/// What the decoder fills a vector with.
pub(super) trait Number: Copy {
    fn of(value: u32) -> Self;
}

impl Number for u8 {
    fn of(value: u32) -> Self {
        value as Self
    }
}

impl Number for u32 {
    fn of(value: u32) -> Self {
        value
    }
}

impl Number for bool {
    fn of(value: u32) -> Self {
        value != 0
    }
}

/// Appends `count` numbers of `width` bits to `out`.
pub(super) fn decode<T: Number>(bytes: &[u8], width: u8, count: usize, out: &mut Vec<T>) -> Result<()> {
    if width > 32 {
        return Err(Malformed::new("has numbers of more than 32 bits"));
    }
    let end = out.len() + count;
    if width == 0 {
        out.resize(end, T::of(0));
        return Ok(());
    }
    out.reserve(count);
    let mut rest = bytes;
    while out.len() < end {
        let head = varint(&mut rest)?;
        let left = end - out.len();
        if head & 1 == 0 {
            let run = usize::try_from(head >> 1).unwrap_or(usize::MAX).min(left);
            let value = repeated_value(&mut rest, width)?;
            out.resize(out.len() + run, T::of(value));
        } else {
            packed_groups(&mut rest, head >> 1, width, left, out)?;
        }
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(ENDS)?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(ENDS)
}

fn repeated_value(rest: &mut &[u8], width: u8) -> Result<u32> {
    let (bytes, after) = rest.split_at_checked(usize::from(width).div_ceil(8)).ok_or(ENDS)?;
    *rest = after;
    Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

/// Groups of 8 numbers, `width` bytes each. The last group of a page may be cut off behind the
/// numbers that are needed.
fn packed_groups<T: Number>(
    rest: &mut &[u8],
    groups: u64,
    width: u8,
    left: usize,
    out: &mut Vec<T>,
) -> Result<()> {
    let groups = usize::try_from(groups).unwrap_or(usize::MAX);
    let wanted = groups.saturating_mul(8).min(left);
    if wanted == 0 {
        return Err(ENDS);
    }
    let needed = (wanted * usize::from(width)).div_ceil(8);
    let stored = groups.saturating_mul(usize::from(width)).min(rest.len());
    if stored < needed {
        return Err(ENDS);
    }
    let (packed, after) = rest.split_at(stored);
    *rest = after;
    if width <= 8 {
        unpack_narrow(packed, width, wanted, out);
    } else {
        unpack(packed, width, wanted, out);
    }
    Ok(())
}

/// Numbers of up to 8 bits: a group of 8 fits into a word.
fn unpack_narrow<T: Number>(packed: &[u8], width: u8, wanted: usize, out: &mut Vec<T>) {
    let mask = (1u64 << width) - 1;
    let mut left = wanted;
    for group in packed.chunks(usize::from(width)) {
        let mut word = [0; 8];
        word[..group.len()].copy_from_slice(group);
        let word = u64::from_le_bytes(word);
        if left >= 8 {
            out.extend((0..8).map(|i| T::of((word >> (i * width) & mask) as u32)));
            left -= 8;
        } else {
            out.extend((0..left as u8).map(|i| T::of((word >> (i * width) & mask) as u32)));
            return;
        }
    }
}

fn unpack<T: Number>(packed: &[u8], width: u8, wanted: usize, out: &mut Vec<T>) {
    let mask = (1u64 << width) - 1;
    out.extend((0..wanted).map(|i| {
        let bit = i * usize::from(width);
        T::of((word_at(packed, bit / 8) >> (bit % 8) & mask) as u32)
    }));
}

/// Eight bytes from `at`, zeros behind the end.
pub(super) fn word_at(bytes: &[u8], at: usize) -> u64 {
    if let Some(word) = bytes.get(at..at + 8).and_then(|word| word.try_into().ok()) {
        return u64::from_le_bytes(word);
    }
    let mut word = [0; 8];
    let rest = bytes.get(at..).unwrap_or_default();
    let length = rest.len().min(8);
    word[..length].copy_from_slice(&rest[..length]);
    u64::from_le_bytes(word)
}

const ENDS: Malformed =
    Malformed(std::borrow::Cow::Borrowed("has a page that ends inside its levels or indexes"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_groups_alternate() {
        // 5 × value 3, then one group 0..8 of 3 bits.
        let bytes = [5 << 1, 3, 0b11, 0x88, 0xc6, 0xfa];
        let mut out: Vec<u8> = Vec::new();
        decode(&bytes, 3, 13, &mut out).unwrap();
        assert_eq!(out, [3, 3, 3, 3, 3, 0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn wide_numbers_cross_bytes() {
        let values: Vec<u32> = (0..16).map(|i| i * 4001 % (1 << 17)).collect();
        let mut bits = 0u128;
        let mut packed = vec![(2 << 1) | 1];
        for half in values.chunks(8) {
            for (i, value) in half.iter().enumerate() {
                bits |= u128::from(*value) << (17 * i);
            }
            // 8 × 17 bits do not fit into 128: write the last value's top bits by hand.
            let mut bytes = bits.to_le_bytes().to_vec();
            bytes.push((u128::from(half[7]) >> (128 - 17 * 7)) as u8);
            packed.extend_from_slice(&bytes[..17]);
            bits = 0;
        }
        let mut out: Vec<u32> = Vec::new();
        decode(&packed, 17, 16, &mut out).unwrap();
        assert_eq!(out, values);
    }

    #[test]
    fn truncated_bytes_are_errors() {
        for bytes in [&[][..], &[0x80], &[4], &[3, 1], &[1]] {
            let mut out: Vec<u8> = Vec::new();
            assert!(decode(bytes, 8, 9, &mut out).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn absurd_run_yields_only_what_is_asked_for() {
        let mut out: Vec<u32> = Vec::new();
        decode(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0x07, 7], 8, 3, &mut out).unwrap();
        assert_eq!(out, [7, 7, 7]);
    }
}
