//! The ingester's side of a distributor's push.

use std::sync::Arc;

use bytes::Bytes;
use tempoform_core::push_rpc::ExportHandler;
use tempoform_core::{
    Error, ErrorKind, MemoryBudget, Push, Reservation, Result, SpanSink, TENANT_HEADER, TenantId,
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

    fn reserve(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<()> {
        match place {
            Some(place) => place.grow_to(bytes, PURPOSE),
            none => self.memory.reserve(bytes, PURPOSE).map(|reserved| *none = Some(reserved)),
        }
    }
}

const PURPOSE: &str = "a push of a distributor";

#[async_trait::async_trait]
impl ExportHandler for IngesterRpc {
    type Response = PushResponse;

    async fn export(&self, metadata: &MetadataMap, request: Bytes) -> Result<PushResponse, Status> {
        let name = metadata
            .get(TENANT_HEADER)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("a push without {TENANT_HEADER}")))?;
        let tenant: TenantId = name.parse()?;
        let outcomes = self.sink.push(&tenant, Push::decode(&request)?).await?;
        Ok(PushResponse { rejected_spans: outcomes.iter().map(|batch| batch.rejected_spans).collect() })
    }

    fn admit(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<(), Status> {
        Ok(self.reserve(place, bytes)?)
    }

    fn refused(&self, reason: &'static str) {
        tracing::warn!(reason, "a distributor's push was refused");
    }
}
