//! The one message of a request, read as it comes: no more of it, packed and unpacked, than there is room for, and no longer
//! than [`Patience`] lasts.
//!
//! Source: [gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), "Length-Prefixed-Message".

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;

use super::ExportHandler;
use crate::{Packing, Patience, Reservation, UnpackError, off_thread, unpack};

const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// Before each message: whether it is compressed, and its length.
pub(super) const HEADER: usize = 5;

/// A message, and the room that it has.
#[derive(Default)]
pub(super) struct Message {
    pub(super) bytes: Bytes,
    pub(super) place: Option<Reservation>,
}

/// A message that was not read.
pub(super) struct Refused {
    pub(super) status: Status,
    pub(super) reason: &'static str,
}

impl Refused {
    /// Clients send again what is `RESOURCE_EXHAUSTED` only with a hint when.
    fn too_large(limit: usize) -> Self {
        let message = format!("the message is larger than {limit} bytes; send smaller batches");
        Self { status: Status::resource_exhausted(message), reason: "too_large" }
    }

    /// Clients must not send this again.
    fn undecodable(problem: impl std::fmt::Display) -> Self {
        let status = Status::invalid_argument(format!("the message cannot be read: {problem}"));
        Self { status, reason: "undecodable" }
    }

    const fn crowded(status: Status) -> Self {
        Self { status, reason: "inflight_bytes" }
    }
}

impl Message {
    /// Reads it, of `limit` bytes at most, packed and unpacked.
    pub(super) async fn read<H: ExportHandler>(
        headers: &mut HeaderMap,
        body: Body,
        limit: usize,
        handler: &Arc<H>,
    ) -> Result<Self, Refused> {
        // Who handles the request sees it unpacked.
        let packing = match headers.remove(GRPC_ENCODING) {
            Some(encoding) if encoding != "identity" => Some(packing(&encoding)?),
            _ => None,
        };
        let mut place = None;
        let received = receive(body, limit, |bytes| handler.admit(&mut place, bytes)).await?;
        let Some((header, _)) = received.split_first_chunk::<HEADER>() else {
            return Err(Refused::undecodable("it is missing"));
        };
        let (is_packed, bytes) = (header[0] != 0, received.slice(HEADER..));
        if length(header) != bytes.len() {
            return Err(Refused::undecodable("it has another length than it says"));
        }
        match (is_packed, packing) {
            (false, _) => Ok(Self { bytes, place }),
            (true, Some(packing)) => unpacked(packing, bytes, place, limit, handler).await,
            (true, None) => Err(Refused::undecodable("it is compressed and grpc-encoding does not say how")),
        }
    }
}

fn packing(encoding: &tonic::codegen::http::HeaderValue) -> Result<Packing, Refused> {
    encoding.to_str().ok().and_then(Packing::named).ok_or_else(|| {
        let mut status =
            Status::unimplemented(format!("{GRPC_ENCODING} {encoding:?} is not known; send gzip or zstd"));
        let known = tonic::metadata::MetadataValue::from_static("identity,gzip,zstd");
        status.metadata_mut().insert(GRPC_ACCEPT_ENCODING, known);
        Refused { status, reason: "undecodable" }
    })
}

/// The length that a message says it has.
fn length(header: &[u8; HEADER]) -> usize {
    let [_, length @ ..] = *header;
    u32::from_be_bytes(length) as usize
}

/// All of the body; `admit` hears how many bytes it has so far.
async fn receive(
    mut body: Body,
    limit: usize,
    mut admit: impl FnMut(u64) -> Result<(), Status>,
) -> Result<Bytes, Refused> {
    let patience = Patience::default();
    let mut received = BytesMut::new();
    loop {
        let frame = patience.wait(body.frame()).await;
        let Some(frame) = frame
            .map_err(|late| Refused { status: Status::unavailable(late.to_string()), reason: "timeout" })?
        else {
            return Ok(received.freeze());
        };
        // The connection broke: nobody hears of this.
        let Ok(data) = frame.map_err(Refused::undecodable)?.into_data() else { continue };
        admit((received.len() + data.len()) as u64).map_err(Refused::crowded)?;
        received.extend_from_slice(&data);
        let is_too_long = |header| length(header) > limit;
        if received.len() > HEADER + limit || received.first_chunk().is_some_and(is_too_long) {
            return Err(Refused::too_large(limit));
        }
    }
}

async fn unpacked<H: ExportHandler>(
    packing: Packing,
    packed: Bytes,
    mut place: Option<Reservation>,
    limit: usize,
    handler: &Arc<H>,
) -> Result<Message, Refused> {
    let handler = Arc::clone(handler);
    let work = move || {
        let unpacked = unpack(packing, &packed, limit, |bytes| handler.admit(&mut place, bytes));
        Ok(unpacked.map(|bytes| {
            if let Some(place) = &mut place {
                place.shrink_to(bytes.capacity() as u64);
            }
            Message { bytes: bytes.into(), place }
        }))
    };
    // Few bytes may unpack to many.
    match off_thread(limit, work).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(UnpackError::TooLarge)) => Err(Refused::too_large(limit)),
        Ok(Err(UnpackError::Broken(error))) => Err(Refused::undecodable(error)),
        Ok(Err(UnpackError::Refused(status))) => Err(Refused::crowded(status)),
        Err(error) => Err(Refused { status: error.into(), reason: "undecodable" }),
    }
}
