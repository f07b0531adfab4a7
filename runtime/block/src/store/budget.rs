//! A cap on the requests that a process sends to its object store.
//!
//! It holds for what really goes over the wire (pages of listings, parts of uploads, what the client tries again), so it
//! lies below the client. Who has to wait waits in the order of coming, within the time its read or write has.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
use tokio::sync::Mutex;

/// How many requests may be sent. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(super) struct RequestBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limiter: Option<DefaultDirectRateLimiter>,
    /// Only the first of those that wait looks at the limiter, so that nobody is passed by.
    first: Mutex<()>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    sent: IntCounter,
    limit: IntGauge,
    waiting: IntGauge,
    waits: Histogram,
}

impl RequestBudget {
    /// At most `per_second` requests, a tenth of that at once; 0 = as many as there are.
    pub(super) fn new(per_second: u32, registry: Option<&Registry>) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|per_second| {
            let burst = NonZeroU32::new(per_second.get() / 10).unwrap_or(NonZeroU32::MIN);
            RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst))
        });
        let metrics = Metrics::new(registry);
        metrics.limit.set(per_second.into());
        Self(Arc::new(Budget { limiter, first: Mutex::new(()), metrics }))
    }

    pub(super) fn unlimited() -> Self {
        Self::new(0, None)
    }

    /// Whether requests wait for their turn: no time for those that could be left out.
    pub(super) fn is_short(&self) -> bool {
        self.0.metrics.waiting.get() > 0
    }

    /// Waits until a request may be sent. Given up, it takes nothing from the budget.
    async fn turn(&self) {
        let Budget { limiter, first, metrics } = self.0.as_ref();
        if let Some(limiter) = limiter
            && (self.is_short() || limiter.check().is_err())
        {
            let _waiting = Waiting::begin(metrics);
            let _first = first.lock().await;
            while let Err(later) = limiter.check() {
                tokio::time::sleep(later.wait_time_from(DefaultClock::default().now())).await;
            }
        }
        metrics.sent.inc();
    }
}

/// A request that waits.
struct Waiting<'a> {
    metrics: &'a Metrics,
    since: Instant,
}

impl<'a> Waiting<'a> {
    fn begin(metrics: &'a Metrics) -> Self {
        metrics.waiting.inc();
        Self { metrics, since: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.metrics.waiting.dec();
        self.metrics.waits.observe(self.since.elapsed().as_secs_f64());
    }
}

impl Metrics {
    fn new(registry: Option<&Registry>) -> Self {
        const ACCEPTED: &str = "names and buckets are constants that prometheus accepts";
        let gauge = |name, help| IntGauge::new(name, help).expect(ACCEPTED);
        let waits = HistogramOpts::new(
            "tempoform_object_store_wait_seconds",
            "Time that requests to the object store had to wait for storage.trace.max_requests_per_second.",
        )
        .buckets(vec![0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        let metrics = Self {
            sent: IntCounter::new(
                "tempoform_object_store_http_requests_total",
                "Requests sent to the object store, pages, parts and those sent again included.",
            )
            .expect(ACCEPTED),
            limit: gauge(
                "tempoform_object_store_max_requests_per_second",
                "Most requests in a second, storage.trace.max_requests_per_second; 0 = no limit.",
            ),
            waiting: gauge(
                "tempoform_object_store_waiting_requests",
                "Requests that wait for their turn now.",
            ),
            waits: Histogram::with_opts(waits).expect(ACCEPTED),
        };
        if let Some(registry) = registry {
            metrics.register(registry);
        }
        metrics
    }

    fn register(&self, registry: &Registry) {
        let Self { sent, limit, waiting, waits } = self;
        let collectors: [Box<dyn Collector>; 4] = [
            Box::new(sent.clone()),
            Box::new(limit.clone()),
            Box::new(waiting.clone()),
            Box::new(waits.clone()),
        ];
        for collector in collectors {
            if let Err(error) = registry.register(collector) {
                tracing::debug!(%error, "metrics of the request budget are registered already");
            }
        }
    }
}

impl HttpConnector for RequestBudget {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Budgeted { client, budget: self.clone() }))
    }
}

/// A client that waits for its turn.
#[derive(Debug)]
struct Budgeted {
    client: HttpClient,
    budget: RequestBudget,
}

#[async_trait]
impl HttpService for Budgeted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.budget.turn().await;
        self.client.execute(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_than_the_cap_go_and_nobody_is_passed_by() {
        let budget = RequestBudget::new(100, None);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let started = Instant::now();
        let turns = (0..60).map(|number| {
            let (budget, order) = (budget.clone(), Arc::clone(&order));
            async move {
                budget.turn().await;
                order.lock().unwrap().push(number);
            }
        });
        futures::future::join_all(turns).await;
        // Ten at once, and one each ten milliseconds.
        assert!(started.elapsed().as_millis() >= 480, "{:?}", started.elapsed());
        let order = order.lock().unwrap();
        assert!(order.is_sorted() && order.len() == 60, "{order:?}");
        assert_eq!((budget.0.metrics.sent.get(), budget.0.metrics.waiting.get()), (60, 0));
        assert!(!budget.is_short() && budget.0.metrics.waits.get_sample_count() > 0);
    }

    #[tokio::test]
    async fn who_gives_up_takes_nothing() {
        let budget = RequestBudget::new(1, None);
        budget.turn().await;
        let soon = std::time::Duration::from_millis(5);
        assert!(tokio::time::timeout(soon, budget.turn()).await.is_err());
        assert_eq!((budget.0.metrics.sent.get(), budget.0.metrics.waiting.get()), (1, 0));
        RequestBudget::unlimited().turn().await;
    }
}
