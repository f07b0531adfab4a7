//! The ingester's side of a distributor's push.

use std::sync::Arc;

use bytes::Bytes;
use tempoform_core::push_rpc::ExportHandler;
use tempoform_core::{
    DecodedSize, Error, ErrorKind, MemoryBudget, Push, Reservation, Result, SpanSink, TENANT_HEADER,
    TenantId, off_thread,
};
use tempoform_wire::internal::PushResponse;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Reads pushes and hands them to the log.
pub(crate) struct IngesterRpc {
    sink: Arc<dyn SpanSink>,
    memory: MemoryBudget,
}

impl IngesterRpc {
    /// What a push takes while it comes is reserved from `memory`.
    pub(crate) fn new(sink: Arc<dyn SpanSink>, memory: MemoryBudget) -> Self {
        Self { sink, memory }
    }
}

fn reserve(memory: &MemoryBudget, place: &mut Option<Reservation>, bytes: u64) -> Result<()> {
    match place {
        Some(place) => place.grow_to(bytes, PURPOSE),
        none => memory.reserve(bytes, PURPOSE).map(|reserved| *none = Some(reserved)),
    }
}

/// What a push takes in memory: the request that followed batches are parts of, led ones, and references to their spans.
fn push_bytes(push: &Push) -> u64 {
    let references = push.led.iter().map(|led| {
        led.spans.references_bytes() + led.compressed.as_ref().map_or(0, |bytes| bytes.bytes().len() as u64)
    });
    push.bytes() + references.sum::<u64>()
}

const PURPOSE: &str = "a push of a distributor";

#[async_trait::async_trait]
impl ExportHandler for IngesterRpc {
    type Response = PushResponse;

    async fn export(
        &self,
        metadata: &MetadataMap,
        request: Bytes,
        mut place: Option<Reservation>,
    ) -> Result<PushResponse, Status> {
        let name = metadata
            .get(TENANT_HEADER)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("a push without {TENANT_HEADER}")))?;
        let tenant: TenantId = name.parse()?;
        // Few bytes may expand to many.
        let decoded = DecodedSize::of(&request);
        let size = request.len() + decoded.expanded as usize;
        let memory = self.memory.clone();
        let decode = move || {
            reserve(&memory, &mut place, request.len() as u64 + decoded.bytes())?;
            let push = Push::decode(&request)?;
            if let Some(place) = &mut place {
                place.shrink_to(push_bytes(&push));
            }
            Ok((push, place))
        };
        // Its room is held until it is in the log.
        let (push, _place) = off_thread(size, decode).await?;
        let outcomes = self.sink.push(&tenant, push).await?;
        Ok(PushResponse {
            rejected_spans: outcomes.iter().map(|batch| batch.rejected_spans()).collect(),
            over_trace_bytes: outcomes.iter().map(|batch| batch.over_trace_bytes).collect(),
        })
    }

    fn admit(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<(), Status> {
        Ok(reserve(&self.memory, place, bytes)?)
    }

    fn refused(&self, reason: &'static str) {
        tracing::warn!(reason, "a distributor's push was refused");
    }
}

#[cfg(test)]
mod tests {
    use tempoform_core::{PushOutcome, scan_export_request};
    use tempoform_wire::internal::{PushRequest, PushedBatch};

    use super::*;

    /// Looks how much room a push has when it comes.
    struct Looks(MemoryBudget);

    #[async_trait::async_trait]
    impl SpanSink for Looks {
        async fn push(&self, _: &TenantId, push: Push) -> Result<Vec<PushOutcome>> {
            let payload: u64 = push.led.iter().map(|led| led.spans.payload.len() as u64).sum();
            assert!(self.0.used() >= payload, "{} bytes reserved for {payload}", self.0.used());
            Ok(vec![PushOutcome::default(); push.led.len()])
        }
    }

    async fn push(limit: u64, request: Bytes) -> (Result<PushResponse, Status>, u64) {
        let memory = MemoryBudget::new(limit);
        let rpc = IngesterRpc::new(Arc::new(Looks(memory.clone())), memory.clone());
        let mut metadata = MetadataMap::new();
        metadata.insert(TENANT_HEADER, "single-tenant".parse().expect("a value"));
        let mut place = None;
        let answer = match rpc.admit(&mut place, request.len() as u64) {
            Ok(()) => rpc.export(&metadata, request, place).await,
            Err(status) => Err(status),
        };
        (answer, memory.used())
    }

    #[tokio::test]
    async fn a_push_that_expands_has_room_for_that_or_is_refused() {
        // An unknown field of zeros: valid, without spans, and small when compressed.
        let mut payload = vec![0x7a, 0x80, 0x80, 0x80, 0x02];
        payload.resize(payload.len() + (4 << 20), 0);
        let payload = Bytes::from(payload);
        scan_export_request(payload.clone()).expect("valid");
        let compressed_spans = tempoform_core::Compressed::new(&payload).bytes().clone();
        let batch = PushedBatch { compressed_spans, ..Default::default() };
        let request = Bytes::from(prost::Message::encode_to_vec(&PushRequest { batches: vec![batch] }));
        assert!(request.len() < 100_000, "{}", request.len());

        let (answer, used) = push(64 << 20, request.clone()).await;
        assert_eq!(answer.expect("there is room").rejected_spans, [0]);
        assert_eq!(used, 0, "given back");
        let (answer, used) = push(1 << 20, request).await;
        assert_eq!(answer.expect_err("no room").code(), tonic::Code::ResourceExhausted);
        assert_eq!(used, 0, "given back");
    }
}
