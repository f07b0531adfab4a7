//! What a distributor hands to ingesters: batches that one of them leads and others follow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use roaring::RoaringTreemap;
use tempoform_wire::internal::Batches;
use uuid::Uuid;

use crate::{Compressed, Error, ErrorKind, Result, SpanBatch};

/// Names a batch of spans in every ingester that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// The distributor process that made the batch: random at its start, never 0.
    pub origin: u64,
    /// Counts up within the origin.
    pub number: u64,
}

/// Gives out the ids of one distributor.
#[derive(Debug)]
pub struct BatchIds {
    origin: u64,
    next: AtomicU64,
}

impl Default for BatchIds {
    fn default() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        Self { origin: (high ^ low).max(1), next: AtomicU64::new(0) }
    }
}

impl BatchIds {
    /// An id that was not given out before.
    pub fn next(&self) -> BatchId {
        BatchId { origin: self.origin, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}

/// What one ingester gets of a request. It answers once all of it is durable.
#[derive(Clone, Debug, Default)]
pub struct Push {
    /// Batches that the ingester indexes, answers for and makes a block of.
    pub led: Vec<Led>,
    /// Batches that it only keeps until a leader has them in storage.
    pub followed: Vec<Followed>,
}

/// A batch for its leader, whole.
#[derive(Clone, Debug)]
pub struct Led {
    /// `None` where nobody follows.
    pub id: Option<BatchId>,
    /// Its spans.
    pub spans: SpanBatch,
    /// The same for the way to another process, where it is worth that.
    pub compressed: Option<Compressed>,
}

/// A batch, or the part of it that this ingester stands by for.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The same at the leader.
    pub id: BatchId,
    /// Whether this is all of the batch. Only then whoever has it may lead it under its name.
    pub whole: bool,
    /// A request that passed [`scan_export_request`](crate::scan_export_request) at the distributor.
    pub spans: Compressed,
}

impl From<SpanBatch> for Push {
    /// A batch that nobody follows.
    fn from(spans: SpanBatch) -> Self {
        Self { led: vec![Led { id: None, spans, compressed: None }], followed: Vec::new() }
    }
}

impl Push {
    /// Bytes of all spans, of what is followed compressed.
    pub fn bytes(&self) -> u64 {
        let led = self.led.iter().map(|led| led.spans.payload.len() as u64);
        let followed = self.followed.iter().map(|followed| followed.spans.bytes().len() as u64);
        led.chain(followed).sum()
    }
}

/// A set of batches. Small, as numbers of one origin mostly lie close together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchSet(BTreeMap<u64, RoaringTreemap>);

impl BatchSet {
    /// Adds a batch.
    pub fn insert(&mut self, id: BatchId) {
        self.0.entry(id.origin).or_default().insert(id.number);
    }

    /// Whether the batch is in it.
    pub fn contains(&self, id: BatchId) -> bool {
        self.0.get(&id.origin).is_some_and(|numbers| numbers.contains(id.number))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.values().map(RoaringTreemap::len).sum()
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        for (origin, numbers) in &other.0 {
            *self.0.entry(*origin).or_default() |= numbers;
        }
    }

    /// Takes all of `other` out.
    pub fn remove(&mut self, other: &Self) {
        for (origin, numbers) in &other.0 {
            if let Some(own) = self.0.get_mut(origin) {
                *own -= numbers;
                if own.is_empty() {
                    self.0.remove(origin);
                }
            }
        }
    }

    /// Those that are in `other` too.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let common = self.0.iter().filter_map(|(origin, numbers)| {
            let common = numbers & other.0.get(origin)?;
            (!common.is_empty()).then_some((*origin, common))
        });
        Self(common.collect())
    }

    /// The set as it goes over the wire and to disk: numbers in the
    /// [portable format](https://github.com/RoaringBitmap/RoaringFormatSpec) of 64-bit roaring bitmaps.
    pub fn to_wire(&self) -> Vec<Batches> {
        let wire = self.0.iter().map(|(origin, numbers)| {
            let mut bytes = Vec::with_capacity(numbers.serialized_size());
            // Writing to memory cannot fail.
            drop(numbers.serialize_into(&mut bytes));
            Batches { origin: *origin, numbers: bytes.into() }
        });
        wire.collect()
    }

    /// The inverse of [`to_wire`](Self::to_wire).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the bytes are not in the format.
    pub fn from_wire(wire: &[Batches]) -> Result<Self> {
        let mut set = Self::default();
        for Batches { origin, numbers } in wire {
            let numbers = RoaringTreemap::deserialize_from(&numbers[..])
                .map_err(|error| Error::new(ErrorKind::Invalid, format!("a set of batches: {error}")))?;
            if !numbers.is_empty() {
                *set.0.entry(*origin).or_default() |= numbers;
            }
        }
        Ok(set)
    }
}

impl Extend<BatchId> for BatchSet {
    fn extend<T: IntoIterator<Item = BatchId>>(&mut self, ids: T) {
        ids.into_iter().for_each(|id| self.insert(id));
    }
}

impl FromIterator<BatchId> for BatchSet {
    fn from_iter<T: IntoIterator<Item = BatchId>>(ids: T) -> Self {
        let mut set = Self::default();
        set.extend(ids);
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn ids() -> impl Strategy<Value = HashSet<BatchId>> {
        let id = (1..4u64, prop_oneof![0..40u64, (u64::MAX - 3)..=u64::MAX]);
        proptest::collection::hash_set(id.prop_map(|(origin, number)| BatchId { origin, number }), 0..30)
    }

    proptest! {
        #[test]
        fn sets_do_what_sets_do(a in ids(), b in ids()) {
            let (of_a, of_b): (BatchSet, BatchSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            let set = |ids: HashSet<BatchId>| ids.into_iter().collect::<BatchSet>();
            let (mut sum, mut difference) = (of_a.clone(), of_a.clone());
            sum.add(&of_b);
            difference.remove(&of_b);
            prop_assert_eq!(sum, set(&a | &b));
            prop_assert_eq!(&difference, &set(&a - &b));
            prop_assert_eq!(of_a.common(&of_b), set(&a & &b));
            prop_assert_eq!(difference.is_empty(), (&a - &b).is_empty());
            prop_assert_eq!(of_a.len(), a.len() as u64);
            prop_assert!(b.iter().all(|id| of_a.contains(*id) == a.contains(id)));
            prop_assert_eq!(BatchSet::from_wire(&of_a.to_wire()).unwrap(), of_a);
        }

        #[test]
        fn damage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // Must not panic, nor take memory for what is only claimed.
            drop(BatchSet::from_wire(&[Batches { origin: 1, numbers: bytes.into() }]));
        }
    }

    #[test]
    fn numbers_that_follow_each_other_take_next_to_nothing() {
        let set: BatchSet = (0..1_000_000).map(|number| BatchId { origin: 7, number }).collect();
        let bytes: usize = set.to_wire().iter().map(|batches| batches.numbers.len()).sum();
        assert!(bytes < 200_000, "{bytes}");
    }
}
