//! OTLP over gRPC.

use std::sync::Arc;

use bytes::Bytes;
use tempoform_core::push_rpc::ExportHandler;
use tempoform_core::{PushOutcome, Reservation, TENANT_HEADER};
use tempoform_wire::otlp::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::distributor::Distributor;
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
        Ok(response(outcome))
    }

    fn refused(&self, reason: &'static str) {
        self.0.refuse(reason, SOURCE);
    }

    fn admit(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<(), Status> {
        self.0.admit_part(place, bytes).map_err(|error| grpc_status(&error))
    }
}

/// Empty when all is stored; a partial success when spans were refused for good.
pub(crate) fn response(outcome: PushOutcome) -> ExportTraceServiceResponse {
    let PushOutcome { rejected_spans } = outcome;
    let partial_success = (rejected_spans > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(rejected_spans).unwrap_or(i64::MAX),
        error_message:
            "some spans were dropped: their traces are over max_bytes_per_trace or max_traces_per_user"
                .to_owned(),
    });
    ExportTraceServiceResponse { partial_success }
}
