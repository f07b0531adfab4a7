//! The ingester's side of a distributor's push.

use std::sync::Arc;

use bytes::Bytes;
use tempoform_core::push_rpc::ExportHandler;
use tempoform_core::{Error, ErrorKind, SpanSink, TENANT_HEADER, TenantId, scan_export_request};
use tempoform_wire::otlp::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Scans the request again (it came over a network) and hands it to the log.
pub(crate) struct IngesterRpc {
    sink: Arc<dyn SpanSink>,
}

impl IngesterRpc {
    pub(crate) fn new(sink: Arc<dyn SpanSink>) -> Self {
        Self { sink }
    }
}

#[async_trait::async_trait]
impl ExportHandler for IngesterRpc {
    async fn export(
        &self,
        metadata: &MetadataMap,
        request: Bytes,
    ) -> Result<ExportTraceServiceResponse, Status> {
        let name = metadata
            .get(TENANT_HEADER)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("a push without {TENANT_HEADER}")))?;
        let tenant: TenantId = name.parse()?;
        let batch = scan_export_request(request).map_err(Error::from)?;
        let outcome = self.sink.push(&tenant, batch).await?;
        let partial_success = (outcome.rejected_spans > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(outcome.rejected_spans).unwrap_or(i64::MAX),
            error_message: String::new(),
        });
        Ok(ExportTraceServiceResponse { partial_success })
    }

    fn refused(&self, reason: &'static str) {
        tracing::warn!(reason, "a distributor's push was refused");
    }
}
