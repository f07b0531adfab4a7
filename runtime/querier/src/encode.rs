//! Answers on the wire: protobuf or JSON, as the client asked.

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tempoform_core::{Error, ErrorKind};
use tempoform_wire::internal::ReadAccount;

use crate::ApiError;
use crate::json::{self, NonFinite};

/// What an answer cost at the object store.
pub(crate) const ACCOUNT_HEADER: HeaderName = HeaderName::from_static("x-tempoform-object-store");
/// What could not be read, on answers that have no place for it in their body.
pub(crate) const PARTIAL_HEADER: HeaderName = HeaderName::from_static("x-tempoform-partial");

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Protobuf,
}

impl Format {
    /// As Tempo reads `Accept`: protobuf where it is mentioned at all, else JSON; no weights.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let mentions =
            |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("application/protobuf"));
        if headers.get_all(ACCEPT).iter().any(mentions) { Self::Protobuf } else { Self::Json }
    }

    /// `message` in this form; `non_finite` is asked for only when it becomes JSON.
    pub(crate) fn encode<T>(
        self,
        message: &T,
        non_finite: impl FnOnce(&T) -> NonFinite,
    ) -> Result<Response, ApiError>
    where
        T: prost::Message + Serialize,
    {
        match self {
            Self::Json => json_response(message, non_finite(message)),
            Self::Protobuf => Ok(protobuf_response(message)),
        }
    }
}

pub(crate) fn protobuf_response(message: &impl prost::Message) -> Response {
    ([(CONTENT_TYPE, "application/protobuf")], message.encode_to_vec()).into_response()
}

pub(crate) fn json_response(message: &impl Serialize, non_finite: NonFinite) -> Result<Response, ApiError> {
    let body = json::encode(message, non_finite).map_err(|error| {
        Error::new(
            ErrorKind::Corrupt,
            format!("the answer has no JSON form: {error}; ask with Accept: application/protobuf"),
        )
    })?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Adds the headers that tell cost and gaps.
pub(crate) fn annotate(response: &mut Response, account: &ReadAccount, missing: Option<&str>) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&account_text(account)) {
        headers.insert(ACCOUNT_HEADER, value);
    }
    if let Some(missing) = missing {
        let printable: String =
            missing.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
        if let Ok(value) = HeaderValue::from_str(&printable) {
            headers.insert(PARTIAL_HEADER, value);
        }
    }
}

fn account_text(account: &ReadAccount) -> String {
    let ReadAccount { requests, bytes, wait_nanos, cache_hits, cache_bytes } = account;
    let wait_ms = *wait_nanos as f64 / 1e6;
    format!(
        "requests={requests}, bytes={bytes}, wait_ms={wait_ms:.1}, cache_hits={cache_hits}, cache_bytes={cache_bytes}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_only_where_mentioned() {
        let format = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            Format::accepted(&headers)
        };
        assert_eq!(format("application/protobuf"), Format::Protobuf);
        assert_eq!(format("application/json;q=1, application/protobuf;q=0.1"), Format::Protobuf);
        assert_eq!(format("*/*"), Format::Json);
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Json);
    }
}
