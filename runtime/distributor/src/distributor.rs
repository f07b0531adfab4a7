use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use tempoform_core::{
    Error, ErrorKind, MemoryBudget, PushOutcome, Result, SpanBatch, TenantId, metrics::discarded_spans,
    scan_export_request,
};

use crate::metrics;
use crate::placement::Placement;
use crate::rate_limit::RateLimiter;
use crate::truncate::truncate_attributes;

/// One tenant's limits on what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantLimits {
    /// Bytes of OTLP a second, in this distributor.
    pub rate_limit_bytes: u64,
    /// Bytes that may come at once.
    pub burst_size_bytes: u64,
    /// Longest attribute key or string value, bytes; longer ones are cut. 0 = no limit.
    pub max_attribute_bytes: usize,
    /// Whether a refusal over the rate tells when to try again.
    pub retry_info: bool,
}

/// Settings of a distributor.
#[derive(Clone)]
pub struct Options {
    /// Whether requests name their tenant; otherwise all belong to one.
    pub multi_tenant: bool,
    /// Tenants that may write, if not all.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// Limits by tenant.
    pub limits: Arc<dyn Fn(&TenantId) -> TenantLimits + Send + Sync>,
    /// Longest wait for ingesters.
    pub push_timeout: Duration,
    /// Hint to clients refused for want of room.
    pub retry_after: Duration,
    /// Most bytes of one request over HTTP, uncompressed.
    pub max_request_bytes: usize,
    /// Most bytes of requests worked on at once.
    pub max_inflight_bytes: u64,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("multi_tenant", &self.multi_tenant).finish_non_exhaustive()
    }
}

/// Checks requests, splits them by owner and waits until enough owners have them on disk.
pub struct Distributor {
    pub(crate) options: Options,
    placement: Arc<dyn Fn() -> Arc<Placement> + Send + Sync>,
    memory: MemoryBudget,
    inflight: MemoryBudget,
    rates: RateLimiter,
}

