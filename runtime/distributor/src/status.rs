//! Errors as OTLP clients see them: a gRPC status, or over HTTP its code and a `google.rpc.Status` body.
//!
//! Source: [OTLP specification](https://opentelemetry.io/docs/specs/otlp/), "Failures" and
//! "OTLP/HTTP Response".

use std::time::Duration;

use http::StatusCode;
use prost::Message as _;
use tempoform_core::{Error, ErrorKind};
use tonic::Status;

/// The gRPC status, with `RetryInfo` where a retry makes sense at a known time.
pub(crate) fn grpc_status(error: &Error) -> Status {
    error.clone().into()
}

/// The HTTP status: what is retryable over gRPC is retryable here.
pub(crate) fn http_status(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Corrupt => StatusCode::SERVICE_UNAVAILABLE,
        _ => error.http_status(),
    }
}

/// Seconds for `Retry-After`, rounded up.
pub(crate) fn retry_after_seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

/// `google.rpc.Status` in protobuf.
pub(crate) fn status_protobuf(code: i32, message: &str) -> Vec<u8> {
    tonic_types::pb::Status { code, message: message.to_owned(), details: Vec::new() }.encode_to_vec()
}
