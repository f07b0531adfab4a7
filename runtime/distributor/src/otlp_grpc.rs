//! OTLP over gRPC.

use std::sync::Arc;

use bytes::Bytes;
use tempoform_core::push_rpc::ExportHandler;
use tempoform_core::{PushOutcome, Reservation, TENANT_HEADER, TenantId};
use tempoform_wire::otlp::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::distributor::{Distributor, TenantLimits};
use crate::source::Source;
use crate::status::grpc_status;

const SOURCE: Source = Source::OTLP_GRPC;

/// `TraceService/Export`; serve it with [`tempoform_core::push_rpc::ExportServer`].
#[derive(Debug)]
pub struct OtlpGrpc(pub Arc<Distributor>);

#[async_trait::async_trait]
impl ExportHandler for OtlpGrpc {
    type Response = ExportTraceServiceResponse;

    async fn export(
        &self,
        metadata: &MetadataMap,
        request: Bytes,
        place: Option<Reservation>,
    ) -> Result<ExportTraceServiceResponse, Status> {
        let header = metadata.get(TENANT_HEADER).and_then(|value| value.to_str().ok());
        let begun = self.0.begin(SOURCE, header, place);
        let (tenant, place) = begun.map_err(|error| grpc_status(&error))?;
        let received = self.0.receive(SOURCE, &tenant, request, place).await;
        let outcome = received.map_err(|error| grpc_status(&error))?;
        Ok(response(&self.0, &tenant, outcome))
    }

    fn refused(&self, reason: &'static str) {
        self.0.refuse(reason, SOURCE);
    }

    fn admit(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<(), Status> {
        self.0.admit_part(place, bytes).map_err(|error| grpc_status(&error))
    }
}

/// Empty when all is stored; a partial success when spans were refused for good.
pub(crate) fn response(
    distributor: &Distributor,
    tenant: &TenantId,
    outcome: PushOutcome,
) -> ExportTraceServiceResponse {
    let rejected = outcome.rejected_spans();
    let partial_success = (rejected > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(rejected).unwrap_or(i64::MAX),
        error_message: refused(tenant, outcome, &(distributor.options.limits)(tenant)),
    });
    ExportTraceServiceResponse { partial_success }
}

/// Which limit cost how many spans, and what to do.
fn refused(tenant: &TenantId, outcome: PushOutcome, limits: &TenantLimits) -> String {
    let PushOutcome { over_trace_bytes, over_live_traces } = outcome;
    let (bytes, traces) = (limits.max_trace_bytes, limits.max_live_traces);
    let of_bytes = format!(
        "TRACE_TOO_LARGE: {over_trace_bytes} spans of traces that are over global.max_bytes_per_trace ({bytes} bytes)"
    );
    let of_traces = format!(
        "LIVE_TRACES_EXCEEDED: {over_live_traces} spans of new traces, as an ingester has as many live ones as \
         ingestion.max_traces_per_user ({traces})"
    );
    let said = [(over_trace_bytes, of_bytes), (over_live_traces, of_traces)];
    let said: Vec<String> =
        said.into_iter().filter_map(|(spans, text)| (spans > 0).then_some(text)).collect();
    format!(
        "spans of tenant {tenant} were dropped: {}; send less, or raise the tenant's limit in the overrides",
        said.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributor::tests::distributor;

    #[test]
    fn what_was_dropped_is_told_with_the_limit_and_the_tenant() {
        let (distributor, tenant) = (distributor(&[], 1), "team-a".parse().expect("a name"));
        let told = |over_trace_bytes, over_live_traces| {
            let outcome = PushOutcome { over_trace_bytes, over_live_traces };
            response(&distributor, &tenant, outcome)
                .partial_success
                .map(|p| (p.rejected_spans, p.error_message))
        };
        assert_eq!(told(0, 0), None);
        let (spans, large) = told(3, 0).expect("dropped");
        assert_eq!(spans, 3);
        assert!(large.contains("tenant team-a") && !large.contains("max_traces_per_user"), "{large}");
        assert!(
            large.contains("3 spans of traces that are over global.max_bytes_per_trace (5000 bytes)"),
            "{large}"
        );
        let (spans, both) = told(3, 4).expect("dropped");
        assert_eq!(spans, 7);
        assert!(both.contains("3 spans") && both.contains("4 spans of new traces"), "{both}");
        assert!(both.contains("ingestion.max_traces_per_user (10)"), "{both}");
    }
}
