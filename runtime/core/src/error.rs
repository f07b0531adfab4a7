use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What a caller should do about an error. HTTP status and gRPC code follow from this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong; the same request will fail again.
    Invalid,
    /// The request does not say whose it is.
    Unauthenticated,
    /// The one it names may not do this here.
    Forbidden,
    /// The thing asked for is not there.
    NotFound,
    /// A limit or a ceiling was reached; try again later, or raise the limit.
    Exhausted,
    /// Something needed is down or not ready; try again.
    Unavailable,
    /// The caller's deadline passed.
    Timeout,
    /// Stored data is damaged.
    Corrupt,
    /// A defect of ours.
    Internal,
}

/// An error as it crosses a component's edge: a kind, a message for a person, a retry hint.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
}

/// `Result` with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error; `message` says what happened, where, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// The same, with a hint when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The same error with `context: ` before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When to try again, if known.
    pub fn retry_hint(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The HTTP status of the query API. (OTLP/HTTP has its own table, in the distributor.)
    pub fn http_status(&self) -> StatusCode {
        match self.kind {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The gRPC code.
    pub fn grpc_code(&self) -> Code {
        match self.kind {
            ErrorKind::Invalid => Code::InvalidArgument,
            ErrorKind::Unauthenticated => Code::Unauthenticated,
            ErrorKind::Forbidden => Code::PermissionDenied,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Exhausted => Code::ResourceExhausted,
            ErrorKind::Unavailable => Code::Unavailable,
            ErrorKind::Timeout => Code::DeadlineExceeded,
            ErrorKind::Corrupt => Code::DataLoss,
            ErrorKind::Internal => Code::Internal,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// With `RetryInfo` where a retry makes sense at a known time: clients and our own components read it.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, Error { kind: _, message, retry_after }) = (error.grpc_code(), error);
        match retry_after {
            Some(after) => {
                Self::with_error_details(code, message, ErrorDetails::with_retry_info(Some(after)))
            }
            None => Self::new(code, message),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let kind = match status.code() {
            Code::InvalidArgument | Code::FailedPrecondition => ErrorKind::Invalid,
            Code::Unauthenticated => ErrorKind::Unauthenticated,
            Code::PermissionDenied => ErrorKind::Forbidden,
            Code::NotFound => ErrorKind::NotFound,
            // tonic says "out of range" of a message over a size limit, its own or the peer's.
            Code::ResourceExhausted | Code::OutOfRange => ErrorKind::Exhausted,
            Code::DeadlineExceeded => ErrorKind::Timeout,
            Code::DataLoss => ErrorKind::Corrupt,
            Code::Unavailable | Code::Cancelled | Code::Aborted => ErrorKind::Unavailable,
            // A status that a peer sent has no source; one with a source tells of a broken connection.
            Code::Unknown | Code::Internal if status.source().is_some() => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        Self { kind, message: status.message().to_owned(), retry_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_same_on_the_other_side() {
        for kind in [
            ErrorKind::Invalid,
            ErrorKind::Unauthenticated,
            ErrorKind::Forbidden,
            ErrorKind::NotFound,
            ErrorKind::Exhausted,
            ErrorKind::Unavailable,
            ErrorKind::Timeout,
            ErrorKind::Corrupt,
            ErrorKind::Internal,
        ] {
            for hint in [None, Some(Duration::from_millis(1500))] {
                let sent = Error { kind, message: "so it is".to_owned(), retry_after: hint };
                let received = Error::from(Status::from(sent));
                assert_eq!((received.kind(), received.retry_hint()), (kind, hint));
                assert_eq!(received.message(), "so it is");
            }
        }
    }

    #[test]
    fn what_tonic_says_by_itself() {
        let kind = |status: Status| Error::from(status).kind();
        assert_eq!(kind(Status::out_of_range("message length too large")), ErrorKind::Exhausted);
        assert_eq!(kind(Status::from_error("connection reset by peer".into())), ErrorKind::Unavailable);
        assert_eq!(kind(Status::unknown("a handler gave up")), ErrorKind::Internal);
        assert_eq!(kind(Status::internal("the answer cannot be decoded")), ErrorKind::Internal);
    }
}
