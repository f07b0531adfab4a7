//! Spans of other protocols, turned into OTLP before anything else looks at them.

use bytes::Bytes;
use tempoform_core::metrics::discarded_spans;
use tempoform_core::{Error, ErrorKind, PushOutcome, Reservation, Result, TenantId, off_thread};
use tempoform_translate::Format;

use crate::distributor::Distributor;
use crate::source::Source;

impl Distributor {
    /// Takes one request in `format`, which holds `place` among those worked on; returns once its spans are
    /// durable.
    pub(crate) async fn receive_as(
        &self,
        format: Format,
        source: Source,
        tenant: &TenantId,
        payload: Bytes,
        mut place: Reservation,
    ) -> Result<PushOutcome> {
        let held = self
            .memory(format.memory(&payload), "a request of another protocol")
            .inspect_err(|_| self.refuse("memory_ceiling", source))?;
        let translated = off_thread(payload.len(), move || {
            format.translate(&payload).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
        });
        let otlp = translated.await.inspect_err(|_| {
            self.refuse("malformed", source);
            // Its spans are not known: one at least.
            discarded_spans(tenant, "malformed", 1);
        })?;
        drop(held);
        place.shrink_to(otlp.len() as u64);
        self.grow(&mut place, otlp.len() as u64).inspect_err(|_| self.refuse("inflight_bytes", source))?;
        self.receive(source, tenant, otlp.into(), place).await
    }
}
