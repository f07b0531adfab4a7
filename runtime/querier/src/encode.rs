//! Answers on the wire: protobuf or JSON, as the client asked.

use std::io;

use axum::response::Response;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tempoform_core::{Error, ErrorKind, MemoryBudget, RequestKind, of_kind};
use tempoform_wire::internal::ReadAccount;

use crate::ApiError;
use crate::body::Body;
use crate::json::{self, NonFinite};

/// What an answer cost at the object store.
pub(crate) const ACCOUNT_HEADER: HeaderName = HeaderName::from_static("x-tempoform-object-store");
/// What could not be read, on answers that have no place for it in their body, and on "not found" that is not
/// sure for that reason.
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
}

/// Larger answers are written by threads that may take their time, bytes of the protobuf form.
const LARGE: usize = 64 << 10;

/// Writes answers in the form that was asked for, into memory that is reserved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoder<'a> {
    pub(crate) format: Format,
    pub(crate) memory: &'a MemoryBudget,
}

impl Encoder<'_> {
    /// `message` in the form asked for; `non_finite` is asked for only when it becomes JSON.
    pub(crate) async fn encode<T>(
        self,
        message: T,
        non_finite: impl FnOnce(&T) -> NonFinite + Send + 'static,
    ) -> Result<Response, ApiError>
    where
        T: prost::Message + Serialize + 'static,
    {
        let format = self.format;
        self.write(message.encoded_len(), move |memory| match format {
            Format::Json => json(&message, non_finite(&message), memory),
            Format::Protobuf => protobuf(&message, memory),
        })
        .await
    }

    /// Lets `write` write an answer of about `bytes`.
    pub(crate) async fn write(
        self,
        bytes: usize,
        write: impl FnOnce(&MemoryBudget) -> Result<Response, ApiError> + Send + 'static,
    ) -> Result<Response, ApiError> {
        if bytes <= LARGE {
            return write(self.memory);
        }
        let memory = self.memory.clone();
        tokio::task::spawn_blocking(move || write(&memory))
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, format!("encoding an answer: {error}")))?
    }
}

/// `message` as protobuf.
pub(crate) fn protobuf(message: &impl prost::Message, memory: &MemoryBudget) -> Result<Response, ApiError> {
    Ok(Body::protobuf(message, memory)?.into_response("application/protobuf"))
}

/// `message` as protobuf JSON.
pub(crate) fn json(
    message: &impl Serialize,
    non_finite: NonFinite,
    memory: &MemoryBudget,
) -> Result<Response, ApiError> {
    let mut body = Body::empty(memory)?;
    json::write(message, non_finite, &mut body).map_err(json_error)?;
    Ok(body.into_response("application/json"))
}

/// The body's own error, or what serde says.
fn json_error(error: serde_json::Error) -> Error {
    io::Error::from(error).downcast::<Error>().unwrap_or_else(|error| {
        Error::new(
            ErrorKind::Corrupt,
            format!("the answer has no JSON form: {error}; ask with Accept: application/protobuf"),
        )
    })
}

/// Adds the headers that tell cost and gaps.
pub(crate) fn annotate(response: &mut Response, account: &ReadAccount, missing: Option<&str>) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&account_text(account)) {
        headers.insert(ACCOUNT_HEADER, value);
    }
    if let Some(missing) = missing {
        tell_missing(headers, missing);
    }
}

/// Adds the header that tells gaps.
pub(crate) fn tell_missing(headers: &mut HeaderMap, missing: &str) {
    let printable: String = missing.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
    if let Ok(value) = HeaderValue::from_str(&printable) {
        headers.insert(PARTIAL_HEADER, value);
    }
}

fn account_text(account: &ReadAccount) -> String {
    let ReadAccount {
        requests,
        bytes,
        wait_nanos,
        cache_hits,
        cache_bytes,
        disk_hits,
        joined,
        hedged,
        retried,
        dependent_reads,
        by_kind,
    } = account;
    let wait_ms = *wait_nanos as f64 / 1e6;
    let mut text = format!(
        "requests={requests}, bytes={bytes}, wait_ms={wait_ms:.1}, cache_hits={cache_hits}, cache_bytes={cache_bytes}, \
         disk_hits={disk_hits}, joined={joined}, hedged={hedged}, retried={retried}, dependent_reads={dependent_reads}"
    );
    let by_kind = by_kind.unwrap_or_default();
    for kind in RequestKind::ALL {
        let requests = of_kind(&by_kind, kind);
        if requests > 0 {
            text.push_str(&format!(", {}={requests}", kind.as_str()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_answers_do_not_hold_up_the_others() {
        let memory = MemoryBudget::new(u64::MAX);
        let encoder = Encoder { format: Format::Json, memory: &memory };
        let (sender, receiver) = std::sync::mpsc::channel();
        for bytes in [LARGE, LARGE + 1] {
            let sender = sender.clone();
            let write = move |_: &MemoryBudget| {
                sender.send(std::thread::current().id()).unwrap();
                Ok(Response::default())
            };
            encoder.write(bytes, write).await.unwrap();
        }
        let this = std::thread::current().id();
        assert_eq!(receiver.recv().unwrap(), this);
        assert_ne!(receiver.recv().unwrap(), this);
    }

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
