//! Reads Zipkin's JSON.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use tempoform_wire::otlp::SpanKind;

use super::{Annotation, Endpoint, Span};
use crate::fault::Fault;

/// Reads a list of spans.
pub(crate) fn spans(body: &[u8]) -> Result<Vec<Span>, Fault> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let spans: Vec<JsonSpan> = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        let fault = Fault::new(error.into_inner().to_string());
        if place == "." { fault } else { fault.within(place) }
    })?;
    json.end().map_err(|error| Fault::new(error.to_string()))?;
    spans
        .into_iter()
        .enumerate()
        .map(|(index, span)| span.checked().map_err(|fault| fault.within(format_args!("[{index}]"))))
        .collect()
}

/// An estimate of what reading takes: objects become structures, their members texts and attributes.
pub(crate) fn memory(body: &[u8]) -> u64 {
    const OBJECT: u64 = 512;
    const MEMBER: u64 = 128;
    let count = |byte| memchr::memchr_iter(byte, body).count() as u64;
    count(b'{') * OBJECT + count(b':') * MEMBER + body.len() as u64 * 2
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonSpan {
    trace_id: Hex<16>,
    id: Hex<8>,
    parent_id: Option<Hex<8>>,
    kind: Option<String>,
    name: Option<String>,
    timestamp: Option<u64>,
    duration: Option<u64>,
    local_endpoint: Option<JsonEndpoint>,
    remote_endpoint: Option<JsonEndpoint>,
    annotations: Option<Vec<JsonAnnotation>>,
    tags: Option<Tags>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonEndpoint {
    service_name: Option<String>,
    ipv4: Option<String>,
    ipv6: Option<String>,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct JsonAnnotation {
    timestamp: u64,
    value: String,
}

impl JsonSpan {
    fn checked(self) -> Result<Span, Fault> {
        let endpoint = |endpoint: Option<JsonEndpoint>, name: &str| {
            endpoint.map(JsonEndpoint::checked).transpose().map_err(|fault| fault.within(name))
        };
        let annotations = self.annotations.unwrap_or_default().into_iter();
        Ok(Span {
            trace_id: self.trace_id.0,
            id: self.id.0,
            parent_id: self.parent_id.map(|id| id.0),
            kind: match self.kind.as_deref() {
                Some("CLIENT") => SpanKind::Client,
                Some("SERVER") => SpanKind::Server,
                Some("PRODUCER") => SpanKind::Producer,
                Some("CONSUMER") => SpanKind::Consumer,
                _ => SpanKind::Unspecified,
            },
            name: self.name.unwrap_or_default(),
            timestamp: self.timestamp.unwrap_or_default(),
            duration: self.duration.unwrap_or_default(),
            local: endpoint(self.local_endpoint, "localEndpoint")?.unwrap_or_default(),
            remote: endpoint(self.remote_endpoint, "remoteEndpoint")?.unwrap_or_default(),
            annotations: annotations
                .map(|JsonAnnotation { timestamp, value }| Annotation { timestamp, value })
                .collect(),
            tags: self.tags.map(|tags| tags.0).unwrap_or_default(),
        })
    }
}

impl JsonEndpoint {
    fn checked(self) -> Result<Endpoint, Fault> {
        let address = |text: Option<String>, name: &str| -> Result<Option<IpAddr>, Fault> {
            let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
            text.parse().map(Some).map_err(|_| Fault::new("is no IP address").within(name))
        };
        let (ipv4, ipv6) = (address(self.ipv4, "ipv4")?, address(self.ipv6, "ipv6")?);
        Ok(Endpoint {
            service_name: self.service_name.unwrap_or_default(),
            address: ipv6.or(ipv4),
            port: self.port.unwrap_or_default(),
        })
    }
}

/// An id of up to `N` bytes in hex, filled up with zeros on the left.
struct Hex<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("expected an id of 1 to {} hexadecimal digits", N * 2)))
    }
}

/// The bytes of a number of up to `N` bytes in hex.
pub(super) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.is_empty() || digits.len() > N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (place, digit) in digits.iter().rev().enumerate() {
        let value = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
        bytes[N - 1 - place / 2] |= value << (4 * (place % 2));
    }
    Some(bytes)
}

/// An object of texts, in its order.
struct Tags(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags, A::Error> {
                let mut tags = Vec::new();
                while let Some(tag) = map.next_entry()? {
                    tags.push(tag);
                }
                Ok(Tags(tags))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
