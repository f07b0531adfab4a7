//! Bytes per second by tenant: a token bucket each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempoform_core::TenantId;
use tokio::time::Instant;

/// The buckets of the tenants seen lately.
#[derive(Debug, Default)]
pub(crate) struct RateLimiter {
    buckets: Mutex<HashMap<TenantId, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Buckets kept before full ones are looked for and dropped.
const SWEEP_AT: usize = 10_000;
const IDLE: Duration = Duration::from_secs(60);

impl RateLimiter {
    /// Takes `bytes` from the tenant's bucket of `burst` bytes that fills at `rate` bytes a second;
    /// or says how long to wait until there are enough. `None` = never: it is more than the bucket holds.
    pub(crate) fn take(
        &self,
        tenant: &TenantId,
        bytes: u64,
        rate: u64,
        burst: u64,
    ) -> Result<(), Option<Duration>> {
        // A rate of 0 refuses everything, however full the bucket was at first.
        if bytes > burst || rate == 0 {
            return Err(None);
        }
        let (rate, burst, bytes) = (rate as f64, burst as f64, bytes as f64);
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= SWEEP_AT {
            // Tenants differ in rate; this long without a request fills any bucket, or nearly.
            buckets.retain(|_, bucket| now.duration_since(bucket.filled) < IDLE);
            if buckets.len() >= SWEEP_AT {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(tenant.clone()).or_insert(Bucket { tokens: burst, filled: now });
        bucket.tokens = bucket.level(rate, now).min(burst);
        bucket.filled = now;
        if bucket.tokens >= bytes {
            bucket.tokens -= bytes;
            return Ok(());
        }
        let wait = (bytes - bucket.tokens) / rate;
        Err(Some(
            Duration::try_from_secs_f64(wait).unwrap_or(Duration::from_secs(60)).min(Duration::from_secs(60)),
        ))
    }
}

impl Bucket {
    fn level(&self, rate: f64, now: Instant) -> f64 {
        self.tokens + rate * now.duration_since(self.filled).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_refuses_when_empty_and_fills_with_time() {
        let limiter = RateLimiter::default();
        let tenant = TenantId::single();
        let take = |bytes| limiter.take(&tenant, bytes, 100, 200);
        assert_eq!(take(201), Err(None), "more than the bucket holds never fits");
        assert_eq!(take(200), Ok(()));
        assert_eq!(take(50), Err(Some(Duration::from_millis(500))));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(take(50), Ok(()));
        assert!(take(1).is_err());
    }
}
