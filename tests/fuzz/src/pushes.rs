//! What components say to each other, and the header that names a tenant.

use bytes::Bytes;
use prost::Message as _;
use tempoform_block::{BlockObject, BlockPath, paths};
use tempoform_core::{BatchId, BatchSet, Compressed, Followed, Led, Push, TenantId};
use tempoform_ingester::examine;
use tempoform_wire::internal::{PushRequest, PushedBatch};
use uuid::Uuid;

use crate::resources::within;

/// LZ4 makes nothing smaller than this share of it.
const BEST_RATIO: usize = 255;

/// The parts of a push, to be compared.
type Parts = (Vec<(Option<BatchId>, Bytes, usize)>, Vec<(BatchId, bool, Bytes)>);

fn parts(push: &Push) -> Parts {
    let led = push.led.iter().map(|led| (led.id, led.spans.payload.clone(), led.spans.spans.len()));
    let followed =
        push.followed.iter().map(|Followed { id, whole, spans }| (*id, *whole, spans.bytes().clone()));
    (led.collect(), followed.collect())
}

/// A push that is accepted, encoded by the schema's own code, is the same push.
pub(crate) fn push(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(push) = within(data.len() * BEST_RATIO * 4, || Push::decode(&bytes)) else { return };
    let led = push.led.iter().map(|Led { id, spans, compressed }| PushedBatch {
        origin: id.map_or(0, |id| id.origin),
        number: id.map_or(0, |id| id.number),
        followed: false,
        part: false,
        spans: if compressed.is_none() { spans.payload.clone() } else { Bytes::new() },
        compressed_spans: compressed.as_ref().map(|spans| spans.bytes().clone()).unwrap_or_default(),
    });
    let followed = push.followed.iter().map(|Followed { id, whole, spans }| PushedBatch {
        origin: id.origin,
        number: id.number,
        followed: true,
        part: !whole,
        spans: Bytes::new(),
        compressed_spans: spans.bytes().clone(),
    });
    let encoded = PushRequest { batches: led.chain(followed).collect() }.encode_to_vec().into();
    let again = Push::decode(&encoded).map(|again| parts(&again));
    // An empty field is the same as none in the schema, and then the batch has no spans.
    match again {
        Ok(again) => assert_eq!(again, parts(&push)),
        Err(error) => {
            let is_empty = push.followed.iter().any(|one| one.spans.bytes().is_empty())
                || push.led.iter().any(|one| one.spans.payload.is_empty());
            assert!(is_empty, "{error}");
        }
    }
}

/// Expanding takes no more memory than the bytes can stand for, and what is compressed is expanded again.
pub(crate) fn compressed(data: &[u8]) {
    let whole = Compressed::new(data);
    assert_eq!(whole.expand().as_deref().ok(), Some(data));
    let claimed = Compressed::from_bytes(Bytes::copy_from_slice(data));
    if let Ok(payload) = within(data.len() * BEST_RATIO, || claimed.expand()) {
        assert!(payload.len() <= data.len() * BEST_RATIO);
        assert_eq!(Compressed::new(&payload).expand().ok(), Some(payload));
    }
}

/// A set of batches, as in notes beside the log and in calls, is the same when written again, and does what sets do.
pub(crate) fn stored_batches(data: &[u8]) {
    let Ok(set) = within(data.len() * 4096, || examine::stored_batches(data)) else { return };
    assert_eq!(BatchSet::from_wire(&set.to_wire()).ok().as_ref(), Some(&set));
    let (mut double, mut nothing) = (set.clone(), set.clone());
    double.add(&set);
    nothing.remove(&set);
    assert_eq!(double, set);
    assert!(nothing.is_empty());
    assert_eq!(set.common(&double), set);
    assert_eq!(set.is_empty(), set.to_wire().is_empty());
}

/// A name that is accepted is the folder it names and no other.
pub(crate) fn tenant(data: &[u8]) {
    // What is not text does not come as far as this.
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(tenant) = text.parse::<TenantId>() else { return };
    assert_eq!((tenant.as_str(), tenant.to_string().as_str()), (text, text));
    assert!((1..=150).contains(&text.len()) && text.is_ascii());
    let path = BlockPath::new(tenant.clone(), Uuid::nil()).object(&BlockObject::Meta);
    let folders: Vec<_> = path.as_ref().split('/').map(str::to_owned).collect();
    assert_eq!(folders.len(), 3, "{path}");
    assert_eq!(paths::tenant_of_folder(&folders[0]), Some(tenant), "{path}");
}
