use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use prost::Message as _;
use serde_json::json;
use tempoform_wire::otlp::ExportTraceServiceRequest;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::object::EndpointTls;

/// A backend in miniature: takes one OTLP request in, and gives its spans back.
#[derive(Default)]
struct Backend {
    stored: Mutex<Vec<(Option<String>, ExportTraceServiceRequest)>>,
    loses_writes: bool,
    searches: bool,
    ready: bool,
}

impl Backend {
    async fn serve(self) -> (Arc<Self>, Vec<Instance>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let backend = Arc::new(self);
        let shared = Arc::clone(&backend);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let backend = Arc::clone(&shared);
                tokio::spawn(async move { backend.connection(stream).await });
            }
        });
        let endpoints =
            BTreeMap::from([("http".to_owned(), address.clone()), ("otlpHttp".to_owned(), address)]);
        let instance = Instance {
            name: "tempo".to_owned(),
            instance: "tempo-0".to_owned(),
            pid: None,
            endpoints,
            tls: BTreeMap::new(),
            restarts: 0,
            note: Some("restarted twice".to_owned()),
        };
        (backend, vec![instance])
    }

    /// The same with a second listener, for spans, that shows a certificate.
    async fn serve_with_tls(self) -> (Arc<Self>, Vec<Instance>, Certified) {
        let (backend, mut instances) = self.serve().await;
        let certified = Certified::new();
        let acceptor = certified.acceptor();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::clone(&backend);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream = acceptor.accept(stream).await.unwrap();
                shared.connection(stream).await;
            }
        });
        instances[0].endpoints.insert("otlpHttp".to_owned(), address);
        let tls = EndpointTls { certificate: certified.file.path().to_owned(), asks_for_certificates: false };
        instances[0].tls.insert("otlpHttp".to_owned(), tls);
        (backend, instances, certified)
    }

    async fn connection(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut bytes = Vec::new();
        let (head, body) = loop {
            let mut chunk = [0; 4096];
            let n = stream.read(&mut chunk).await.unwrap();
            bytes.extend_from_slice(&chunk[..n]);
            let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            let length = header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
            while bytes.len() < end + 4 + length {
                let n = stream.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..n]);
            }
            break (head, bytes[end + 4..].to_vec());
        };
        let (status, answer) = self.answer(&head, &body);
        let reply = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(reply.as_bytes()).await.unwrap();
    }

    fn answer(&self, head: &str, body: &[u8]) -> (&'static str, String) {
        let path = head.split(' ').nth(1).unwrap();
        let tenant = header(head, "x-scope-orgid");
        match path {
            "/ready" if self.ready => ("200 OK", "ready".to_owned()),
            "/ready" => ("503 Service Unavailable", "ingester: replaying the log".to_owned()),
            "/v1/traces" => {
                let request = ExportTraceServiceRequest::decode(body).unwrap();
                self.stored.lock().unwrap().push((tenant, request));
                ("200 OK", String::new())
            }
            _ if path.starts_with("/api/v2/traces/") => ("200 OK", self.trace(&path[15..], tenant)),
            _ if path.starts_with("/api/search?q=") => ("200 OK", self.search()),
            _ => ("404 Not Found", String::new()),
        }
    }

    fn trace(&self, id: &str, tenant: Option<String>) -> String {
        let stored = self.stored.lock().unwrap();
        let (of, request) = &stored[0];
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        assert_eq!((id, &tenant), (hex::encode(&spans[0].trace_id).as_str(), of));
        let base64 = base64::engine::general_purpose::STANDARD;
        let spans: Vec<_> = spans
            .iter()
            .skip(usize::from(self.loses_writes))
            .map(|s| json!({"spanId": base64.encode(&s.span_id)}))
            .collect();
        json!({"trace": {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}}).to_string()
    }

    fn search(&self) -> String {
        let stored = self.stored.lock().unwrap();
        let id = hex::encode(&stored[0].1.resource_spans[0].scope_spans[0].spans[0].trace_id);
        let traces = if self.searches { json!([{"traceID": id.trim_start_matches('0')}]) } else { json!([]) };
        json!({"traces": traces}).to_string()
    }
}