impl std::fmt::Debug for Distributor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Distributor").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Distributor {
    /// A distributor that asks `placement` for the ingesters of the moment, at every request.
    pub fn new(
        options: Options,
        placement: Arc<dyn Fn() -> Arc<Placement> + Send + Sync>,
        memory: MemoryBudget,
    ) -> Arc<Self> {
        let inflight = MemoryBudget::new(options.max_inflight_bytes);
        Arc::new(Self { options, placement, memory, inflight, rates: RateLimiter::default() })
    }

    /// The tenant of a request with this `X-Scope-OrgID`.
    ///
    /// # Errors
    /// When it must name one and does not, or names one that may not write.
    pub(crate) fn tenant(&self, header: Option<&str>) -> Result<TenantId> {
        if !self.options.multi_tenant {
            return Ok(TenantId::single());
        }
        let name = header.ok_or_else(|| {
            Error::new(
                ErrorKind::Unauthenticated,
                "no org id: multi-tenancy is on, set the header X-Scope-OrgID",
            )
        })?;
        if name.contains('|') {
            return Err(Error::new(
                ErrorKind::Invalid,
                "spans belong to one tenant; X-Scope-OrgID names several",
            ));
        }
        let tenant: TenantId = name.parse()?;
        match &self.options.tenants {
            Some(known) if !known.contains(&tenant) => {
                Err(Error::new(ErrorKind::Forbidden, format!("unknown tenant {tenant}")))
            }
            _ => Ok(tenant),
        }
    }

    /// Takes one request; returns once its spans are durable.
    pub(crate) async fn receive(
        &self,
        transport: &'static str,
        tenant: &TenantId,
        payload: Bytes,
    ) -> Result<PushOutcome> {
        let bytes = payload.len() as u64;
        let _place = self.inflight.reserve(bytes, "a request").map_err(|error| {
            self.refuse("inflight_bytes", transport);
            error.context("distributor.max_inflight_bytes").retry_after(self.options.retry_after)
        })?;
        let _held = self.memory.reserve(bytes, "a request in flight").map_err(|error| {
            self.refuse("memory_ceiling", transport);
            error.retry_after(self.options.retry_after)
        })?;
        let batch = self.check(transport, tenant, payload)?;
        if batch.spans.is_empty() {
            return Ok(PushOutcome::default());
        }
        let started = Instant::now();
        let spans = batch.spans.len() as u64;
        let outcome = tokio::time::timeout(self.options.push_timeout, self.push(tenant, batch))
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("ingesters did not answer within {:?}", self.options.push_timeout),
                ))
            })
            .inspect_err(|error| {
                let reason = if error.kind() == ErrorKind::Exhausted {
                    "ingester_full"
                } else {
                    "ingester_unavailable"
                };
                self.refuse(reason, transport);
            })?;
        metrics::PUSH_SECONDS.observe(started.elapsed().as_secs_f64());
        let accepted = spans - outcome.rejected_spans.min(spans);
        metrics::ACCEPTED_SPANS.with_label_values(&["otlp", transport]).inc_by(accepted);
        Ok(outcome)
    }

    /// Counts a request refused as a whole.
    pub(crate) fn refuse(&self, reason: &str, transport: &str) {
        metrics::REFUSED_REQUESTS.with_label_values(&[reason, transport]).inc();
    }

    /// Everything that can refuse a request before an ingester sees it.
    fn check(&self, transport: &'static str, tenant: &TenantId, payload: Bytes) -> Result<SpanBatch> {
        let limits = (self.options.limits)(tenant);
        let bytes = payload.len() as u64;
        let batch = scan_export_request(payload).map_err(|error| {
            self.refuse(error.reason(), transport);
            Error::from(error)
        })?;
        let spans = batch.spans.len() as u64;
        metrics::BYTES_RECEIVED.with_label_values(&[tenant.as_str()]).inc_by(bytes);
        metrics::SPANS_RECEIVED.with_label_values(&[tenant.as_str()]).inc_by(spans);
        if let Err(wait) = self.rates.take(tenant, bytes, limits.rate_limit_bytes, limits.burst_size_bytes) {
            discarded_spans(tenant, "rate_limited", spans);
            self.refuse("rate_limited", transport);
            return Err(rate_limited(tenant, &limits, bytes, wait));
        }
        if limits.max_attribute_bytes > 0 && batch.longest_attribute > limits.max_attribute_bytes {
            let cut = truncate_attributes(&batch.payload, limits.max_attribute_bytes, tenant.as_str())?;
            return Ok(scan_export_request(cut.into())?);
        }
        Ok(batch)
    }

    async fn push(&self, tenant: &TenantId, batch: SpanBatch) -> Result<PushOutcome> {
        let placement = (self.placement)();
        if placement.members().len() < placement.quorum() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} ingesters take writes, {} are needed for replication factor {}",
                    placement.members().len(),
                    placement.quorum(),
                    placement.replication_factor()
                ),
            ));
        }
        if let ([only], 1) = (placement.members(), placement.replication_factor()) {
            return only.sink().push(tenant, batch).await.inspect_err(|_| {
                metrics::INGESTER_FAILURES.with_label_values(&[only.name()]).inc();
            });
        }
        Replication::new(&placement, batch).run(tenant).await
    }
}

/// One request on its way to the owners of its traces.
struct Replication<'a> {
    placement: &'a Placement,
    batch: SpanBatch,
    /// By span: members in order of preference, as an index into `orders`.
    order_of: Vec<u32>,
    orders: Vec<Vec<u32>>,
    /// By span: members asked so far (a prefix of its order), and those that have it on disk.
    asked: Vec<u32>,
    durable: Vec<u32>,
    rejected_spans: u64,
    last_error: Option<Error>,
}

