use std::io::Write as _;
use std::sync::Arc;

use http_body_util::StreamBody;
use tempoform_core::MemoryBudget;

use super::*;
use crate::placement::Placement;

const LIMIT: usize = 4 << 20;

fn distributor(max_inflight_bytes: u64) -> Arc<Distributor> {
    let options = crate::Options { max_inflight_bytes, ..crate::distributor::tests::options() };
    let nobody = Arc::new(Placement::new(Vec::new(), 1));
    Distributor::new(options, Arc::new(move || Arc::clone(&nobody)), MemoryBudget::new(u64::MAX))
}

async fn read_gzip(distributor: &Distributor, body: Body) -> Result<(Bytes, Reservation), Refusal> {
    let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    let place = distributor.admit(0)?;
    read(distributor, Source::OTLP_HTTP, LIMIT, &headers, body, place).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_gives_its_room_back() {
    let distributor = distributor(1 << 20);
    let first = futures::stream::iter([Ok::<_, Error>(Frame::data(Bytes::from_static(b"some of it")))]);
    let body = StreamBody::new(futures::StreamExt::chain(first, futures::stream::pending()));
    let refused = read_gzip(&distributor, Body::new(body)).await.map(drop).map_err(|refusal| refusal.status);
    assert_eq!(refused, Err(StatusCode::SERVICE_UNAVAILABLE), "to be sent again");
    distributor.admit(1 << 20).expect("all of the room");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_a_byte_now_and_then_does_not_go_on_for_ever() {
    let distributor = distributor(1 << 20);
    let bytes = futures::stream::unfold((), async |()| {
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        Some((Ok::<_, Error>(Frame::data(Bytes::from_static(b"x"))), ()))
    });
    let body = Body::new(StreamBody::new(bytes));
    let refused = read_gzip(&distributor, body).await.map(drop).map_err(|refusal| refusal.error.kind());
    assert_eq!(refused, Err(ErrorKind::Timeout));
}

#[tokio::test]
async fn what_is_unpacked_has_room_or_is_refused() {
    let roomy = distributor(64 << 20);
    let (bytes, place) =
        read_gzip(&roomy, gzip(&vec![0; LIMIT]).into()).await.map_err(|refusal| refusal.error).expect("fits");
    assert_eq!(bytes.len(), LIMIT);
    assert!(place.bytes() >= LIMIT as u64);

    // A thousandth of the room, packed.
    let crowded = distributor(1 << 20);
    let refused = read_gzip(&crowded, gzip(&vec![0; LIMIT]).into()).await.map(drop);
    let Refusal { error, status } = refused.expect_err("no room");
    assert_eq!((error.kind(), status), (ErrorKind::Exhausted, StatusCode::TOO_MANY_REQUESTS));
    assert!(error.retry_hint().is_some(), "for a while: {error}");
    crowded.admit(1 << 20).expect("all of the room");
}
