//! Rendezvous hashing of traces over ingesters, owners in as many zones as there are.

use tempoform_core::{TraceId, mix};

/// Ingesters, by position, and how many of them own each trace.
#[derive(Clone, Debug)]
pub(crate) struct Rendezvous {
    /// Of each ingester, from its name.
    seeds: Vec<u64>,
    /// Of each ingester, as a small number.
    zones: Vec<usize>,
    replication_factor: usize,
}

/// Ids that shares are computed from: enough for a hundredth.
const SAMPLE: u64 = 10_000;

/// The share of all copies of traces that each of `ingesters` (name and zone; empty = zones do not matter) owns with
/// `replication_factor` copies, on a sample of ids. Shares add up to 1.
pub fn ownership(ingesters: &[(&str, &str)], replication_factor: usize) -> Vec<f64> {
    let rendezvous = Rendezvous::new(ingesters, replication_factor);
    let owners = replication_factor.clamp(1, ingesters.len().max(1));
    let mut owned = vec![0_u32; ingesters.len()];
    let mut order = Vec::new();
    for id in 0..SAMPLE {
        let id = u128::from(mix(id)) << 64 | u128::from(mix(!id));
        rendezvous.order(&TraceId::new(id.to_be_bytes()), &mut order);
        order.iter().take(owners).for_each(|at| owned[*at as usize] += 1);
    }
    owned.into_iter().map(|owned| f64::from(owned) / (SAMPLE as f64 * owners as f64)).collect()
}

impl Rendezvous {
    /// `ingesters` by name and zone. Names decide which traces they get, so they outlive restarts.
    pub(crate) fn new(ingesters: &[(&str, &str)], replication_factor: usize) -> Self {
        let zone = |zone: &str| ingesters.iter().position(|(_, other)| *other == zone).unwrap_or_default();
        Self {
            seeds: ingesters.iter().map(|(name, _)| seed(name)).collect(),
            zones: ingesters.iter().map(|(_, of)| zone(of)).collect(),
            replication_factor: replication_factor.max(1),
        }
    }

    /// Positions of all ingesters, the trace's owners first, then those that stand in for them. Owners are in as many
    /// zones as there are.
    pub(crate) fn order(&self, id: &TraceId, order: &mut Vec<u32>) {
        order.clear();
        order.extend(0..self.seeds.len() as u32);
        order.sort_unstable_by_key(|at| std::cmp::Reverse(self.weight(*at, id)));
        self.spread_over_zones(order);
    }

    /// The ingesters with the highest weights own the trace.
    fn weight(&self, at: u32, id: &TraceId) -> u64 {
        let id = u128::from_be_bytes(*id.as_bytes());
        mix(self.seeds[at as usize] ^ (id as u64) ^ mix((id >> 64) as u64))
    }

    /// Brings the best member of each zone to the front, in their order among themselves.
    fn spread_over_zones(&self, order: &mut [u32]) {
        let zone = |at: u32| self.zones[at as usize];
        for owner in 1..self.replication_factor.min(order.len()) {
            let taken = |at: u32| order[..owner].iter().any(|chosen| zone(*chosen) == zone(at));
            if let Some(next) = (owner..order.len()).find(|next| !taken(order[*next])) {
                order[owner..=next].rotate_right(1);
            }
        }
    }
}

fn seed(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_follow_zones() {
        let near = |share: f64, wanted: f64| assert!((share - wanted).abs() < 0.02, "{share}, not {wanted}");
        let alike = ownership(&[("a", ""), ("b", ""), ("c", ""), ("d", "")], 3);
        alike.iter().for_each(|share| near(*share, 0.25));
        near(alike.iter().sum(), 1.0);
        // The only one of its zone has a copy of every trace.
        let zones = ownership(&[("a", "one"), ("b", "one"), ("c", "two")], 2);
        [0.25, 0.25, 0.5].iter().zip(zones).for_each(|(wanted, share)| near(share, *wanted));
        assert_eq!(ownership(&[("a", "")], 3), [1.0]);
        assert!(ownership(&[], 3).is_empty());
    }
}
