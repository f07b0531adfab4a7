//! `PushRequest` of `internal.proto` by hand: the spans in it are large and must not be copied on the way.

use bytes::Bytes;

use crate::protobuf::{Fields, Value, WireError, bytes_field_len, put_bytes_header};
use crate::{BatchId, Compressed, Error, ErrorKind, Followed, Led, Push, Result, scan_export_request};

/// Tag and value of `origin` and of `number`, and of a flag.
const ID_LEN: usize = 18;
const FLAG_LEN: usize = 2;

impl Push {
    /// As chunks of an encoded `PushRequest`; payloads are chunks of their own.
    pub(crate) fn encode(self) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        for Led { id, spans, compressed } in self.led {
            match compressed {
                Some(compressed) => put(&mut chunks, id, &[], COMPRESSED, compressed.bytes().clone()),
                None => put(&mut chunks, id, &[], SPANS, spans.payload),
            }
        }
        for Followed { id, whole, spans } in self.followed {
            let flags: &[u8] = if whole { &[FOLLOWED] } else { &[FOLLOWED, PART] };
            put(&mut chunks, Some(id), flags, COMPRESSED, spans.bytes().clone());
        }
        chunks
    }

    /// Reads an encoded `PushRequest`. Led batches are scanned, since the bytes came over a network; followed ones when
    /// somebody needs to know what is in them.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it is not one.
    pub fn decode(request: &Bytes) -> Result<Self> {
        let malformed = |error: WireError| Error::new(ErrorKind::Invalid, format!("a push {error}"));
        let mut push = Self::default();
        let mut fields = Fields::new(request);
        while let Some((number, value)) = fields.next_field().map_err(malformed)? {
            if let (1, Value::Bytes(batch)) = (number, value) {
                push.add(request, batch).map_err(malformed)??;
            }
        }
        Ok(push)
    }

    fn add(&mut self, request: &Bytes, batch: &[u8]) -> Result<Result<()>, WireError> {
        let (mut origin, mut number, mut is_followed, mut is_part) = (0, 0, false, false);
        let (mut payload, mut compressed) = (None, None);
        let mut fields = Fields::new(batch);
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Fixed64(value)) => origin = value,
                (2, Value::Fixed64(value)) => number = value,
                (3, Value::Varint(value)) => is_followed = value != 0,
                (4, Value::Bytes(value)) => payload = Some(request.slice_ref(value)),
                (5, Value::Bytes(value)) => {
                    compressed = Some(Compressed::from_bytes(request.slice_ref(value)));
                }
                (6, Value::Varint(value)) => is_part = value != 0,
                _ => {}
            }
        }
        let id = (origin != 0).then_some(BatchId { origin, number });
        Ok(match (is_followed, id, compressed) {
            (false, id, compressed) => self.add_led(id, payload, compressed),
            (true, Some(id), Some(spans)) => {
                self.followed.push(Followed { id, whole: !is_part, spans });
                Ok(())
            }
            (true, _, _) => {
                Err(Error::new(ErrorKind::Invalid, "a followed batch without an id, or not compressed"))
            }
        })
    }

    fn add_led(
        &mut self,
        id: Option<BatchId>,
        payload: Option<Bytes>,
        compressed: Option<Compressed>,
    ) -> Result<()> {
        let payload = match (&compressed, payload) {
            (Some(compressed), _) => compressed.expand()?,
            (None, Some(payload)) => payload,
            // A later way to send spans must not be acknowledged as none.
            (None, None) => return Err(Error::new(ErrorKind::Invalid, "a led batch without spans")),
        };
        self.led.push(Led { id, spans: scan_export_request(payload)?, compressed });
        Ok(())
    }
}

/// Fields of a batch.
const FOLLOWED: u8 = 3;
const SPANS: u8 = 4;
const COMPRESSED: u8 = 5;
const PART: u8 = 6;

