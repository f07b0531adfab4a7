use bytes::Bytes;

use crate::protobuf::{Fields, Value, WireError};
use crate::{Compressed, SpanBatch};

/// Memory that [`Push::decode`] takes at most, beside that of the request. To be reserved before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodedSize {
    /// What led batches say that they expand to, bytes.
    pub expanded: u64,
    /// References to their spans, bytes.
    pub references: u64,
}

impl DecodedSize {
    /// That of `request`. What `decode` refuses counts for what it takes until then.
    pub fn of(request: &Bytes) -> Self {
        let mut size = Self::default();
        let mut fields = Fields::new(request);
        while let Ok(Some((_, value))) = fields.next_field() {
            if let Value::Bytes(batch) = value {
                let (expanded, scanned) = led_bytes(request, batch).unwrap_or_default();
                size.expanded += expanded;
                size.references += SpanBatch::references_bytes_at_most(scanned);
            }
        }
        size
    }

    /// Of both.
    pub const fn bytes(self) -> u64 {
        self.expanded + self.references
    }
}

/// Of one batch: bytes that it expands to, and bytes that are scanned.
fn led_bytes(request: &Bytes, batch: &[u8]) -> Result<(u64, u64), WireError> {
    let (mut plain, mut expanded, mut is_followed) = (0, 0, false);
    let mut fields = Fields::new(batch);
    while let Some(field) = fields.next_field()? {
        match field {
            (3, Value::Varint(value)) => is_followed = value != 0,
            (4, Value::Bytes(value)) => plain = value.len() as u64,
            (5, Value::Bytes(value)) => {
                let compressed = Compressed::from_bytes(request.slice_ref(value));
                expanded = compressed.length().unwrap_or(0) as u64;
            }
            _ => {}
        }
    }
    Ok(if is_followed { (0, 0) } else { (expanded, expanded.max(plain)) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use tempoform_wire::internal::{PushRequest, PushedBatch};
    use tempoform_wire::otlp::{ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Span};

    use super::*;
    use crate::Push;

    /// The smallest spans, each under a scope and resource of its own.
    fn payload(spans: usize) -> Bytes {
        let span = Span { trace_id: vec![1; 16], span_id: vec![1; 8], ..Default::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..Default::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }; spans];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    fn request(batch: PushedBatch) -> Bytes {
        PushRequest { batches: vec![batch] }.encode_to_vec().into()
    }

    proptest! {
        #[test]
        fn what_is_decoded_takes_no_more(spans in 1..3000usize, is_compressed: bool) {
            let payload = payload(spans);
            let compressed = Compressed::new(&payload).bytes().clone();
            let batch = if is_compressed {
                PushedBatch { compressed_spans: compressed, ..Default::default() }
            } else {
                PushedBatch { spans: payload.clone(), ..Default::default() }
            };
            let request = request(batch);
            let decoded = Push::decode(&request).unwrap();
            let expanded = if is_compressed { payload.len() as u64 } else { 0 };
            let taken = expanded + decoded.led[0].spans.references_bytes();
            // The first few places of a list are more than few spans need.
            prop_assert!(taken <= DecodedSize::of(&request).bytes() + 4 * 32 * 3);
        }

        #[test]
        fn damage_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            DecodedSize::of(&bytes.into());
        }
    }

    #[test]
    fn what_is_followed_is_not_expanded() {
        let compressed_spans = Compressed::new(&payload(100)).bytes().clone();
        let followed = PushedBatch { origin: 1, followed: true, compressed_spans, ..Default::default() };
        assert_eq!(DecodedSize::of(&request(followed)), DecodedSize::default());
    }

    #[test]
    fn a_length_that_cannot_be_counts_for_nothing() {
        let compressed_spans = Bytes::from_static(&[255, 255, 255, 255, 0, 0]);
        let lies = PushedBatch { compressed_spans, ..Default::default() };
        assert_eq!(DecodedSize::of(&request(lies)), DecodedSize::default());
    }
}
