use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempoform_core::{
    BatchIds, Error, ErrorKind, MemoryBudget, PushOutcome, Reservation, Result, SELF_TRACE, SpanBatch,
    TenantId, metrics::discarded_spans, off_thread, scan_export_request,
};

use crate::metrics;
use crate::placement::Placement;
use crate::rate_limit::RateLimiter;
use crate::replication::{Held, Replication};
use crate::source::Source;
use crate::truncate::truncate_attributes;

/// The share of the memory ceiling that requests worked on have at most: one of so many.
const INFLIGHT_SHARE: u64 = 4;
/// Where there is room for so many bytes, it is not the requests worked on that leave none.
const USUAL_REQUEST_BYTES: u64 = 64 << 10;

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
    /// Most bytes of one trace; 0 = no limit. Ingesters refuse what is over it, this is for telling clients.
    pub max_trace_bytes: u64,
    /// Most live traces in one ingester; 0 = no limit. As above.
    pub max_live_traces: u32,
}

/// What requests in flight reserve memory for.
const IN_FLIGHT: &str = "a request in flight";
/// What they reserve room for, among themselves.
pub(crate) const PURPOSE: &str = "a request";

/// Settings of a distributor.
#[derive(Clone)]
pub struct Options {
    /// Whether requests name their tenant; otherwise all belong to one.
    pub multi_tenant: bool,
    /// Tenants that may write, if not all.
    pub tenants: Option<Arc<BTreeSet<TenantId>>>,
    /// Limits by tenant.
    pub limits: Arc<dyn Fn(&TenantId) -> TenantLimits + Send + Sync>,
    /// Longest wait for ingesters.
    pub push_timeout: Duration,
    /// Hint to clients refused for want of room.
    pub retry_after: Duration,
    /// Most bytes of one request over HTTP, uncompressed.
    pub max_request_bytes: usize,
    /// Most bytes of requests worked on at once; a quarter of the memory ceiling where that is less.
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
    ids: Arc<BatchIds>,
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
        // The rest is for what becomes of requests.
        let inflight = memory.part(options.max_inflight_bytes.min(memory.limit() / INFLIGHT_SHARE));
        Arc::new(Self {
            options,
            placement,
            memory,
            inflight,
            rates: RateLimiter::default(),
            ids: Arc::default(),
        })
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

