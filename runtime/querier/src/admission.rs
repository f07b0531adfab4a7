//! Who may run: a bounded queue before a bounded number of running queries, and a bound by tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tempoform_core::{Error, ErrorKind, Result, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Queries of this process: so many run, so many more wait.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
    capacity: usize,
}

/// A query's right to run, given back on drop.
#[derive(Debug)]
pub(crate) struct Admitted {
    _place: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(max_concurrent: usize, max_queued: usize) -> Self {
        let concurrent = max_concurrent.clamp(1, Semaphore::MAX_PERMITS / 2);
        let capacity = concurrent + max_queued.min(Semaphore::MAX_PERMITS / 2);
        Self {
            places: Arc::new(Semaphore::new(capacity)),
            running: Arc::new(Semaphore::new(concurrent)),
            capacity,
        }
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] at once when the queue is full.
    pub(crate) async fn enter(&self) -> Result<Admitted> {
        let full = || {
            let message =
                format!("too many outstanding requests: {} queries run or wait already", self.capacity);
            Error::new(ErrorKind::Exhausted, message)
        };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| full())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| full())?;
        Ok(Admitted { _place: place, _running: running })
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
    use super::*;

    #[tokio::test]
    async fn runs_waits_refuses() {
        let admission = Admission::new(1, 1);
        let running = admission.enter().await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::new(admission);
            let handle = Arc::clone(&admission);
            async move { (handle.enter().await.map(drop), admission) }
        });
        tokio::task::yield_now().await;
        drop(running);
        let (entered, admission) = waiting.await.unwrap();
        entered.unwrap();

        let _running = admission.enter().await.unwrap();
        let mut queued = Box::pin(admission.enter());
        assert!(futures::poll!(&mut queued).is_pending());
        assert_eq!(admission.enter().await.unwrap_err().kind(), ErrorKind::Exhausted);
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
