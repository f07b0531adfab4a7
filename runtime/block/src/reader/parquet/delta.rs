//! `DELTA_BINARY_PACKED`, which the other delta encodings build on.

use super::hybrid::word_at;
use super::{Malformed, Result};

/// Decodes all numbers; returns them and the bytes behind. `most` bounds how many there may be.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<(Vec<i64>, &[u8])> {
    let mut rest = bytes;
    let block = varint(&mut rest)?;
    let miniblocks = varint(&mut rest)?;
    let total = usize::try_from(varint(&mut rest)?).ok().filter(|total| *total <= most);
    let total = total.ok_or(Malformed::new("has more values in a page than it says"))?;
    let mut last = zigzag(&mut rest)?;
    let valid = (1..=1 << 20).contains(&block)
        && (1..=512).contains(&miniblocks)
        && block % miniblocks == 0
        && (block / miniblocks).is_multiple_of(8);
    if !valid {
        return Err(Malformed::new("has a delta encoding with impossible block sizes"));
    }
    let (miniblocks, size) = (miniblocks as usize, (block / miniblocks) as usize);

    let mut values = Vec::with_capacity(total);
    if total > 0 {
        values.push(last);
    }
    while values.len() < total {
        let least = zigzag(&mut rest)?;
        let (widths, after) = rest.split_at_checked(miniblocks).ok_or(ENDS)?;
        rest = after;
        for width in widths {
            let left = total - values.len();
            if left == 0 {
                break;
            }
            let wanted = left.min(size);
            unpack(&mut rest, *width, size, wanted, |delta| {
                last = last.wrapping_add(least).wrapping_add(delta as i64);
                values.push(last);
            })?;
        }
    }
    Ok((values, rest))
}

/// One miniblock: `size` numbers of `width` bits, of which `wanted` are meant.
fn unpack(rest: &mut &[u8], width: u8, size: usize, wanted: usize, mut each: impl FnMut(u64)) -> Result<()> {
    if width > 64 {
        return Err(Malformed::new("has numbers of more than 64 bits"));
    }
    let bits = usize::from(width);
    let needed = (wanted * bits).div_ceil(8);
    // The last miniblock may be cut off behind its last value.
    let stored = (size * bits / 8).min(rest.len());
    if stored < needed {
        return Err(ENDS);
    }
    let (packed, after) = rest.split_at(stored);
    *rest = after;
    let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
    for i in 0..wanted {
        let bit = i * bits;
        let (byte, shift) = (bit / 8, bit % 8);
        let mut value = word_at(packed, byte) >> shift;
        if shift + bits > 64 {
            value |= u64::from(packed.get(byte + 8).copied().unwrap_or(0)) << (64 - shift);
        }
        each(value & mask);
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(ENDS)?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(ENDS)
}

fn zigzag(rest: &mut &[u8]) -> Result<i64> {
    let value = varint(rest)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

const ENDS: Malformed = Malformed(std::borrow::Cow::Borrowed("has a page that ends inside its values"));