    #[tracing::instrument(name = "distributor.receive", target = SELF_TRACE, skip_all, fields(%tenant, bytes = payload.len()), err)]
    /// Takes one request, which holds `place` among those worked on; returns once its spans are durable.
    pub(crate) async fn receive(
        &self,
        source: Source,
        tenant: &TenantId,
        payload: Bytes,
        place: Reservation,
    ) -> Result<PushOutcome> {
        let (batch, mut memory) = self.check(source, tenant, payload).await?;
        if batch.spans.is_empty() {
            return Ok(PushOutcome::default());
        }
        let placement = (self.placement)();
        memory
            .grow_to(memory.bytes() + memory_on_the_way(&placement, &batch), IN_FLIGHT)
            .map_err(|error| self.over_the_ceiling(source, error))?;
        let held: Held = Arc::new([place, memory]);
        let started = Instant::now();
        let spans = batch.spans.len() as u64;
        let outcome =
            tokio::time::timeout(self.options.push_timeout, self.push(placement, tenant, batch, held))
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
                    self.refuse(reason, source);
                    metrics::REFUSED_SPANS.with_label_values(&source.labels()).inc_by(spans);
                })
                .map_err(|error| self.with_hint(for_client(error)))?;
        metrics::PUSH_SECONDS.observe(started.elapsed().as_secs_f64());
        let accepted = spans - outcome.rejected_spans().min(spans);
        metrics::ACCEPTED_SPANS.with_label_values(&source.labels()).inc_by(accepted);
        Ok(outcome)
    }

    /// Room for a request of `bytes` bytes among those worked on.
    pub(crate) fn admit(&self, bytes: u64) -> Result<Reservation> {
        self.inflight.reserve(bytes, PURPOSE).map_err(|error| self.crowded(error))
    }

    /// Room for a request that turned out to be of `bytes` bytes.
    pub(crate) fn grow(&self, place: &mut Reservation, bytes: u64) -> Result<()> {
        place.grow_to(bytes, PURPOSE).map_err(|error| self.crowded(error))
    }

    /// A refusal for want of room among the requests worked on.
    pub(crate) fn crowded(&self, error: Error) -> Error {
        self.with_hint(error.context(self.crowded_by().1))
    }

    /// What leaves no room for more requests: as the reason that is counted, and as the setting to look at.
    fn crowded_by(&self) -> (&'static str, &'static str) {
        if self.inflight.has_room(USUAL_REQUEST_BYTES) {
            ("memory_ceiling", "memory.limit_bytes")
        } else {
            ("inflight_bytes", "distributor.max_inflight_bytes")
        }
    }

    /// The tenant of a request with this `X-Scope-OrgID`, and the room that it has so far. A refusal is counted.
    pub(crate) fn begin(
        &self,
        source: Source,
        header: Option<&str>,
        place: Option<Reservation>,
    ) -> Result<(TenantId, Reservation)> {
        let tenant = self.tenant(header).inspect_err(|_| self.refuse("tenant", source))?;
        let place = place.map_or_else(|| self.admit(0), Ok);
        Ok((tenant, place.inspect_err(|_| self.refuse(self.crowded_by().0, source))?))
    }

    /// Room for the first `bytes` bytes of a request, of which `place` holds those before.
    pub(crate) fn admit_part(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<()> {
        match place {
            Some(place) => self.grow(place, bytes),
            none => self.admit(bytes).map(|admitted| *none = Some(admitted)),
        }
    }

    /// Memory for something else than a request's bytes.
    pub(crate) fn memory(&self, bytes: u64, purpose: &str) -> Result<Reservation> {
        self.memory.reserve(bytes, purpose).map_err(|error| self.with_hint(error))
    }

    /// A refusal for want of room is for a while: without a hint OTLP clients would drop the spans.
    pub(crate) fn with_hint(&self, error: Error) -> Error {
        let (after, has_hint) = (self.options.retry_after, error.retry_hint().is_some());
        if error.kind() != ErrorKind::Exhausted || has_hint || after.is_zero() {
            return error;
        }
        error.retry_after(after)
    }

    /// Counts a request refused as a whole.
    pub(crate) fn refuse(&self, reason: &str, source: Source) {
        let [receiver, transport] = source.labels();
        metrics::REFUSED_REQUESTS.with_label_values(&[reason, receiver, transport]).inc();
    }

    /// Everything that can refuse a request before an ingester sees it; with the memory that it takes.
    async fn check(
        &self,
        source: Source,
        tenant: &TenantId,
        payload: Bytes,
    ) -> Result<(SpanBatch, Reservation)> {
        let limits = (self.options.limits)(tenant);
        let bytes = payload.len() as u64;
        let (batch, held) = self.scan(source, tenant, payload, self.memory.reserve_up_to(0)).await?;
        let spans = batch.spans.len() as u64;
        metrics::BYTES_RECEIVED.with_label_values(&[tenant.as_str()]).inc_by(bytes);
        metrics::SPANS_RECEIVED.with_label_values(&[tenant.as_str()]).inc_by(spans);
        if let Err(wait) = self.rates.take(tenant, bytes, limits.rate_limit_bytes, limits.burst_size_bytes) {
            discarded_spans(tenant, "rate_limited", spans);
            self.refuse("rate_limited", source);
            return Err(rate_limited(tenant, &limits, bytes, wait));
        }
        if limits.max_attribute_bytes > 0 && batch.longest_attribute > limits.max_attribute_bytes {
            let (payload, owner) = (batch.payload, tenant.clone());
            let cut = off_thread(payload.len(), move || {
                truncate_attributes(&payload, limits.max_attribute_bytes, owner.as_str())
            });
            return self.scan(source, tenant, cut.await?.into(), held).await;
        }
        Ok((batch, held))
    }

    /// Finds the request's spans; `held` grows to what references to its spans take. Room for the request itself is held.
    async fn scan(
        &self,
        source: Source,
        tenant: &TenantId,
        payload: Bytes,
        mut held: Reservation,
    ) -> Result<(SpanBatch, Reservation)> {
        let (size, most) = (payload.len(), self.memory.limit());
        let scanned = off_thread(size, move || {
            let needed = SpanBatch::references_bytes_at_most(size as u64);
            if needed > most {
                let message = format!(
                    "a request of {size} bytes may need {needed} bytes to be looked at, over memory.limit_bytes ({most}); send smaller batches"
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            // How many spans there are shows only then.
            held.grow_to(needed, IN_FLIGHT)?;
            Ok(scan_export_request(payload).map(|batch| {
                held.shrink_to(batch.references_bytes());
                (batch, held)
            }))
        });
        let scanned = scanned.await.map_err(|error| self.over_the_ceiling(source, error))?;
        scanned.map_err(|error| {
            self.refuse(error.reason(), source);
            // Its spans are not known: one at least.
            discarded_spans(tenant, error.reason(), 1);
            Error::from(error)
        })
    }

    fn over_the_ceiling(&self, source: Source, error: Error) -> Error {
        self.refuse("memory_ceiling", source);
        self.with_hint(error)
    }

    async fn push(
        &self,
        placement: Arc<Placement>,
        tenant: &TenantId,
        batch: SpanBatch,
        held: Held,
    ) -> Result<PushOutcome> {
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
        if let Some(only) = placement.only() {
            let pushed =
                only.push(tenant, batch.into(), held).await.inspect_err(|error| only.failed(error))?;
            return Ok(pushed.into_iter().sum());
        }
        let (tenant, ids) = (tenant.clone(), Arc::clone(&self.ids));
        Replication::start(placement, ids, tenant, batch, held, self.options.push_timeout).await?.run().await
    }
}

/// Memory that a request takes on its way to ingesters, beside itself.
fn memory_on_the_way(placement: &Placement, batch: &SpanBatch) -> u64 {
    match placement.only() {
        // The message that it is sent in.
        Some(_) => batch.payload.len() as u64,
        None => Replication::memory(placement, batch),
    }
}

/// What an ingester says of a write, as the client of the request hears it. The request passed our scan, so whatever is
/// wrong between ingesters and us is nothing that the client could mend: it sends again, unless there is no room.
fn for_client(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Exhausted | ErrorKind::Unavailable => error,
        _ => Error::new(ErrorKind::Unavailable, error.message()),
    }
}

fn rate_limited(tenant: &TenantId, limits: &TenantLimits, bytes: u64, wait: Option<Duration>) -> Error {
    let TenantLimits { rate_limit_bytes, burst_size_bytes, retry_info, .. } = limits;
    if *rate_limit_bytes == 0 {
        let message =
            format!("RATE_LIMITED: tenant {tenant} may send nothing: its ingestion.rate_limit_bytes is 0");
        return Error::new(ErrorKind::Exhausted, message);
    }
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
mod simulation;
#[cfg(test)]
pub(crate) mod tests;
