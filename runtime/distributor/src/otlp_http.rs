//! OTLP over HTTP: `POST /v1/traces`, protobuf or JSON, plain, gzip or zstd.

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use tempoform_core::{Error, ErrorKind, Result, TENANT_HEADER};

use crate::distributor::Distributor;
use crate::otlp_grpc::response;
use crate::status::{http_status, retry_after_seconds, status_protobuf};

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
        let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        match content_type.split(';').next().unwrap_or_default().trim() {
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
        distributor.refuse("content_type", "http");
        let message = "unsupported content type: send application/x-protobuf or application/json";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    };
    match receive(&distributor, encoding, request).await {
        Ok(body) => (StatusCode::OK, [(header::CONTENT_TYPE, encoding.content_type())], body).into_response(),
        Err(refusal) => refusal.into_response(encoding),
    }
}

/// An error, with the HTTP status where it is not the one that follows from its kind.
struct Refusal {
    error: Error,
    status: StatusCode,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: http_status(&error), error }
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
        if let Some(after) = self.error.retry_hint() {
            let seconds = HeaderValue::from(retry_after_seconds(after));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
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
    let tenant = distributor.tenant(header).inspect_err(|_| distributor.refuse("tenant", "http"))?;
    let payload = read(distributor, &parts.headers, body).await?;
    let payload = match encoding {
        Encoding::Protobuf => payload,
        Encoding::Json => decode_json(&payload).inspect_err(|_| distributor.refuse("malformed", "http"))?,
    };
    let outcome = response(distributor.receive("http", &tenant, payload).await?);
    Ok(match encoding {
        Encoding::Protobuf => outcome.encode_to_vec(),
        Encoding::Json => serde_json::to_vec(&outcome).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("could not write the answer: {error}"))
        })?,
    })
}

/// The body, decompressed, within the size limit.
async fn read(distributor: &Distributor, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let limit = distributor.options.max_request_bytes;
    let too_large = || {
        distributor.refuse("too_large", "http");
        let message = format!("the request is larger than {limit} bytes; send smaller batches");
        Refusal { error: Error::new(ErrorKind::Exhausted, message), status: StatusCode::PAYLOAD_TOO_LARGE }
    };
    let undecodable = |message: String| {
        distributor.refuse("undecodable", "http");
        Refusal::from(Error::new(ErrorKind::Invalid, message))
    };
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
        Err(error) => return Err(undecodable(format!("could not read the request: {error}"))),
    };
    let encoding =
        headers.get(header::CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    let decoded = match encoding {
        "identity" | "" => return Ok(body),
        "gzip" => decompress(flate2::read::MultiGzDecoder::new(&body[..]), limit),
        "zstd" => match zstd::stream::read::Decoder::with_buffer(&body[..]) {
            Ok(decoder) => decompress(decoder, limit),
            Err(error) => Err(error),
        },
        other => {
            distributor.refuse("content_encoding", "http");
            let message = format!("unsupported content encoding {other:?}: send gzip, zstd or none");
            let error = Error::new(ErrorKind::Invalid, message);
            return Err(Refusal { error, status: StatusCode::UNSUPPORTED_MEDIA_TYPE });
        }
    };
    match decoded {
        Ok(Some(bytes)) => Ok(bytes.into()),
        Ok(None) => Err(too_large()),
        Err(error) => Err(undecodable(format!("broken {encoding} body: {error}"))),
    }
}

/// Everything the decoder gives; `None` if that is more than `limit`.
fn decompress(decoder: impl Read, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// OTLP/JSON (ids in hex, enums as numbers) to the protobuf form that everything else works on.
fn decode_json(body: &[u8]) -> Result<Bytes> {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    let request: ExportTraceServiceRequest = serde_json::from_slice(body)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("malformed OTLP JSON: {error}")))?;
    Ok(request.encode_to_vec().into())
}
