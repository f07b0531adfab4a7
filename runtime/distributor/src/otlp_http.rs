//! OTLP over HTTP: `POST /v1/traces`, protobuf or JSON, plain, gzip or zstd.

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use tempoform_core::{Error, ErrorKind, Reservation, Result, TENANT_HEADER};

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
    let mut place = distributor.admit(0)?;
    let payload = read(distributor, &parts.headers, body, &mut place).await?;
    let payload = match encoding {
        Encoding::Protobuf => payload,
        Encoding::Json => {
            let _held = distributor
                .memory(json_memory(&payload), "a request in JSON")
                .inspect_err(|_| distributor.refuse("memory_ceiling", "http"))?;
            off_thread(payload.len(), move || decode_json(&payload))
                .await
                .inspect_err(|_| distributor.refuse("malformed", "http"))?
        }
    };
    let outcome = response(distributor.receive("http", &tenant, payload, place).await?);
    Ok(match encoding {
        Encoding::Protobuf => outcome.encode_to_vec(),
        Encoding::Json => serde_json::to_vec(&outcome).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("could not write the answer: {error}"))
        })?,
    })
}

/// The body, decompressed, within the size limit; `place` grows with it.
async fn read(
    distributor: &Distributor,
    headers: &HeaderMap,
    body: Body,
    place: &mut Reservation,
) -> Result<Bytes, Refusal> {
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
    let crowded = |error: Error| {
        distributor.refuse("inflight_bytes", "http");
        Refusal::from(error)
    };
    let encoding =
        headers.get(header::CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    let compression = match encoding {
        "identity" | "" => None,
        "gzip" => Some(Compression::Gzip),
        "zstd" => Some(Compression::Zstd),
        other => {
            distributor.refuse("content_encoding", "http");
            let message = format!("unsupported content encoding {other:?}: send gzip, zstd or none");
            let error = Error::new(ErrorKind::Invalid, message);
            return Err(Refusal { error, status: StatusCode::UNSUPPORTED_MEDIA_TYPE });
        }
    };
    let mut limited = Limited::new(body, limit);
    let mut body = BytesMut::new();
    while let Some(frame) = limited.frame().await {
        let data = match frame.map(Frame::into_data) {
            Ok(Ok(data)) => data,
            Ok(Err(_trailers)) => continue,
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(error) => return Err(undecodable(format!("could not read the request: {error}"))),
        };
        distributor.grow(place, (body.len() + data.len()) as u64).map_err(crowded)?;
        body.extend_from_slice(&data);
    }
    let body = body.freeze();
    let Some(compression) = compression else { return Ok(body) };
    // While it is unpacked both forms are there; how large the other one is shows only then.
    let both = (body.len() + limit.min(body.len().saturating_mul(USUAL_RATIO))) as u64;
    distributor.grow(place, both).map_err(crowded)?;
    let unpacked = off_thread(body.len(), move || Ok(decompress(compression, &body, limit))).await?;
    match unpacked {
        Ok(Some(bytes)) => {
            place.shrink_to(bytes.len() as u64);
            distributor.grow(place, bytes.len() as u64).map_err(crowded)?;
            Ok(bytes.into())
        }
        Ok(None) => Err(too_large()),
        Err(error) => Err(undecodable(format!("broken {encoding} body: {error}"))),
    }
}

#[derive(Clone, Copy)]
enum Compression {
    Gzip,
    Zstd,
}

/// How much smaller spans get by compression, as a rule.
const USUAL_RATIO: usize = 8;

/// Everything that `body` unpacks to; `None` if that is more than `limit`.
fn decompress(compression: Compression, body: &[u8], limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = limit as u64;
    match compression {
        Compression::Gzip => {
            flate2::read::MultiGzDecoder::new(body).take(limit + 1).read_to_end(&mut bytes)?
        }
        Compression::Zstd => {
            zstd::stream::read::Decoder::with_buffer(body)?.take(limit + 1).read_to_end(&mut bytes)?
        }
    };
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Bodies above this are worked on by threads that may be busy for a while.
const SMALL: usize = 32 << 10;

/// Runs CPU work on `bytes` bytes where it holds up nobody.
async fn off_thread<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes <= SMALL {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, format!("reading the request failed: {error}")))
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
