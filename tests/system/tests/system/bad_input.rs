//! Wrong requests: the right status with a message, counted, nothing stored, the connection kept.

use std::io::Write as _;

use anyhow::{Result, ensure};
use bytes::Bytes;
use prost::Message as _;
use tempoform_test_support::{Exporter, Load, Server, ServerConfig};
use tempoform_wire::otlp::ExportTraceServiceRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

struct Http {
    client: reqwest::Client,
    url: String,
}

impl Http {
    async fn post(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Result<(u16, String)> {
        let request = self.client.post(&self.url).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn short_trace_id(load: &Load) -> Result<Bytes> {
    let mut request = ExportTraceServiceRequest::decode(load.requests(0)[0].clone())?;
    request.resource_spans[0].scope_spans[0].spans[0].trace_id.truncate(8);
    Ok(request.encode_to_vec().into())
}

#[tokio::test]
async fn wrong_requests_over_http() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    let url = format!("http://127.0.0.1:{}/v1/traces", server.config().otlp_http);
    let http = Http { client: reqwest::Client::new(), url };
    let load = Load::new(21);
    let good = load.requests(0)[0].clone();

    let cut = good.slice(..good.len() - 7);
    let (status, text) = http.post(cut, &[PROTOBUF]).await?;
    ensure!(status == 400 && text.contains("malformed OTLP request"), "{status} {text}");
    let (status, text) = http.post("{\"resourceSpans\": [", &[JSON]).await?;
    ensure!(status == 400 && text.contains("malformed OTLP JSON"), "{status} {text}");
    let zipped = gzip(&good)?;
    let (status, text) =
        http.post(zipped[..zipped.len() / 2].to_vec(), &[PROTOBUF, ("content-encoding", "gzip")]).await?;
    ensure!(status == 400 && text.contains("broken gzip body"), "{status} {text}");
    let (status, text) = http.post(good.clone(), &[PROTOBUF, ("content-encoding", "br")]).await?;
    ensure!(status == 415 && text.contains("gzip, zstd"), "{status} {text}");
    let (status, text) = http.post(good.clone(), &[("content-type", "text/plain")]).await?;
    ensure!(status == 415 && text.contains("application/json"), "{status} {text}");
    let (status, text) = http.post(short_trace_id(&load)?, &[PROTOBUF]).await?;
    ensure!(status == 400 && text.contains("128 bit"), "{status} {text}");
    // A bomb: small on the wire, larger than the limit when unpacked.
    let (status, text) =
        http.post(gzip(&vec![0; 64 << 20])?, &[PROTOBUF, ("content-encoding", "gzip")]).await?;
    ensure!(status == 413 && text.contains("larger than"), "{status} {text}");
    let (status, _) = http.post(gzip(&good)?, &[PROTOBUF, ("content-encoding", "gzip")]).await?;
    ensure!(status == 200, "the connection still takes a good request: {status}");

    let metrics = reqwest::get(server.url("/metrics")).await?.text().await?;
    for reason in
        ["malformed", "undecodable", "content_encoding", "content_type", "invalid_trace_id", "too_large"]
    {
        let counted = format!(
            "tempo_distributor_refused_requests_total{{reason=\"{reason}\",receiver=\"otlp\",transport=\"http\"}}"
        );
        ensure!(metrics.contains(&counted), "{reason} is not counted");
    }
    let stored = "tempo_distributor_spans_received_total{tenant=\"single-tenant\"} 128\n";
    ensure!(metrics.contains(stored), "only the good request's spans were taken");
    Ok(())
}

#[tokio::test]
async fn the_connection_is_kept_after_a_wrong_request() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(ServerConfig::new(folder.path())?).await?;
    let load = Load::new(23);
    let mut connection = tokio::net::TcpStream::connect(("127.0.0.1", server.config().otlp_http)).await?;
    for (body, status) in [(load.requests(0)[0].slice(..50), 400), (load.requests(0)[0].clone(), 200)] {
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(&body).await?;
        let mut answer = vec![0; 4096];
        let length = connection.read(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status}")), "on the same connection: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn unknown_tenants_are_refused_where_tenants_are_listed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut config = ServerConfig::new(folder.path())?;
    config.extra = "multitenancy_enabled: true\nmultitenancy_allowed_tenants: [team-a]\n".to_owned();
    let server = Server::start(config).await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    let good = Load::new(24).requests(0)[0].clone();
    exporter.with_tenant("team-a").export(good.clone()).await?;
    let refused = exporter.with_tenant("team-b").export(good).await.expect_err("an unknown tenant");
    ensure!(
        refused.code() == Code::PermissionDenied && refused.message().contains("unknown tenant team-b"),
        "{refused:?}"
    );
    let client = reqwest::Client::new();
    let search =
        |tenant| client.get(server.url("/api/search?q=%7B%7D")).header("x-scope-orgid", tenant).send();
    let (known, unknown) = (search("team-a").await?, search("team-b").await?);
    ensure!(known.status() == 200 && unknown.status() == 403, "{} {}", known.status(), unknown.status());
    Ok(())
}

#[tokio::test]
async fn wrong_requests_over_grpc() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut config = ServerConfig::new(folder.path())?;
    config.extra = "multitenancy_enabled: true\n".to_owned();
    let server = Server::start(config).await?;
    let exporter = Exporter::new(&server.otlp_grpc())?;
    let load = Load::new(22);
    let good = load.requests(0)[0].clone();

    let refused = exporter.export(good.clone()).await.expect_err("no tenant");
    ensure!(
        refused.code() == Code::Unauthenticated && refused.message().contains("X-Scope-OrgID"),
        "{refused:?}"
    );
    let refused = exporter.with_tenant("no/slash").export(good.clone()).await.expect_err("a bad tenant");
    ensure!(refused.code() == Code::InvalidArgument && refused.message().contains("no/slash"), "{refused:?}");

    let exporter = exporter.with_tenant("team-a");
    let refused = exporter.export(good.slice(..good.len() - 3)).await.expect_err("cut off");
    ensure!(
        refused.code() == Code::InvalidArgument && refused.message().contains("malformed"),
        "{refused:?}"
    );
    let refused = exporter.export(short_trace_id(&load)?).await.expect_err("a short id");
    ensure!(refused.code() == Code::InvalidArgument && refused.message().contains("128 bit"), "{refused:?}");
    let refused = exporter.export(vec![0; 64 << 20].into()).await.expect_err("too large");
    ensure!(refused.code() == Code::ResourceExhausted, "{refused:?}");
    exporter.export(good).await?;
    let metrics = reqwest::get(server.url("/metrics")).await?.text().await?;
    for reason in ["tenant", "malformed", "invalid_trace_id", "too_large"] {
        let counted = format!(
            "tempo_distributor_refused_requests_total{{reason=\"{reason}\",receiver=\"otlp\",transport=\"grpc\"}}"
        );
        ensure!(metrics.contains(&counted), "{reason} is not counted");
    }
    let stored = "tempo_distributor_spans_received_total{tenant=\"team-a\"} 128\n";
    ensure!(metrics.contains(stored), "only the good request's spans were taken");
    let discarded = "tempo_discarded_spans_total{reason=\"invalid_trace_id\",tenant=\"team-a\"}";
    ensure!(metrics.contains(discarded), "spans refused for their ids count as discarded");

    let url = server.url(&format!("/api/traces/{}", load.trace_id(0)));
    let without = reqwest::get(&url).await?;
    ensure!(without.status() == 401, "a query without tenant: {}", without.status());
    let client = reqwest::Client::new();
    let own = client.get(&url).header("x-scope-orgid", "team-a").send().await?;
    ensure!(own.status() == 200, "{}", own.status());
    let other = client.get(&url).header("x-scope-orgid", "team-b").send().await?;
    ensure!(other.status() == 404, "another tenant's trace: {}", other.status());
    Ok(())
}
