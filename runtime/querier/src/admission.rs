//! Who may run: bounded queues, one for each tenant, before a bounded number of running queries; and a bound by
//! tenant.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempoform_core::{Error, ErrorKind, Result, TenantId};
use tokio::sync::oneshot;

/// Queries of this process: so many run, so many more wait. Waiting tenants take turns, so one that asks much
/// waits longer, not the others.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    line: Arc<Mutex<Line>>,
    max_concurrent: usize,
    max_queued: usize,
}

#[derive(Debug, Default)]
struct Line {
    running: usize,
    waiting: usize,
    /// Tenants that wait, in the order of their turns, each with its queries; none of them is empty.
    tenants: VecDeque<(String, VecDeque<Waiter>)>,
    next_number: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    turn: oneshot::Sender<Admitted>,
}

/// A query's right to run, given to the next on drop.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Admission,
}

/// A query's place in the line, given up on drop.
struct Place<'a> {
    admission: &'a Admission,
    number: u64,
}

impl Admission {
    pub(crate) fn new(max_concurrent: usize, max_queued: usize) -> Self {
        Self { line: Arc::default(), max_concurrent: max_concurrent.max(1), max_queued }
    }

    /// Waits for the turn of a query of `tenant`.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] at once when the line is full; later when another tenant, with fewer waiting
    /// queries, needed the place.
    pub(crate) async fn enter(&self, tenant: &str) -> Result<Admitted> {
        let (number, turn) = {
            let mut line = self.line();
            if line.running < self.max_concurrent {
                line.running += 1;
                return Ok(Admitted { admission: self.clone() });
            }
            if line.waiting >= self.max_queued && !line.make_place(tenant) {
                return Err(self.full());
            }
            line.queue(tenant)
        };
        let _place = Place { admission: self, number };
        turn.await.map_err(|_| self.full())
    }