impl<'a> Replication<'a> {
    fn new(placement: &'a Placement, batch: SpanBatch) -> Self {
        let mut orders: Vec<Vec<u32>> = Vec::new();
        let mut order_of = Vec::with_capacity(batch.spans.len());
        let mut previous = None;
        for span in &batch.spans {
            // Spans of a trace mostly follow each other.
            if previous != Some(span.trace_id) {
                let mut order = Vec::with_capacity(placement.members().len());
                placement.preference(&span.trace_id, &mut order);
                orders.push(order);
                previous = Some(span.trace_id);
            }
            order_of.push(orders.len() as u32 - 1);
        }
        let spans = batch.spans.len();
        Self {
            placement,
            batch,
            order_of,
            orders,
            asked: vec![0; spans],
            durable: vec![0; spans],
            rejected_spans: 0,
            last_error: None,
        }
    }

    /// First the owners; then, for spans without a quorum, the members that stand in for those that
    /// failed. A span may end on more members than it needs: readers drop the copies.
    async fn run(mut self, tenant: &TenantId) -> Result<PushOutcome> {
        let quorum = self.placement.quorum() as u32;
        let mut wanted = self.placement.replication_factor() as u32;
        loop {
            let shares = self.next_shares(wanted);
            if shares.iter().all(Vec::is_empty) {
                break;
            }
            self.push_shares(tenant, shares).await;
            if self.durable.iter().all(|copies| *copies >= quorum) {
                return Ok(PushOutcome { rejected_spans: self.rejected_spans });
            }
            wanted = quorum;
        }
        Err(self
            .last_error
            .unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no ingester took the spans")))
    }

    /// The spans that go to each member so that each span has `wanted` copies, if all goes well.
    fn next_shares(&mut self, wanted: u32) -> Vec<Vec<u32>> {
        let mut shares = vec![Vec::new(); self.placement.members().len()];
        for (at, order) in self.order_of.iter().enumerate() {
            let order = &self.orders[*order as usize];
            for _ in self.durable[at]..wanted {
                let Some(member) = order.get(self.asked[at] as usize) else { break };
                shares[*member as usize].push(at as u32);
                self.asked[at] += 1;
            }
        }
        shares
    }

    async fn push_shares(&mut self, tenant: &TenantId, shares: Vec<Vec<u32>>) {
        let pushes = shares.iter().zip(self.placement.members()).filter(|(share, _)| !share.is_empty()).map(
            |(share, member)| {
                let whole = share.len() == self.batch.spans.len();
                let batch = if whole { self.batch.clone() } else { self.batch.subset(share) };
                async move { (share, member, member.sink().push(tenant, batch).await) }
            },
        );
        for (share, member, pushed) in join_all(pushes).await {
            match pushed {
                Ok(outcome) => {
                    self.rejected_spans = self.rejected_spans.max(outcome.rejected_spans);
                    for at in share {
                        self.durable[*at as usize] += 1;
                    }
                }
                Err(error) => {
                    metrics::INGESTER_FAILURES.with_label_values(&[member.name()]).inc();
                    tracing::warn!(ingester = member.name(), %error, spans = share.len(), "an ingester refused a write");
                    self.last_error = Some(error.context(format_args!("ingester {}", member.name())));
                }
            }
        }
    }
}

fn rate_limited(tenant: &TenantId, limits: &TenantLimits, bytes: u64, wait: Option<Duration>) -> Error {
    let TenantLimits { rate_limit_bytes, burst_size_bytes, retry_info, .. } = limits;
    let Some(wait) = wait else {
        return Error::new(
            ErrorKind::Exhausted,
            format!(
                "RATE_LIMITED: a request of {bytes} bytes is larger than the burst of {burst_size_bytes} bytes that tenant {tenant} may send at once; send smaller batches or raise ingestion.burst_size_bytes"
            ),
        );
    };
    let error = Error::new(
        ErrorKind::Exhausted,
        format!(
            "RATE_LIMITED: ingestion rate limit of {rate_limit_bytes} bytes a second (burst {burst_size_bytes}) exceeded by tenant {tenant} with a request of {bytes} bytes"
        ),
    );
    if *retry_info { error.retry_after(wait.max(Duration::from_millis(100))) } else { error }
}

#[cfg(test)]
mod tests;
