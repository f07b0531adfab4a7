/// Which of `names` owns a thing, such as the block with this id: each has one owner, and when a name comes or goes only
/// its own things change hands (rendezvous hashing). The order of the names does not matter.
///
/// The retrievers that share a query compute this each for itself, so the result must never change while two
/// versions run side by side.
pub fn owner<'a>(thing: &[u8], names: &'a [String]) -> Option<&'a str> {
    let names = names.iter().map(String::as_str);
    names.max_by_key(|name| (weight(name, thing), *name))
}

fn weight(name: &str, thing: &[u8]) -> u64 {
    // FNV-1a, which mixes its last bytes badly, then the finaliser of MurmurHash3.
    let bytes = name.bytes().chain(thing.iter().copied());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

/// The finaliser of MurmurHash3: every input bit moves every output bit. Decides who gets what, so it must not change
/// while two versions run side by side.
pub const fn mix(mut value: u64) -> u64 {
    value ^= value >> 33;
    value = value.wrapping_mul(0xff51_afd7_ed55_8ccd);
    value ^= value >> 33;
    value = value.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: u32 = 3000;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("retriever-{number}")).collect()
    }

    fn id(number: u32) -> [u8; 16] {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn each_has_about_the_same_share() {
        let names = names(3);
        for name in &names {
            let share =
                (0..BLOCKS).filter(|number| owner(&id(*number), &names) == Some(name.as_str())).count();
            assert!((900..1100).contains(&share), "{name}: {share} of {BLOCKS}");
        }
        assert_eq!(owner(&id(1), &[]), None);
    }

    #[test]
    fn only_the_blocks_of_who_leaves_change_hands() {
        let (all, left) = (names(4), names(3));
        for number in 0..BLOCKS {
            let before = owner(&id(number), &all);
            if before != Some("retriever-3") {
                assert_eq!(owner(&id(number), &left), before);
            }
        }
    }

    #[test]
    fn the_order_of_names_does_not_matter_and_the_result_is_fixed() {
        let (forwards, mut backwards) = (names(5), names(5));
        backwards.reverse();
        assert!((0..BLOCKS).all(|number| owner(&id(number), &forwards) == owner(&id(number), &backwards)));
        let owners: Vec<_> = (0..6).map(|number| owner(&id(number), &forwards).unwrap()).collect();
        assert_eq!(owners, FIXED);
    }

    /// Computed once; a change would make retrievers of two versions disagree.
    const FIXED: [&str; 6] =
        ["retriever-3", "retriever-2", "retriever-0", "retriever-2", "retriever-4", "retriever-2"];
}