/// A certificate for a public name, as most are, and its file.
struct Certified {
    file: tempfile::NamedTempFile,
    key: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Certified {
    fn new() -> Self {
        let key = rcgen::generate_simple_self_signed(["traces.example.com".to_owned()]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), key.cert.pem()).unwrap();
        Self { file, key }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = rustls::pki_types::PrivateKeyDer::try_from(self.key.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.key.cert.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

fn quick() -> HealthOptions {
    let short = Duration::from_millis(250);
    HealthOptions { by_id_within: short, search_within: short, ..HealthOptions::default() }
}

fn outcomes(report: &Report) -> Vec<(&str, Outcome)> {
    report.checks.iter().map(|check| (check.name.as_str(), check.outcome)).collect()
}

#[tokio::test]
async fn a_serving_backend_is_healthy() {
    let (backend, instances) = Backend { ready: true, searches: true, ..Backend::default() }.serve().await;
    let report = check(&instances, &HealthOptions { tenant: Some("canary".to_owned()), ..quick() }).await;
    assert!(report.healthy, "{report:?}");
    assert_eq!(
        outcomes(&report),
        [
            ("ready/tempo-0", Outcome::Pass),
            ("canary/write", Outcome::Pass),
            ("canary/by-id", Outcome::Pass),
            ("canary/search", Outcome::Pass)
        ]
    );
    assert_eq!(backend.stored.lock().unwrap()[0].0.as_deref(), Some("canary"));
}

#[tokio::test]
async fn a_receiver_with_a_certificate_is_called_by_https() {
    let backend = Backend { ready: true, searches: true, ..Backend::default() };
    let (_, instances, _certified) = backend.serve_with_tls().await;
    let report = check(&instances, &quick()).await;
    assert!(report.healthy, "{report:?}");
    assert!(report.checks[1].reason.contains("sent to https://127.0.0.1:"), "{}", report.checks[1].reason);
}

#[tokio::test]
async fn a_receiver_with_another_certificate_than_its_own_fails() {
    let backend = Backend { ready: true, searches: true, ..Backend::default() };
    let (_, instances, certified) = backend.serve_with_tls().await;
    let other = Certified::new();
    std::fs::copy(other.file.path(), certified.file.path()).unwrap();
    let report = check(&instances, &quick()).await;
    assert_eq!(outcomes(&report)[1], ("canary/write", Outcome::Fail));
    assert!(report.checks[1].reason.contains("another certificate than"), "{}", report.checks[1].reason);
}

#[tokio::test]
async fn a_receiver_that_asks_for_certificates_gets_no_canary() {
    let backend = Backend { ready: true, ..Backend::default() };
    let (_, mut instances, _certified) = backend.serve_with_tls().await;
    instances[0].tls.get_mut("otlpHttp").unwrap().asks_for_certificates = true;
    let report = check(&instances, &quick()).await;
    assert!(report.healthy);
    assert_eq!(outcomes(&report)[1..], [("canary/write", Outcome::Warn)]);
}

#[tokio::test]
async fn a_lost_span_is_unhealthy() {
    let (_, instances) =
        Backend { ready: true, searches: true, loses_writes: true, ..Backend::default() }.serve().await;
    let report = check(&instances, &quick()).await;
    assert!(!report.healthy);
    let by_id = &report.checks[2];
    assert_eq!((by_id.name.as_str(), by_id.outcome), ("canary/by-id", Outcome::Fail));
    assert!(by_id.reason.contains("1 of 2 spans came back"), "{}", by_id.reason);
}

#[tokio::test]
async fn a_late_search_only_warns() {
    let (_, instances) = Backend { ready: true, ..Backend::default() }.serve().await;
    let report = check(&instances, &quick()).await;
    assert!(report.healthy);
    assert_eq!(outcomes(&report)[3], ("canary/search", Outcome::Warn));
}

#[tokio::test]
async fn what_is_not_ready_says_why_and_gets_no_canary() {
    let (backend, instances) = Backend::default().serve().await;
    let report = check(&instances, &quick()).await;
    assert_eq!(outcomes(&report), [("ready/tempo-0", Outcome::Fail)]);
    let reason = &report.checks[0].reason;
    assert_eq!(reason, "answered 503 Service Unavailable: ingester: replaying the log (restarted twice)");
    assert!(backend.stored.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_applied_is_not_healthy() {
    let report = check(&[], &quick()).await;
    assert!(!report.healthy);
    assert_eq!(report.checks[0].reason, "nothing is applied");
}
