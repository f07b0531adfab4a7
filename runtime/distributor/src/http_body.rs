//! Bodies of requests over HTTP: plain, gzip or zstd; and requests that are answered with plain text.

use std::io::Read;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tempoform_core::{Error, ErrorKind, Reservation, Result, TENANT_HEADER};
use tempoform_translate::Format;

use crate::distributor::Distributor;
use crate::source::Source;
use crate::status::{http_status, retry_after_seconds};

/// The media type, without parameters; empty if there is none.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// Takes a request in `format` and answers as Jaeger and Zipkin do: 202, or a status with a text.
pub(crate) async fn receive_translated(
    distributor: &Distributor,
    format: Format,
    source: Source,
    limit: usize,
    request: Request,
) -> Response {
    let received: Result<(), Refusal> = async {
        let (parts, body) = request.into_parts();
        let header = parts.headers.get(TENANT_HEADER).and_then(|value| value.to_str().ok());
        let (tenant, mut place) = distributor.begin(source, header, 0)?;
        let payload = read(distributor, source, limit, &parts.headers, body, &mut place).await?;
        distributor.receive_as(format, source, &tenant, payload, place).await?;
        Ok(())
    }
    .await;
    match received {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(Refusal { error, status }) => {
            let mut response = (status, error.message().to_owned()).into_response();
            add_retry_after(&mut response, &error);
            response
        }
    }
}

/// An error, with the HTTP status where it is not the one that follows from its kind.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) status: StatusCode,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: http_status(&error), error }
    }
}

/// Tells when to try again, if that is known.
pub(crate) fn add_retry_after(response: &mut Response, error: &Error) {
    if let Some(after) = error.retry_hint() {
        let seconds = HeaderValue::from(retry_after_seconds(after));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
}

/// The body, decompressed, within the size limit; `place` grows with it.
pub(crate) async fn read(
    distributor: &Distributor,
    source: Source,
    limit: usize,
    headers: &HeaderMap,
    body: Body,
    place: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let too_large = || {
        distributor.refuse("too_large", source);
        let message = format!("the request is larger than {limit} bytes; send smaller batches");
        Refusal { error: Error::new(ErrorKind::Exhausted, message), status: StatusCode::PAYLOAD_TOO_LARGE }
    };
    let undecodable = |message: String| {
        distributor.refuse("undecodable", source);
        Refusal::from(Error::new(ErrorKind::Invalid, message))
    };
    let crowded = |error: Error| {
        distributor.refuse("inflight_bytes", source);
        Refusal::from(error)
    };
    let encoding =
        headers.get(header::CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    let compression = match encoding {
        "identity" | "" => None,
        "gzip" => Some(Compression::Gzip),
        "zstd" => Some(Compression::Zstd),
        other => {
            distributor.refuse("content_encoding", source);
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
pub(crate) async fn off_thread<T: Send + 'static>(
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