    fn full(&self) -> Error {
        let most = self.max_concurrent + self.max_queued;
        let message = format!("too many outstanding requests: {most} queries run or wait already");
        Error::new(ErrorKind::Exhausted, message)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Puts a query behind the others of its tenant.
    fn queue(&mut self, tenant: &str) -> (u64, oneshot::Receiver<Admitted>) {
        let (turn, told) = oneshot::channel();
        let waiter = Waiter { number: self.next_number, turn };
        self.waiting += 1;
        self.next_number += 1;
        let number = waiter.number;
        match self.tenants.iter_mut().find(|(name, _)| name == tenant) {
            Some((_, queue)) => queue.push_back(waiter),
            None => self.tenants.push_back((tenant.to_owned(), VecDeque::from([waiter]))),
        }
        (number, told)
    }

    /// Takes the place of the last query of the tenant that has most, if that is more than `tenant` would have.
    fn make_place(&mut self, tenant: &str) -> bool {
        let own = self.tenants.iter().find(|(name, _)| name == tenant).map_or(0, |(_, queue)| queue.len());
        let longest = self.tenants.iter_mut().max_by_key(|(_, queue)| queue.len());
        match longest {
            Some((_, queue)) if queue.len() > own + 1 => {
                queue.pop_back();
                self.waiting -= 1;
                true
            }
            _ => false,
        }
    }

    /// The query whose turn it is.
    fn next(&mut self) -> Option<Waiter> {
        let (tenant, mut queue) = self.tenants.pop_front()?;
        let waiter = queue.pop_front();
        self.waiting -= usize::from(waiter.is_some());
        if !queue.is_empty() {
            self.tenants.push_back((tenant, queue));
        }
        waiter
    }

    fn remove(&mut self, number: u64) {
        for at in 0..self.tenants.len() {
            let queue = &mut self.tenants[at].1;
            if let Some(place) = queue.iter().position(|waiter| waiter.number == number) {
                queue.remove(place);
                if queue.is_empty() {
                    self.tenants.remove(at);
                }
                self.waiting -= 1;
                return;
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.admission.line().remove(self.number);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let next = {
            let mut line = self.admission.line();
            let next = line.next();
            line.running -= usize::from(next.is_none());
            next
        };
        if let Some(waiter) = next {
            // One that went away just now drops this right to run, which then goes to the next.
            drop(waiter.turn.send(Self { admission: self.admission.clone() }));
        }
    }
}

/// Outstanding queries by tenant. Tenants without any take no space.
#[derive(Clone, Debug)]
pub(crate) struct TenantQueues {
    outstanding: Arc<Mutex<HashMap<TenantId, usize>>>,
    max: usize,
}

/// A query's place in its tenant's queue, given back on drop.
#[derive(Debug)]
pub(crate) struct TenantPlace {
    queues: TenantQueues,
    tenant: TenantId,
}

impl TenantQueues {
    pub(crate) fn new(max: usize) -> Self {
        Self { outstanding: Arc::default(), max: max.max(1) }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] when the tenant has as many queries outstanding as it may.
    pub(crate) fn enter(&self, tenant: &TenantId) -> Result<TenantPlace> {
        let mut outstanding = self.outstanding.lock().unwrap_or_else(PoisonError::into_inner);
        let count = outstanding.entry(tenant.clone()).or_default();
        if *count >= self.max {
            return Err(Error::new(
                ErrorKind::Exhausted,
                format!("too many outstanding requests: tenant {tenant} has {count} queries running already"),
            ));
        }
        *count += 1;
        Ok(TenantPlace { queues: self.clone(), tenant: tenant.clone() })
    }
}

impl Drop for TenantPlace {
    fn drop(&mut self) {
        let mut outstanding = self.queues.outstanding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = outstanding.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                outstanding.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn runs_waits_refuses() {
        let admission = Admission::new(1, 1);
        let running = admission.enter("a").await.unwrap();
        let mut waiting = Box::pin(admission.enter("a"));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(admission.enter("a").await.unwrap_err().kind(), ErrorKind::Exhausted);
        drop(running);
        let running = waiting.await.unwrap();

        let mut gone = Box::pin(admission.enter("a"));
        assert!(futures::poll!(&mut gone).is_pending());
        drop(gone);
        let mut told = Box::pin(admission.enter("a"));
        assert!(futures::poll!(&mut told).is_pending(), "who went away left its place");
        drop(running);
        drop(told);
        admission.enter("a").await.unwrap();
        let line = admission.line();
        assert_eq!((line.running, line.waiting, line.tenants.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn tenants_take_turns() {
        let admission = Admission::new(1, 10);
        let mut running = Some(admission.enter("a").await.unwrap());
        let mut waiting: Vec<_> =
            ["a", "a", "a", "b", "c"].map(|tenant| (tenant, Box::pin(admission.enter(tenant)))).into();
        for (_, waiter) in &mut waiting {
            assert!(futures::poll!(waiter).is_pending());
        }
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(running.take());
            let mut at = 0;
            while running.is_none() {
                running = waiting[at].1.as_mut().now_or_never().map(|admitted| admitted.unwrap());
                at += 1;
            }
            order.push(waiting.remove(at - 1).0);
        }
        assert_eq!(order, ["a", "b", "c", "a", "a"]);
    }

    #[tokio::test]
    async fn a_full_line_has_room_for_who_waits_less() {
        let admission = Admission::new(1, 3);
        let _running = admission.enter("a").await.unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(admission.enter("a"))).collect();
        for waiter in &mut waiting {
            assert!(futures::poll!(waiter).is_pending());
        }
        let mut other = Box::pin(admission.enter("b"));
        assert!(futures::poll!(&mut other).is_pending());
        assert_eq!(waiting.pop().unwrap().await.unwrap_err().kind(), ErrorKind::Exhausted);
        assert_eq!(admission.enter("a").await.unwrap_err().kind(), ErrorKind::Exhausted);
        assert_eq!(admission.enter("b").await.unwrap_err().kind(), ErrorKind::Exhausted);
    }

    #[test]
    fn tenants_do_not_push_each_other_out() {
        let queues = TenantQueues::new(1);
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let place = queues.enter(&a).unwrap();
        assert_eq!(queues.enter(&a).unwrap_err().kind(), ErrorKind::Exhausted);
        queues.enter(&b).unwrap();
        drop(place);
        queues.enter(&a).unwrap();
        assert!(queues.outstanding.lock().unwrap().is_empty());
    }
}
