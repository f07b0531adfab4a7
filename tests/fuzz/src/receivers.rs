//! Jaeger and Zipkin.

use prost::Message as _;
use tempoform_core::scan_export_request;
use tempoform_translate::Format;
use tempoform_wire::otlp::ExportTraceServiceRequest;

use crate::resources::within;

/// What is translated is an OTLP request that the scan takes, but for ids that OTLP does not have, and took the memory
/// that was reserved for it.
fn translates(format: Format, data: &[u8], most: usize) {
    let Ok(request) = within(most, || format.translate(data)) else { return };
    ExportTraceServiceRequest::decode(&request[..]).expect("a translation decodes");
    assert_eq!(format.translate(data).as_ref(), Ok(&request), "the same for the same bytes");
    if let Err(error) = scan_export_request(request.into()) {
        assert_ne!(error.reason(), "malformed", "{error}");
    }
}

fn limited(format: Format, data: &[u8]) {
    translates(format, data, format.memory(data) as usize);
}

pub(crate) fn zipkin_json(data: &[u8]) {
    // For JSON it is an estimate.
    translates(Format::ZipkinJson, data, Format::ZipkinJson.memory(data) as usize * 4);
}

pub(crate) fn zipkin_proto(data: &[u8]) {
    limited(Format::ZipkinProto, data);
}

pub(crate) fn jaeger_proto(data: &[u8]) {
    limited(Format::JaegerProto, data);
}

pub(crate) fn jaeger_thrift(data: &[u8]) {
    limited(Format::JaegerThriftBinary, data);
}

pub(crate) fn jaeger_compact(data: &[u8]) {
    limited(Format::JaegerAgentCompact, data);
}

pub(crate) fn jaeger_binary(data: &[u8]) {
    limited(Format::JaegerAgentBinary, data);
}
