//! Tries beside each other: a slow one is not given up, but another is started as well.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

/// What a try came to.
#[derive(Debug)]
pub(crate) enum Try<T> {
    /// An answer, or an error that every other try would get too.
    Final(T),
    /// Another try may do better.
    Failed(T),
}

/// Starts the first of `tries`, and the next one when one fails, or when `patience` passed without an outcome and
/// fewer than `most` are running. The first final outcome wins.
///
/// Waiting beside each other instead of giving up keeps queries alive that take long for good reasons.
///
/// # Errors
/// When there are no more tries: the failures, in the order in which they came.
pub(crate) async fn staggered<T, F>(
    tries: impl IntoIterator<Item = F>,
    patience: Duration,
    most: usize,
) -> Result<T, Vec<T>>
where
    F: Future<Output = Try<T>>,
{
    let mut tries = tries.into_iter();
    let (mut running, mut failed) = (FuturesUnordered::new(), Vec::new());
    running.extend(tries.next());
    loop {
        match tokio::time::timeout(patience, running.next()).await {
            Ok(Some(Try::Final(outcome))) => return Ok(outcome),
            Ok(Some(Try::Failed(outcome))) => failed.push(outcome),
            Ok(None) => return Err(failed),
            Err(_) if running.len() >= most => continue,
            Err(_) => {}
        }
        running.extend(tries.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A try that takes so long.
    async fn after(milliseconds: u64, outcome: Try<u64>) -> Try<u64> {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        outcome
    }

    async fn run(tries: Vec<(u64, Try<u64>)>, most: usize) -> Result<u64, Vec<u64>> {
        let tries = tries.into_iter().map(|(milliseconds, outcome)| after(milliseconds, outcome));
        staggered(tries, Duration::from_millis(100), most).await
    }

    #[tokio::test]
    async fn the_next_after_a_failure() {
        use Try::{Failed, Final};
        assert_eq!(run(vec![(1, Failed(1)), (1, Final(2)), (1, Final(3))], 3).await, Ok(2));
        assert_eq!(run(vec![(1, Failed(1)), (1, Failed(2))], 3).await, Err(vec![1, 2]));
        assert_eq!(run(Vec::new(), 3).await, Err(Vec::new()));
    }

    #[tokio::test]
    async fn a_slow_one_is_overtaken_but_not_given_up() {
        use Try::{Failed, Final};
        assert_eq!(run(vec![(3_600_000, Final(1)), (1, Final(2))], 2).await, Ok(2));
        assert_eq!(run(vec![(250, Final(1)), (3_600_000, Final(2))], 2).await, Ok(1));
        assert_eq!(run(vec![(250, Final(1)), (1, Failed(2))], 2).await, Ok(1));
        assert_eq!(run(vec![(250, Final(1)), (1, Final(2))], 1).await, Ok(1), "no more than one beside");
    }
}