/// Appends a batch: what stands before its payload, with the `flags` that are set, and the payload as field `number`.
fn put(chunks: &mut Vec<Bytes>, id: Option<BatchId>, flags: &[u8], number: u8, payload: Bytes) {
    let before = if id.is_some() { ID_LEN } else { 0 } + flags.len() * FLAG_LEN;
    let mut header = Vec::with_capacity(2 * 11 + before);
    put_bytes_header(&mut header, 1, before + bytes_field_len(payload.len()));
    if let Some(id) = id {
        for (tag, number) in [(0x09, id.origin), (0x11, id.number)] {
            header.push(tag);
            header.extend(number.to_le_bytes());
        }
    }
    flags.iter().for_each(|flag| header.extend([flag << 3, 1]));
    put_bytes_header(&mut header, number, payload.len());
    chunks.push(header.into());
    chunks.push(payload);
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tempoform_wire::internal::{PushRequest, PushedBatch};
    use tempoform_wire::otlp::{ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Span};

    use super::*;

    fn payload(trace: u8) -> Bytes {
        let span = Span { trace_id: vec![trace; 16], span_id: vec![1; 8], ..Default::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..Default::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    #[test]
    fn what_is_sent_is_the_message_of_the_schema_and_is_read_back() {
        let id = |number| BatchId { origin: 5, number };
        let scanned = |trace| scan_export_request(payload(trace)).expect("valid");
        let compressed = |trace| Compressed::new(&payload(trace));
        let push = Push {
            led: vec![
                Led { id: Some(id(1)), spans: scanned(1), compressed: Some(compressed(1)) },
                Led { id: None, spans: scanned(2), compressed: None },
            ],
            followed: vec![
                Followed { id: id(u64::MAX), whole: true, spans: compressed(3) },
                Followed { id: id(4), whole: false, spans: compressed(4) },
            ],
        };
        let bytes: Bytes = push.encode().concat().into();
        let batch = |origin, number, followed, trace: u8| PushedBatch {
            origin,
            number,
            followed,
            part: trace == 4,
            spans: if trace == 2 { payload(trace) } else { Bytes::new() },
            compressed_spans: if trace == 2 { Bytes::new() } else { compressed(trace).bytes().clone() },
        };
        let expected = vec![
            batch(5, 1, false, 1),
            batch(0, 0, false, 2),
            batch(5, u64::MAX, true, 3),
            batch(5, 4, true, 4),
        ];
        assert_eq!(PushRequest::decode(bytes.clone()).expect("valid").batches, expected);

        let read = Push::decode(&bytes).expect("valid");
        assert_eq!((read.led[0].id, &read.led[0].spans.payload), (Some(id(1)), &payload(1)));
        assert_eq!((read.led[1].id, &read.led[1].spans.payload), (None, &payload(2)));
        assert_eq!(read.led[0].spans.spans.len(), 1);
        assert_eq!((read.followed[0].id, &read.followed[0].spans), (id(u64::MAX), &compressed(3)));
        assert_eq!([read.followed[0].whole, read.followed[1].whole], [true, false]);
    }

    #[test]
    fn what_is_no_push_is_refused() {
        let nameless = PushedBatch { followed: true, compressed_spans: payload(1), ..Default::default() };
        let damaged =
            PushedBatch { compressed_spans: Bytes::from_static(b"\x09\0\0\0\xff"), ..Default::default() };
        let empty = PushedBatch { spans: Bytes::from_static(b"\x0a\x05"), ..Default::default() };
        for (batch, why) in [
            (nameless, "without an id"),
            (empty, "malformed OTLP request"),
            (damaged, "is damaged"),
            (PushedBatch::default(), "without spans"),
        ] {
            let bytes = PushRequest { batches: vec![batch] }.encode_to_vec().into();
            let refused = Push::decode(&bytes).expect_err("refused");
            assert!(refused.message().contains(why), "{refused}");
        }
        assert!(Push::decode(&Bytes::from_static(b"\x0a\xff")).is_err());
    }
}
