//! Equal reads at the same time are one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

/// The reads under way. Whoever waits for one drives it: it goes on as long as somebody waits, and ends when nobody does,
/// whoever began it.
#[derive(Debug)]
pub(super) struct Flights<K, T: Clone>(Arc<Mutex<Underway<K, T>>>);

#[derive(Debug)]
struct Underway<K, T: Clone> {
    flights: HashMap<K, (u64, WeakShared<BoxFuture<'static, T>>)>,
    begun: u64,
}

/// A read to wait for.
pub(super) struct Flight<T: Clone> {
    pub(super) outcome: Shared<BoxFuture<'static, T>>,
    /// Whether this call began it.
    pub(super) is_own: bool,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Underway { flights: HashMap::new(), begun: 0 })))
    }

    /// The read of `key` that is under way, or the one that `begin` begins.
    pub(super) fn join(&self, key: &K, begin: impl FnOnce() -> BoxFuture<'static, T>) -> Flight<T> {
        let mut underway = lock(&self.0);
        if let Some(outcome) = underway.flights.get(key).and_then(|(_, flight)| flight.upgrade()) {
            return Flight { outcome, is_own: false };
        }
        underway.begun += 1;
        let number = underway.begun;
        let landing = Landing { underway: Arc::clone(&self.0), key: key.clone(), number };
        let read = begin();
        let outcome = async move {
            let _landing = landing;
            read.await
        }
        .boxed()
        .shared();
        if let Some(weak) = outcome.downgrade() {
            underway.flights.insert(key.clone(), (number, weak));
        }
        Flight { outcome, is_own: true }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.0).flights.len()
    }
}

/// Takes a read off the list when it is over or given up.
struct Landing<K: Eq + Hash, T: Clone> {
    underway: Arc<Mutex<Underway<K, T>>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut underway = lock(&self.underway);
        // Another may have begun since this one was given up.
        if underway.flights.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            underway.flights.remove(&self.key);
        }
    }
}

fn lock<K, T: Clone>(underway: &Mutex<Underway<K, T>>) -> MutexGuard<'_, Underway<K, T>> {
    underway.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    fn slow(begun: &Arc<AtomicU32>) -> BoxFuture<'static, u32> {
        let begun = Arc::clone(begun);
        async move {
            let number = begun.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            number
        }
        .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn equal_reads_at_once_are_one_and_later_ones_are_new() {
        let (flights, begun) = (Flights::new(), Arc::default());
        let together: Vec<_> = (0..10).map(|_| flights.join(&"a", || slow(&begun))).collect();
        assert_eq!(together.iter().filter(|flight| flight.is_own).count(), 1);
        let other = flights.join(&"b", || slow(&begun));
        assert_eq!(flights.len(), 2);
        let outcomes = futures::future::join_all(together.into_iter().map(|flight| flight.outcome)).await;
        assert_eq!(outcomes, [0; 10]);
        drop(other);
        assert_eq!(flights.len(), 0, "nothing is left of reads that are over or given up");
        assert_eq!(flights.join(&"a", || slow(&begun)).outcome.await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_began_a_read_may_go_and_the_others_get_it() {
        let (flights, begun) = (Flights::new(), Arc::default());
        let first = flights.join(&"a", || slow(&begun));
        let second = flights.join(&"a", || slow(&begun));
        let cancelled = tokio::time::timeout(Duration::from_millis(500), first.outcome).await;
        assert!(cancelled.is_err());
        assert_eq!(second.outcome.await, 0);
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_nobody_waits_for_ends() {
        let (flights, begun) = (Flights::new(), Arc::default());
        let given_up =
            tokio::time::timeout(Duration::from_millis(500), flights.join(&"a", || slow(&begun)).outcome);
        assert!(given_up.await.is_err());
        assert_eq!(flights.len(), 0);
        assert_eq!(flights.join(&"a", || slow(&begun)).outcome.await, 1);
    }
}
