//! Parquet's encodings: levels and dictionary numbers as runs and bit-packed groups, integers as
//! packed differences. Source: the format's `Encodings.md`.

use tempoform_core::protobuf::put_varint;

/// Groups of eight in one bit-packed run, so that its header is one byte.
const MAX_GROUPS: usize = 63;

/// Appends `levels`, none above `max`, as runs without a length in front, as version 2 pages have them.
pub(super) fn put_levels(out: &mut Vec<u8>, levels: &[u8], max: u8) {
    if max == 0 {
        return;
    }
    let width = u32::from(max).ilog2() + 1;
    let mut rest = levels;
    while let Some(first) = rest.first() {
        let run = run_length(rest);
        if run >= 8 || run == rest.len() {
            put_varint(out, (run as u64) << 1);
            out.push(*first);
            rest = &rest[run..];
        } else {
            rest = put_packed_levels(out, rest, width);
        }
    }
}

/// Appends one bit-packed run from the start of `levels`; returns what follows it.
fn put_packed_levels<'a>(out: &mut Vec<u8>, mut levels: &'a [u8], width: u32) -> &'a [u8] {
    let header = out.len();
    out.push(0);
    let mut groups = 0;
    while groups < MAX_GROUPS && !levels.is_empty() {
        if let Some(group) = levels.first_chunk::<8>() {
            if groups > 0 && is_run(levels) {
                break;
            }
            let packed = pack_eight(u64::from_le_bytes(*group), width);
            out.extend_from_slice(&packed.to_le_bytes()[..width as usize]);
            levels = &levels[8..];
        } else {
            let mut group = [0; 8];
            group[..levels.len()].copy_from_slice(levels);
            let packed = pack_eight(u64::from_le_bytes(group), width);
            out.extend_from_slice(&packed.to_le_bytes()[..width as usize]);
            levels = &[];
        }
        groups += 1;
    }
    out[header] = (groups as u8) << 1 | 1;
    levels
}

/// Whether a run of 16 or more starts here, which is worth ending a bit-packed run for.
fn is_run(levels: &[u8]) -> bool {
    levels.first_chunk::<16>().is_some_and(|chunk| u128::from_le_bytes(*chunk) == splat(chunk[0]))
}

fn splat(level: u8) -> u128 {
    u128::from(level) * (u128::MAX / 255)
}

/// How often the first level stands at the start.
fn run_length(levels: &[u8]) -> usize {
    let Some(first) = levels.first() else { return 0 };
    let pattern = splat(*first);
    let (chunks, _) = levels.as_chunks::<16>();
    let whole = chunks.iter().take_while(|chunk| u128::from_le_bytes(**chunk) == pattern).count() * 16;
    whole + levels[whole..].iter().take_while(|level| *level == first).count()
}

/// Packs eight bytes of at most `width` (1 to 3) bits into `width` bytes, the first lowest.
const fn pack_eight(bytes: u64, width: u32) -> u64 {
    let gap = 8 - width;
    let pairs = (bytes & 0x00ff_00ff_00ff_00ff) | (bytes & 0xff00_ff00_ff00_ff00) >> gap;
    let fours = (pairs & 0x0000_ffff_0000_ffff) | (pairs & 0xffff_0000_ffff_0000) >> (2 * gap);
    (fours & 0xffff_ffff) | (fours >> 32) << (4 * width)
}

/// Appends dictionary numbers, none at or above `distinct`: the bit width, then runs.
pub(super) fn put_numbers(out: &mut Vec<u8>, numbers: &[u32], distinct: usize) {
    let width = distinct.saturating_sub(1).checked_ilog2().map_or(0, |bits| bits + 1);
    out.push(width as u8);
    let mut rest = numbers;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|number| *number == first).count();
        if width == 0 || run >= 8 || run == rest.len() {
            put_varint(out, (run as u64) << 1);
            out.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
            rest = &rest[run..];
        } else {
            rest = put_packed_numbers(out, rest, width);
        }
    }
}

fn put_packed_numbers<'a>(out: &mut Vec<u8>, mut numbers: &'a [u32], width: u32) -> &'a [u32] {
    let header = out.len();
    out.push(0);
    let mut groups = 0;
    while groups < MAX_GROUPS && !numbers.is_empty() {
        if let Some((group, rest)) = numbers.split_first_chunk::<8>() {
            if groups > 0 && group.iter().all(|number| *number == group[0]) {
                break;
            }
            put_bits(out, group.map(u64::from), width);
            numbers = rest;
        } else {
            let mut group = [0; 8];
            for (slot, number) in group.iter_mut().zip(numbers) {
                *slot = u64::from(*number);
            }
            put_bits(out, group, width);
            numbers = &[];
        }
        groups += 1;
    }
    out[header] = (groups as u8) << 1 | 1;
    numbers
}

