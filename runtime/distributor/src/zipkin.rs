//! Zipkin over HTTP: `POST /api/v2/spans`, JSON or protobuf.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use http::StatusCode;
use tempoform_translate::Format;

use crate::distributor::Distributor;
use crate::http_body::{content_type, receive_translated};
use crate::source::Source;

/// The receiver's routes; bodies hold `max_request_bytes` at most, uncompressed.
pub fn zipkin_http(distributor: Arc<Distributor>, max_request_bytes: usize) -> Router {
    Router::new()
        .route("/api/v2/spans", post(spans))
        .route("/api/v1/spans", any(version_1))
        .layer(DefaultBodyLimit::disable())
        .with_state((distributor, max_request_bytes))
}

/// Anything that is not protobuf is read as JSON, as Zipkin itself does.
async fn spans(
    State((distributor, max_request_bytes)): State<(Arc<Distributor>, usize)>,
    request: Request,
) -> Response {
    let (format, source) = match content_type(request.headers()) {
        "application/x-protobuf" | "application/protobuf" => (Format::ZipkinProto, Source::ZIPKIN_PROTO),
        _ => (Format::ZipkinJson, Source::ZIPKIN_JSON),
    };
    receive_translated(&distributor, format, source, max_request_bytes, request).await
}

async fn version_1() -> Response {
    let message =
        "Zipkin's version 1 is not taken here: send version 2 to /api/v2/spans, as JSON or protobuf";
    (StatusCode::NOT_FOUND, message).into_response()
}
