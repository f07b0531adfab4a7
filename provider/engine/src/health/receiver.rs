//! The receiver that a canary is sent to, and how it is called.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message;
use reqwest::{Client, RequestBuilder, Response};

use super::probe::describe;
use super::{Outcome, WRITERS, chain};
use crate::object::{EndpointTls, Instance};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Before each message of a gRPC stream: a byte for compression, and the length.
const FRAME_HEAD: usize = 5;

/// A receiver of OTLP.
pub(super) struct Receiver<'a> {
    protocol: Protocol,
    address: &'a str,
    tls: Option<&'a EndpointTls>,
}

#[derive(Clone, Copy)]
enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    /// In the order of preference, with the endpoint's name.
    const ALL: [(Self, &'static str); 2] = [(Self::Http, "otlpHttp"), (Self::Grpc, "otlpGrpc")];
}

impl<'a> Receiver<'a> {
    /// The receiver to be used; without one, why, and how bad that is.
    pub(super) fn choose(instances: &'a [Instance]) -> Result<Self, (Outcome, String)> {
        let all: Vec<Self> = Protocol::ALL
            .into_iter()
            .flat_map(|(protocol, name)| {
                let writers = WRITERS.iter().flat_map(move |writer| {
                    instances.iter().filter(move |instance| instance.name == *writer)
                });
                writers.filter_map(move |instance| {
                    let address = instance.endpoints.get(name)?;
                    Some(Self { protocol, address, tls: instance.tls.get(name) })
                })
            })
            .collect();
        if all.is_empty() {
            let reason = "no component takes OTLP in: distributor and tempo have no otlpHttp or otlpGrpc";
            return Err((Outcome::Fail, reason.to_owned()));
        }
        all.into_iter()
            .find(|receiver| !receiver.tls.is_some_and(|tls| tls.asks_for_certificates))
            .ok_or_else(|| {
                let reason = "no canary is sent: every receiver asks for a client certificate";
                (Outcome::Warn, reason.to_owned())
            })
    }

    /// What it is called at, for people.
    pub(super) fn place(&self) -> String {
        match self.protocol {
            Protocol::Http => self.url(),
            Protocol::Grpc if self.tls.is_some() => format!("grpcs://{}", self.address),
            Protocol::Grpc => format!("grpc://{}", self.address),
        }
    }

    fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let path = match self.protocol {
            Protocol::Http => "/v1/traces",
            Protocol::Grpc => EXPORT,
        };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Sends a request and gives the decoded answer. `add` puts in what the protocol does not.
    pub(super) async fn call<A: Message + Default>(
        &self,
        request: &impl Message,
        timeout: Duration,
        add: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<A, String> {
        let post = self.client(timeout)?.post(self.url());
        let post = match self.protocol {
            Protocol::Http => {
                post.header("content-type", "application/x-protobuf").body(request.encode_to_vec())
            }
            Protocol::Grpc => {
                post.header("content-type", "application/grpc").header("te", "trailers").body(framed(request))
            }
        };
        let request = add(post);
        let answer = request.send().await.map_err(|error| chain(&error))?;
        self.check_certificate(&answer)?;
        if !answer.status().is_success() {
            return Err(describe(answer).await);
        }
        if let Some(status) = refusal(&answer) {
            return Err(status);
        }
        let body = answer.bytes().await.map_err(|error| chain(&error))?;
        let message = match self.protocol {
            Protocol::Http => Some(&body[..]),
            Protocol::Grpc => body.get(FRAME_HEAD..),
        };
        let message = message.ok_or("ended its answer without a message")?;
        A::decode(message).map_err(|error| format!("did not answer in OTLP: {error}"))
    }

    fn client(&self, timeout: Duration) -> Result<Client, String> {
        // Certificates are mostly for a public name, and we call an address of this machine: instead of the
        // name, `check_certificate` compares the certificate itself.
        let builder = Client::builder()
            .no_proxy()
            .timeout(timeout)
            .tls_danger_accept_invalid_certs(self.tls.is_some())
            .tls_info(self.tls.is_some());
        let builder = match self.protocol {
            Protocol::Http => builder,
            Protocol::Grpc => builder.http2_prior_knowledge(),
        };
        builder.build().map_err(|error| format!("no HTTP client: {}", chain(&error)))
    }

    /// Whether the answer came from who has the certificate of the receiver's configuration.
    fn check_certificate(&self, answer: &Response) -> Result<(), String> {
        let Some(EndpointTls { certificate, asks_for_certificates: _ }) = self.tls else { return Ok(()) };
        let expected = first_certificate(certificate)?;
        let info = answer.extensions().get::<reqwest::tls::TlsInfo>();
        if info.and_then(|info| info.peer_certificate()) == Some(expected.as_slice()) {
            return Ok(());
        }
        Err(format!(
            "it showed another certificate than {} has; a renewed one is taken within seconds, then check again",
            certificate.display()
        ))
    }
}

fn framed(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(FRAME_HEAD + message.len());
    frame.push(0);
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    frame
}

/// Why a gRPC server refused: it then answers with headers only.
fn refusal(answer: &Response) -> Option<String> {
    let header = |name: &str| answer.headers().get(name)?.to_str().ok();
    let code = header("grpc-status").filter(|code| *code != "0")?;
    Some(format!("answered gRPC status {code}: {}", header("grpc-message").unwrap_or_default()))
}

/// The first certificate of a PEM file, which is the one that a server shows, in binary form.
fn first_certificate(file: &Path) -> Result<Vec<u8>, String> {
    let failed = |reason: &dyn std::fmt::Display| {
        format!("cannot tell whether it is the right one: {}: {reason}", file.display())
    };
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    let inside = text
        .split_once("-----BEGIN CERTIFICATE-----")
        .and_then(|(_, after)| after.split_once("-----END CERTIFICATE-----"));
    let (inside, _) = inside.ok_or_else(|| failed(&"holds no certificate in PEM form"))?;
    let digits: String = inside.chars().filter(|c| !c.is_whitespace()).collect();
    BASE64.decode(digits).map_err(|error| failed(&error))
}
