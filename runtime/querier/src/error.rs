use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tempoform_core::{Error, ErrorKind};

use crate::encode;

/// What a query answers instead of a result. The text is the body, as plain text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Multi-tenancy is on and no tenant is named.
    #[error("no org id")]
    NoOrgId,
    /// The first version of trace by id cannot give a part of a trace.
    #[error("trace exceeds max size (max bytes: {max})")]
    TraceTooLarge { max: usize },
    /// Every source answered, none has the trace. Tempo's body is empty, and so is ours.
    #[error("")]
    TraceNotFound,
    /// No source that answered has the trace. Others were asked already where there are any, so a frontend
    /// does not try again.
    #[error("trace not found, but not everything could be read: {missing}")]
    TraceNotFoundSoFar { missing: String },
    #[error("no such page")]
    NoSuchPage,
    #[error("TraceQL metrics queries are not implemented; search works")]
    MetricsNotImplemented,
    #[error("{0}")]
    Failed(#[from] Error),
}

impl ApiError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Failed(Error::new(ErrorKind::Invalid, message))
    }

    pub(crate) fn deadline(after: Duration) -> Self {
        let seconds = after.as_secs_f64();
        Self::Failed(Error::new(ErrorKind::Timeout, format!("the query took longer than {seconds} s")))
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoOrgId => StatusCode::UNAUTHORIZED,
            Self::TraceTooLarge { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TraceNotFound | Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::TraceNotFoundSoFar { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::MetricsNotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Failed(error) => error.http_status(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match &self {
            Self::Failed(error) => {
                if let Some(after) = error.retry_hint() {
                    headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
                }
            }
            Self::TraceNotFoundSoFar { missing } => encode::tell_missing(headers, missing),
            _ => {}
        }
        response
    }
}
