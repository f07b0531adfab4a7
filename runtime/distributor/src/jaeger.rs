//! Jaeger over gRPC (`PostSpans`) and over HTTP (`POST /api/traces`, binary Thrift).

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use tempoform_core::push_rpc::ExportHandler;
use tempoform_core::{Reservation, TENANT_HEADER};
use tempoform_translate::Format;
use tempoform_wire::otlp::ExportTraceServiceResponse;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::distributor::Distributor;
use crate::http_body::{content_type, receive_translated};
use crate::source::Source;
use crate::status::grpc_status;

/// `jaeger.api_v2.CollectorService/PostSpans`; serve it with [`tempoform_core::push_rpc::ExportServer`].
#[derive(Debug)]
pub struct JaegerGrpc(pub Arc<Distributor>);

#[async_trait::async_trait]
impl ExportHandler for JaegerGrpc {
    type Response = ExportTraceServiceResponse;

    /// The answer is an empty message, as `PostSpansResponse` is.
    async fn export(
        &self,
        metadata: &MetadataMap,
        request: Bytes,
        place: Option<Reservation>,
    ) -> Result<ExportTraceServiceResponse, Status> {
        const SOURCE: Source = Source::JAEGER_GRPC;
        let header = metadata.get(TENANT_HEADER).and_then(|value| value.to_str().ok());
        let begun = self.0.begin(SOURCE, header, place);
        let (tenant, place) = begun.map_err(|error| grpc_status(&error))?;
        let received = self.0.receive_as(Format::JaegerProto, SOURCE, &tenant, request, place).await;
        received.map_err(|error| grpc_status(&error))?;
        Ok(ExportTraceServiceResponse::default())
    }

    fn refused(&self, reason: &'static str) {
        self.0.refuse(reason, Source::JAEGER_GRPC);
    }

    fn admit(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<(), Status> {
        self.0.admit_part(place, bytes).map_err(|error| grpc_status(&error))
    }
}

/// The routes of Thrift over HTTP; bodies hold `max_request_bytes` at most, uncompressed.
pub fn jaeger_http(distributor: Arc<Distributor>, max_request_bytes: usize) -> Router {
    Router::new()
        .route("/api/traces", post(batch))
        .layer(DefaultBodyLimit::disable())
        .with_state((distributor, max_request_bytes))
}

async fn batch(
    State((distributor, max_request_bytes)): State<(Arc<Distributor>, usize)>,
    request: Request,
) -> Response {
    const SOURCE: Source = Source::JAEGER_HTTP;
    let content_type = content_type(request.headers());
    if !matches!(content_type, "application/x-thrift" | "application/vnd.apache.thrift.binary") {
        distributor.refuse("content_type", SOURCE);
        let message =
            "unsupported content type: send application/x-thrift or application/vnd.apache.thrift.binary";
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    receive_translated(&distributor, Format::JaegerThriftBinary, SOURCE, max_request_bytes, request).await
}
