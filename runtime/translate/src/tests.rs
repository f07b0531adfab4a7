//! Bytes that nobody meant to send, in every format.

use proptest::prelude::*;

use crate::Format;

const FORMATS: [Format; 6] = [
    Format::JaegerProto,
    Format::JaegerThriftBinary,
    Format::JaegerAgentCompact,
    Format::JaegerAgentBinary,
    Format::ZipkinJson,
    Format::ZipkinProto,
];

/// Takes or refuses `body`; what is taken can be read as OTLP.
pub(crate) fn take_or_refuse(format: Format, body: &[u8]) {
    use prost::Message as _;
    if let Ok(otlp) = format.translate(body) {
        tempoform_wire::otlp::ExportTraceServiceRequest::decode(&*otlp).expect("OTLP");
    }
}

/// Every cut and a few thousand changed bytes of a valid body.
pub(crate) fn damage(format: Format, body: &[u8]) {
    for end in 0..body.len() {
        take_or_refuse(format, &body[..end]);
    }
    for at in 0..body.len() {
        for value in [0, 1, 0x0c, 0x7f, 0x80, 0xff] {
            let mut changed = body.to_vec();
            changed[at] = value;
            take_or_refuse(format, &changed);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in FORMATS {
            take_or_refuse(format, &body);
        }
    }
}

#[test]
fn tiny_parts_without_end_are_refused_before_they_take_memory() {
    // An empty tag is two bytes on the wire, and a structure in memory.
    let tags = [0x5a, 0x00].repeat(1 << 20);
    let mut body = vec![0x0a];
    tempoform_core::protobuf::put_varint(&mut body, tags.len() as u64);
    body.extend(&tags);
    let error = Format::ZipkinProto.translate(&body).expect_err("too much").to_string();
    assert!(error.contains("bytes of memory"), "{error}");
}
