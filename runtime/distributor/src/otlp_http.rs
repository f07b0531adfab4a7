//! OTLP over HTTP: `POST /v1/traces`, protobuf or JSON, plain, gzip or zstd.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use prost::Message as _;
use tempoform_core::{Error, ErrorKind, Result, TENANT_HEADER, off_thread};

use crate::distributor::Distributor;
use crate::http_body::{Refusal, add_retry_after, content_type, read};
use crate::otlp_grpc::response;
use crate::source::Source;
use crate::status::status_protobuf;

const SOURCE: Source = Source::OTLP_HTTP;

/// The receiver's routes.
pub fn otlp_http(distributor: Arc<Distributor>) -> Router {
    Router::new().route("/v1/traces", post(export)).layer(DefaultBodyLimit::disable()).with_state(distributor)
}

#[derive(Clone, Copy)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        match content_type(headers) {
            "application/x-protobuf" | "application/protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

async fn export(State(distributor): State<Arc<Distributor>>, request: Request) -> Response {
    let Some(encoding) = Encoding::of(request.headers()) else {
        distributor.refuse("content_type", SOURCE);
        let message = "unsupported content type: send application/x-protobuf or application/json";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    };
    match receive(&distributor, encoding, request).await {
        Ok(body) => (StatusCode::OK, [(header::CONTENT_TYPE, encoding.content_type())], body).into_response(),
        Err(refusal) => refusal.into_response(encoding),
    }
}

impl Refusal {
    fn into_response(self, encoding: Encoding) -> Response {
        let code = self.error.grpc_code() as i32;
        let body = match encoding {
            Encoding::Protobuf => status_protobuf(code, self.error.message()),
            Encoding::Json => {
                serde_json::json!({ "code": code, "message": self.error.message() }).to_string().into()
            }
        };
        let mut response =
            (self.status, [(header::CONTENT_TYPE, encoding.content_type())], body).into_response();
        add_retry_after(&mut response, &self.error);
        response
    }
}

async fn receive(
    distributor: &Distributor,
    encoding: Encoding,
    request: Request,
) -> Result<Vec<u8>, Refusal> {
    let (parts, body) = request.into_parts();
    let header = parts.headers.get(TENANT_HEADER).and_then(|value| value.to_str().ok());
    let (tenant, place) = distributor.begin(SOURCE, header, None)?;
    let limit = distributor.options.max_request_bytes;
    let (payload, place) = read(distributor, SOURCE, limit, &parts.headers, body, place).await?;
    let payload = match encoding {
        Encoding::Protobuf => payload,
        Encoding::Json => {
            let _held = distributor
                .memory(json_memory(&payload), "a request in JSON")
                .inspect_err(|_| distributor.refuse("memory_ceiling", SOURCE))?;
            off_thread(payload.len(), move || decode_json(&payload))
                .await
                .inspect_err(|_| distributor.refuse("malformed", SOURCE))?
        }
    };
    let outcome = distributor.receive(SOURCE, &tenant, payload, place).await?;
    let outcome = response(distributor, &tenant, outcome);
    Ok(match encoding {
        Encoding::Protobuf => outcome.encode_to_vec(),
        Encoding::Json => serde_json::to_vec(&outcome).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("could not write the answer: {error}"))
        })?,
    })
}

/// An estimate of what a request in JSON takes while it is turned into protobuf: every object becomes a structure.
fn json_memory(body: &[u8]) -> u64 {
    const STRUCTURE: u64 = 320;
    memchr::memchr_iter(b'{', body).count() as u64 * STRUCTURE + body.len() as u64 * 2
}

/// OTLP/JSON (ids in hex, enums as numbers) to the protobuf form that everything else works on.
fn decode_json(body: &[u8]) -> Result<Bytes> {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    let request: ExportTraceServiceRequest = serde_json::from_slice(body)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("malformed OTLP JSON: {error}")))?;
    Ok(request.encode_to_vec().into())
}
