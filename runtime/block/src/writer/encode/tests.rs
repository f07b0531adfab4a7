use proptest::prelude::*;

use super::*;

/// Reads runs and bit-packed groups, the way the format describes them.
fn read_runs(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
    let mut values = Vec::new();
    while values.len() < count {
        let mut header = 0u64;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            bytes = &bytes[1..];
            header |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        if header & 1 == 0 {
            let length = width.div_ceil(8) as usize;
            let mut value = [0; 4];
            value[..length].copy_from_slice(&bytes[..length]);
            bytes = &bytes[length..];
            values.extend(std::iter::repeat_n(u32::from_le_bytes(value), (header >> 1) as usize));
        } else {
            let length = (header >> 1) as usize * width as usize;
            let (packed, rest) = bytes.split_at(length);
            bytes = rest;
            for i in 0..(header >> 1) as usize * 8 {
                let bit = |b: u32| {
                    let at = i * width as usize + b as usize;
                    u32::from(packed[at / 8] >> (at % 8) & 1) << b
                };
                values.push((0..width).map(bit).sum());
            }
        }
    }
    assert!(bytes.is_empty());
    values.truncate(count);
    values
}

/// Values in runs of all lengths.
fn runs(max: u32) -> impl Strategy<Value = Vec<u32>> {
    let run = (0..=max, prop_oneof![1..4usize, 5..40usize, 490..530usize]);
    prop::collection::vec(run, 0..30).prop_map(|runs| {
        runs.into_iter().flat_map(|(value, count)| std::iter::repeat_n(value, count)).collect()
    })
}

proptest! {
    #[test]
    fn levels_round_trip((max, levels) in (1..7u32).prop_flat_map(|max| (Just(max), runs(max)))) {
        let narrow: Vec<u8> = levels.iter().map(|level| *level as u8).collect();
        let mut out = Vec::new();
        put_levels(&mut out, &narrow, max as u8);
        prop_assert_eq!(read_runs(&out, max.ilog2() + 1, levels.len()), levels);
    }

    #[test]
    fn dictionary_numbers_round_trip(
        (distinct, numbers) in prop_oneof![1..4u32, 4..40u32, 1000..2_000_000u32]
            .prop_flat_map(|distinct| (Just(distinct), runs(distinct - 1))),
    ) {
        let mut out = Vec::new();
        put_numbers(&mut out, &numbers, distinct as usize);
        let width = u32::from(out[0]);
        prop_assert_eq!(width, 32 - (distinct - 1).leading_zeros());
        prop_assert_eq!(read_runs(&out[1..], width, numbers.len()), numbers);
    }

    #[test]
    fn packed_differences_of_64_bits_round_trip(
        values in prop::collection::vec(prop_oneof![any::<i64>(), 0..100i64, Just(i64::MIN), Just(i64::MAX)], 0..700),
    ) {
        let mut out = Vec::new();
        put_deltas_64(&mut out, &values);
        prop_assert_eq!(read_deltas(&out, 64), values);
    }

    #[test]
    fn packed_differences_of_32_bits_round_trip(
        values in prop::collection::vec(prop_oneof![any::<i32>(), -1..100i32, Just(i32::MIN), Just(i32::MAX)], 0..700),
    ) {
        let mut out = Vec::new();
        put_deltas_32(&mut out, &values);
        let wide: Vec<i64> = values.into_iter().map(i64::from).collect();
        prop_assert_eq!(read_deltas(&out, 32), wide);
    }
}

/// Reads packed differences, the way the format describes them; widths above `bits` are refused.
fn read_deltas(bytes: &[u8], bits: u32) -> Vec<i64> {
    let at = std::cell::Cell::new(0);
    let varint = || {
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let byte = bytes[at.get()];
            at.set(at.get() + 1);
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    };
    let unzigzag = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
    let wrap = |value: i64| if bits == 32 { i64::from(value as i32) } else { value };
    let (block, minis, count) = (varint() as usize, varint() as usize, varint() as usize);
    let mut values = vec![unzigzag(varint())];
    while values.len() < count {
        let least = unzigzag(varint());
        let widths = &bytes[at.get()..at.get() + minis];
        at.set(at.get() + minis);
        for width in widths.iter().map(|width| u32::from(*width)) {
            assert!(width <= bits);
            if values.len() >= count {
                assert_eq!(width, 0);
                continue;
            }
            let per_mini = block / minis;
            let packed = &bytes[at.get()..at.get() + per_mini * width as usize / 8];
            at.set(at.get() + packed.len());
            for i in 0..per_mini {
                let bit = |b: u32| {
                    let at = i * width as usize + b as usize;
                    u64::from(packed[at / 8] >> (at % 8) & 1) << b
                };
                let above: u64 = (0..width).map(bit).sum();
                let last = values[values.len() - 1];
                values.push(wrap(last.wrapping_add(least).wrapping_add(above as i64)));
            }
        }
    }
    assert_eq!(at.get(), bytes.len());
    values.truncate(count);
    values
}

#[test]
fn booleans_are_packed_lowest_first() {
    let mut out = Vec::new();
    put_bools(&mut out, &[true, false, false, true, false, false, false, true, true]);
    assert_eq!(out, [0b1000_1001, 1]);
}