/// Appends values of at most `width` (0 to 64) bits each, lowest first. `N` is a multiple of 8.
fn put_bits<const N: usize>(out: &mut Vec<u8>, values: [u64; N], width: u32) {
    let (mut held, mut bits) = (0u128, 0);
    for value in values {
        held |= u128::from(value) << bits;
        bits += width;
        if bits >= 64 {
            out.extend_from_slice(&(held as u64).to_le_bytes());
            held >>= 64;
            bits -= 64;
        }
    }
    out.extend_from_slice(&held.to_le_bytes()[..bits.div_ceil(8) as usize]);
}

/// Differences in one block.
const BLOCK: usize = 128;
/// Differences in one miniblock.
const MINIBLOCK: usize = 32;

/// Appends 64-bit integers as packed differences.
pub(super) fn put_deltas_64(out: &mut Vec<u8>, values: &[i64]) {
    put_delta_header(out, values.len(), values.first().copied().unwrap_or(0));
    let mut deltas = [0; BLOCK];
    for (pairs, first) in delta_blocks(values) {
        let count = pairs.len();
        let mut previous = first;
        for (delta, value) in deltas.iter_mut().zip(pairs) {
            *delta = value.wrapping_sub(previous);
            previous = *value;
        }
        let least = deltas[..count].iter().copied().min().unwrap_or(0);
        let above = deltas.map(|delta| delta.wrapping_sub(least) as u64);
        put_delta_block(out, least, above, count);
    }
}

/// Appends 32-bit integers as packed differences, which wrap at 32 bits.
pub(super) fn put_deltas_32(out: &mut Vec<u8>, values: &[i32]) {
    put_delta_header(out, values.len(), values.first().copied().unwrap_or(0).into());
    let mut deltas = [0; BLOCK];
    for (pairs, first) in delta_blocks(values) {
        let count = pairs.len();
        let mut previous = first;
        for (delta, value) in deltas.iter_mut().zip(pairs) {
            *delta = value.wrapping_sub(previous);
            previous = *value;
        }
        let least = deltas[..count].iter().copied().min().unwrap_or(0);
        let above = deltas.map(|delta| u64::from(delta.wrapping_sub(least) as u32));
        put_delta_block(out, least.into(), above, count);
    }
}

/// The values after the first in blocks, each with the value before it.
fn delta_blocks<T: Copy>(values: &[T]) -> impl Iterator<Item = (&[T], T)> {
    let starts = (0..values.len().saturating_sub(1)).step_by(BLOCK);
    starts.map(move |start| (&values[start + 1..values.len().min(start + 1 + BLOCK)], values[start]))
}

fn put_delta_header(out: &mut Vec<u8>, count: usize, first: i64) {
    put_varint(out, BLOCK as u64);
    put_varint(out, (BLOCK / MINIBLOCK) as u64);
    put_varint(out, count as u64);
    put_varint(out, zigzag(first));
}

/// Appends one block of `count` differences, each given by how far it is above the least.
fn put_delta_block(out: &mut Vec<u8>, least: i64, mut above: [u64; BLOCK], count: usize) {
    above[count..].fill(0);
    put_varint(out, zigzag(least));
    let (minis, _) = above.as_chunks::<MINIBLOCK>();
    let mut widths = [0; BLOCK / MINIBLOCK];
    for (width, mini) in widths.iter_mut().zip(minis) {
        let all = mini.iter().fold(0, |all, delta| all | delta);
        *width = 64 - all.leading_zeros();
    }
    out.extend_from_slice(&widths.map(|width| width as u8));
    // Miniblocks that hold nothing but padding are left out.
    for (width, mini) in widths.iter().zip(minis).take(count.div_ceil(MINIBLOCK)) {
        if *width > 0 {
            put_bits(out, *mini, *width);
        }
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends booleans, eight to a byte, the first lowest.
pub(super) fn put_bools(out: &mut Vec<u8>, values: &[bool]) {
    for group in values.chunks(8) {
        out.push(group.iter().enumerate().fold(0, |byte, (i, value)| byte | u8::from(*value) << i));
    }
}

#[cfg(test)]
mod tests;
