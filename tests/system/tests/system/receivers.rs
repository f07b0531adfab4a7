//! Jaeger and Zipkin, with their own clients and with the older exporters of the OpenTelemetry SDK.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempoform_test_support::{Server, ServerConfig, free_port, skipped};

struct Ports {
    jaeger_grpc: u16,
    jaeger_http: u16,
    jaeger_compact: u16,
    jaeger_binary: u16,
    zipkin: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        Ok(Self {
            jaeger_grpc: free_port()?,
            jaeger_http: free_port()?,
            jaeger_compact: free_port()?,
            jaeger_binary: free_port()?,
            zipkin: free_port()?,
        })
    }

    /// The receivers beside OTLP, as YAML of `distributor.receivers`.
    fn yaml(&self) -> String {
        let Self { jaeger_grpc, jaeger_http, jaeger_compact, jaeger_binary, zipkin } = self;
        let endpoint = |port| format!("{{endpoint: '127.0.0.1:{port}'}}");
        format!(
            "    jaeger:\n      protocols:\n        grpc: {}\n        thrift_http: {}\n        thrift_compact: {}\n        thrift_binary: {}\n    zipkin: {}\n",
            endpoint(jaeger_grpc),
            endpoint(jaeger_http),
            endpoint(jaeger_compact),
            endpoint(jaeger_binary),
            endpoint(zipkin)
        )
    }
}

async fn server(folder: &Path, ports: &Ports) -> Result<Server> {
    Server::start(ServerConfig { receivers: ports.yaml(), ..ServerConfig::new(folder)? }).await
}

#[tokio::test]
async fn a_trace_sent_by_every_way_is_read_back_and_found() -> Result<()> {
    let Some(python) = std::env::var_os("TEMPOFORM_TEST_PYTHON_RECEIVERS").map(PathBuf::from) else {
        skipped("TEMPOFORM_TEST_PYTHON_RECEIVERS is not set; run `cargo xtask test`");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let ports = Ports::free()?;
    let server = server(folder.path(), &ports).await?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/receivers.py");
    let local = |port: u16| format!("127.0.0.1:{port}");
    let output = Command::new(python)
        .arg(script)
        .args(["--api", &local(server.config().http), "--zipkin", &local(ports.zipkin)])
        .args(["--jaeger-grpc", &local(ports.jaeger_grpc), "--jaeger-http", &local(ports.jaeger_http)])
        .args(["--jaeger-compact", &ports.jaeger_compact.to_string()])
        .args(["--jaeger-binary", &ports.jaeger_binary.to_string()])
        .output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(
        output.status.success() && said.contains("7 traces read back as sent"),
        "{said}\n{}",
        server.log_tail()
    );
    let metrics = reqwest::get(server.url("/metrics")).await?.text().await?;
    for (receiver, transport, spans) in [
        ("jaeger", "grpc", 2),
        ("jaeger", "collector_http", 2),
        ("jaeger", "udp_thrift_compact", 4),
        ("jaeger", "udp_thrift_binary", 2),
        ("zipkin", "http_v2_json", 2),
        ("zipkin", "http_v2_proto", 2),
    ] {
        let line = format!(
            "tempo_receiver_accepted_spans{{receiver=\"{receiver}\",transport=\"{transport}\"}} {spans}\n"
        );
        ensure!(metrics.contains(&line), "{line}: {metrics}");
    }
    Ok(())
}

const SPANS: &str = r#"[{"traceId": "1f", "id": "2a", "name": "packed", "timestamp": 1700000000000000, "duration": 5, "localEndpoint": {"serviceName": "zip"}}]"#;

#[tokio::test]
async fn bodies_may_be_packed_and_refusals_say_why() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ports = Ports::free()?;
    let server = server(folder.path(), &ports).await?;
    let client = reqwest::Client::new();
    let zipkin = format!("http://127.0.0.1:{}", ports.zipkin);
    let jaeger = format!("http://127.0.0.1:{}/api/traces", ports.jaeger_http);

    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(SPANS.as_bytes())?;
    let request = client.post(format!("{zipkin}/api/v2/spans")).header("Content-Encoding", "gzip");
    let answer = request.header("Content-Type", "application/json").body(packed.finish()?).send().await?;
    ensure!(answer.status() == 202, "{}: {}", answer.status(), answer.text().await?);
    let found = client.get(server.url("/api/traces/1f")).send().await?;
    ensure!(found.status() == 200, "an id of 64 bits: {}", found.status());

    let refusals = [
        (format!("{zipkin}/api/v1/spans"), "application/json", SPANS.to_owned(), 404, "/api/v2/spans"),
        (
            format!("{zipkin}/api/v2/spans"),
            "application/json",
            SPANS.replace("2a", "x"),
            400,
            "[0].id: expected an id",
        ),
        (format!("{zipkin}/api/v2/spans"), "application/x-protobuf", "{}".to_owned(), 400, "ListOfSpans"),
        (jaeger.clone(), "application/json", "{}".to_owned(), 400, "application/x-thrift"),
        (jaeger, "application/x-thrift", "nonsense".to_owned(), 400, "binary Thrift"),
    ];
    for (url, content_type, body, status, says) in refusals {
        let answer = client.post(&url).header("Content-Type", content_type).body(body).send().await?;
        let got = answer.status();
        let text = answer.text().await?;
        ensure!(got == status && text.contains(says), "{url}: {got} {text}");
    }

    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    socket.send_to(b"nonsense", ("127.0.0.1", ports.jaeger_compact)).await?;
    let counted = r#"tempo_distributor_refused_requests_total{reason="malformed",receiver="jaeger",transport="udp_thrift_compact"} 1"#;
    for _ in 0..200 {
        let metrics = client.get(server.url("/metrics")).send().await?.text().await?;
        if metrics.contains(counted) {
            ensure!(server.log_tail().contains("a datagram was dropped"), "{}", server.log_tail());
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    anyhow::bail!("the datagram is not counted: {}", server.log_tail())
}

#[tokio::test]
async fn a_limit_is_told_with_the_time_to_try_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ports = Ports::free()?;
    let limits = "overrides: {defaults: {ingestion: {rate_limit_bytes: 50, burst_size_bytes: 150}}}\n";
    let config = ServerConfig {
        receivers: ports.yaml(),
        extra: limits.to_owned(),
        ..ServerConfig::new(folder.path())?
    };
    let _server = Server::start(config).await?;
    let client = reqwest::Client::new();
    let zipkin = format!("http://127.0.0.1:{}/api/v2/spans", ports.zipkin);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = client.post(&zipkin).body(SPANS).send().await?;
        let hint =
            answer.headers().get("Retry-After").and_then(|hint| hint.to_str().ok()?.parse::<u64>().ok());
        statuses.push((answer.status().as_u16(), hint.is_some_and(|seconds| seconds > 0)));
    }
    ensure!(statuses[0] == (202, false) && statuses[2] == (429, true), "{statuses:?}");
    Ok(())
}

#[tokio::test]
async fn datagrams_are_refused_where_every_request_names_its_tenant() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = ServerConfig {
        receivers: Ports::free()?.yaml(),
        extra: "multitenancy_enabled: true\n".to_owned(),
        ..ServerConfig::new(folder.path())?
    };
    let error = Server::start(config).await.err().context("it started")?.to_string();
    for says in ["distributor.receivers.jaeger.protocols.thrift_compact", "a datagram names no tenant"] {
        ensure!(error.contains(says), "{says}: {error}");
    }
    Ok(())
}
