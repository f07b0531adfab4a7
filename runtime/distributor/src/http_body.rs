//! Bodies of requests over HTTP: plain, gzip or zstd; and requests that are answered with plain text.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tempoform_core::{
    Error, ErrorKind, Packing, Patience, Reservation, Result, TENANT_HEADER, UnpackError, off_thread, unpack,
};
use tempoform_translate::Format;

use crate::distributor::{Distributor, PURPOSE};
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
        let (tenant, place) = distributor.begin(source, header, None)?;
        let (payload, place) = read(distributor, source, limit, &parts.headers, body, place).await?;
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

/// The body, decompressed, within the size limit, and room for it: more than `place` has, if need be.
pub(crate) async fn read(
    distributor: &Distributor,
    source: Source,
    limit: usize,
    headers: &HeaderMap,
    body: Body,
    mut place: Reservation,
) -> Result<(Bytes, Reservation), Refusal> {
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
    let packing = match (encoding, Packing::named(encoding)) {
        ("identity" | "", _) => None,
        (_, Some(packing)) => Some(packing),
        (other, None) => {
            distributor.refuse("content_encoding", source);
            let message = format!("unsupported content encoding {other:?}: send gzip, zstd or none");
            let error = Error::new(ErrorKind::Invalid, message);
            return Err(Refusal { error, status: StatusCode::UNSUPPORTED_MEDIA_TYPE });
        }
    };
    let mut limited = Limited::new(body, limit);
    let mut body = BytesMut::new();
    let patience = Patience::default();
    loop {
        let frame = patience.wait(limited.frame()).await.map_err(|late| {
            distributor.refuse("timeout", source);
            // It may have been the way, so it may be sent again.
            Refusal::from(Error::new(ErrorKind::Timeout, late.to_string()))
        })?;
        let Some(frame) = frame else { break };
        let data = match frame.map(Frame::into_data) {
            Ok(Ok(data)) => data,
            Ok(Err(_trailers)) => continue,
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
            Err(error) => return Err(undecodable(format!("could not read the request: {error}"))),
        };
        distributor.grow(&mut place, (body.len() + data.len()) as u64).map_err(crowded)?;
        body.extend_from_slice(&data);
    }
    let body = body.freeze();
    let Some(packing) = packing else { return Ok((body, place)) };
    // Few bytes may unpack to many.
    let unpacked = off_thread(limit, move || {
        let unpacked = unpack(packing, &body, limit, |bytes| place.grow_to(bytes, PURPOSE));
        Ok(unpacked.map(|bytes| {
            place.shrink_to(bytes.capacity() as u64);
            (Bytes::from(bytes), place)
        }))
    });
    unpacked.await?.map_err(|error| match error {
        UnpackError::TooLarge => too_large(),
        UnpackError::Broken(error) => undecodable(format!("broken {encoding} body: {error}")),
        UnpackError::Refused(error) => crowded(distributor.crowded(error)),
    })
}

#[cfg(test)]
mod tests;
