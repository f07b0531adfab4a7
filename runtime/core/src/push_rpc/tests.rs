use std::io::Write as _;
use std::sync::Mutex;

use http_body_util::{BodyExt as _, StreamBody};
use tonic::Code;
use tower::Service as _;

use super::*;
use crate::MemoryBudget;

const LIMIT: usize = 4 << 20;

/// Remembers what came, what was refused, and how much room requests had.
struct Recorder {
    budget: MemoryBudget,
    requests: Mutex<Vec<(Bytes, u64)>>,
    refused: Mutex<Vec<&'static str>>,
}

impl Recorder {
    fn new(room: u64) -> Arc<Self> {
        let (requests, refused) = (Mutex::default(), Mutex::default());
        Arc::new(Self { budget: MemoryBudget::new(room), requests, refused })
    }
}

#[async_trait::async_trait]
impl ExportHandler for Recorder {
    type Response = ExportTraceServiceResponse;

    async fn export(
        &self,
        _: &MetadataMap,
        request: Bytes,
        place: Option<Reservation>,
    ) -> Result<ExportTraceServiceResponse, Status> {
        let room = place.map_or(0, |place| place.bytes());
        self.requests.lock().expect("not poisoned").push((request, room));
        Ok(ExportTraceServiceResponse::default())
    }

    fn refused(&self, reason: &'static str) {
        self.refused.lock().expect("not poisoned").push(reason);
    }

    fn admit(&self, place: &mut Option<Reservation>, bytes: u64) -> Result<(), Status> {
        match place {
            Some(place) => place.grow_to(bytes, "a test")?,
            none => *none = Some(self.budget.reserve(bytes, "a test")?),
        }
        Ok(())
    }
}

fn framed(is_packed: bool, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a length").to_be_bytes();
    [&[u8::from(is_packed)], &length[..], message].concat().into()
}

fn pack(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    if encoding == "zstd" {
        return zstd::encode_all(bytes, 1).expect("to memory");
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

/// Sends a request with this body; the code of the answer.
async fn send(handler: &Arc<Recorder>, encoding: &str, body: Body) -> Code {
    let request = http::Request::builder()
        .uri(Export::PATH)
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .body(body)
        .expect("a request");
    let mut server = ExportServer::<Export, _>::new(Arc::clone(handler), LIMIT);
    let Ok(response) = server.call(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("an answer");
    let status = parts.headers.get("grpc-status").or_else(|| body.trailers()?.get("grpc-status"));
    Code::from_bytes(status.expect("a status").as_bytes())
}

fn whole(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes))
}

/// Sends these bytes and then neither more nor the end.
fn never_ending(bytes: Bytes) -> Body {
    let first = tokio_stream::once(Ok::<_, Status>(http_body::Frame::data(bytes)));
    Body::new(StreamBody::new(tokio_stream::StreamExt::chain(first, tokio_stream::pending())))
}

#[tokio::test]
async fn a_message_is_handed_over_unpacked_and_has_room() {
    let message = b"spans ".repeat(40_000);
    for encoding in ["identity", "gzip", "zstd"] {
        let handler = Recorder::new(64 << 20);
        let is_packed = encoding != "identity";
        let bytes = if is_packed { pack(encoding, &message) } else { message.clone() };
        assert_eq!(send(&handler, encoding, whole(framed(is_packed, &bytes))).await, Code::Ok, "{encoding}");
        let requests = handler.requests.lock().expect("not poisoned").clone();
        assert_eq!(requests.len(), 1);
        let (received, room) = &requests[0];
        assert_eq!(received, &message, "{encoding}");
        assert!(*room >= message.len() as u64, "{room} bytes for {} in {encoding}", message.len());
        assert_eq!(handler.budget.used(), 0, "given back");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_counted() {
    let (zeros, small) = (vec![0; LIMIT], pack("gzip", &[0; 100]));
    let mut broken = small.clone();
    broken.truncate(small.len() / 2);
    for (encoding, body, room, code, reason) in [
        // Few bytes that unpack to many.
        ("gzip", framed(true, &pack("gzip", &zeros)), 1 << 20, Code::ResourceExhausted, "inflight_bytes"),
        ("zstd", framed(true, &pack("zstd", &zeros)), 1 << 20, Code::ResourceExhausted, "inflight_bytes"),
        ("gzip", framed(true, &pack("gzip", &[0; LIMIT + 1])), 1 << 30, Code::ResourceExhausted, "too_large"),
        ("identity", framed(false, &zeros), 1 << 20, Code::ResourceExhausted, "inflight_bytes"),
        ("identity", framed(false, &[0; LIMIT + 1]), 1 << 30, Code::ResourceExhausted, "too_large"),
        // Refused as soon as it says so.
        ("identity", Bytes::from_static(&[0, 255, 0, 0, 0]), 1 << 30, Code::ResourceExhausted, "too_large"),
        ("gzip", framed(true, &broken), 1 << 30, Code::InvalidArgument, "undecodable"),
        ("identity", framed(true, &small), 1 << 30, Code::InvalidArgument, "undecodable"),
        ("identity", framed(false, &small).slice(..10), 1 << 30, Code::InvalidArgument, "undecodable"),
        ("identity", Bytes::new(), 1 << 30, Code::InvalidArgument, "undecodable"),
        ("br", framed(true, &small), 1 << 30, Code::Unimplemented, "undecodable"),
    ] {
        let handler = Recorder::new(room);
        assert_eq!(send(&handler, encoding, whole(body)).await, code, "{encoding}, {reason}");
        assert_eq!(*handler.refused.lock().expect("not poisoned"), [reason], "{encoding}");
        assert!(handler.requests.lock().expect("not poisoned").is_empty());
        assert_eq!(handler.budget.used(), 0, "given back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_go_on_gives_its_room_back() {
    let message = framed(false, &[1; 1000]);
    // In mid-message, and with the message sent but the stream left open.
    for sent in [message.slice(..500), message] {
        let handler = Recorder::new(1 << 20);
        assert_eq!(send(&handler, "identity", never_ending(sent)).await, Code::Unavailable);
        assert_eq!(*handler.refused.lock().expect("not poisoned"), ["timeout"]);
        assert_eq!(handler.budget.used(), 0);
    }
}
