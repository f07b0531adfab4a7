//! TLS and mutual TLS on the receivers, and a certificate that is renewed under a running process.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempoform_test_support::{Exporter, Load, Server, ServerConfig};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// An authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// A certificate for `name` and its key, in PEM.
    pub(crate) fn issue(&self, name: &str) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.0)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }
}

fn write(folder: &Path, (certificate, key): &(String, String)) -> Result<()> {
    fs::write(folder.join("tls.key"), key)?;
    fs::write(folder.join("tls.crt"), certificate)?;
    Ok(())
}

#[tokio::test]
async fn receivers_speak_tls_ask_for_certificates_and_follow_renewals() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    write(folder.path(), &authority.issue("localhost")?)?;
    fs::write(folder.path().join("ca.crt"), authority.pem())?;
    let mut config = ServerConfig::new(folder.path())?;
    let at = folder.path().display();
    config.otlp_tls =
        Some(format!("cert_file: {at}/tls.crt, key_file: {at}/tls.key, client_ca_file: {at}/ca.crt"));
    let (grpc, http) = (config.otlp_grpc, config.otlp_http);
    let server = Server::start(config).await?;
    let load = Load::new(71);

    let client = authority.issue("a client")?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority.pem()))
        .identity(Identity::from_pem(&client.0, &client.1));
    let exporter = Exporter::with_tls(&format!("localhost:{grpc}"), tls.clone())?;
    exporter.export(load.requests(0)[0].clone()).await.context("with a certificate")?;

    let without = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
    let refused =
        Exporter::with_tls(&format!("localhost:{grpc}"), without)?.export(load.requests(0)[0].clone()).await;
    ensure!(refused.is_err(), "a client without a certificate is let in");
    let plain = Exporter::new(&format!("127.0.0.1:{grpc}"))?.export(load.requests(0)[0].clone()).await;
    ensure!(plain.is_err(), "a client without TLS is let in");

    let post = async |authority: &Authority, body: bytes::Bytes| {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(authority.pem().as_bytes())?])
            .identity(reqwest::Identity::from_pem(format!("{}{}", client.0, client.1).as_bytes())?)
            .build()?;
        let url = format!("https://localhost:{http}/v1/traces");
        anyhow::Ok(
            client
                .post(url)
                .header("content-type", "application/x-protobuf")
                .body(body)
                .send()
                .await?
                .status(),
        )
    };
    let status = post(&authority, load.requests(0)[1].clone()).await?;
    ensure!(status.is_success(), "over HTTP: {status}");
    ensure!(
        post(&stranger, load.requests(0)[2].clone()).await.is_err(),
        "clients check the server's certificate"
    );

    // Renewed by another authority: those who trust that one are served before long, without a restart.
    write(folder.path(), &stranger.issue("localhost")?)?;
    let started = Instant::now();
    while post(&stranger, load.requests(0)[2].clone()).await.is_err() {
        ensure!(
            started.elapsed() < Duration::from_secs(30),
            "the renewed certificate is not used\n{}",
            server.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_certificate_is_named_and_nothing_starts() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut config = ServerConfig::new(folder.path())?;
    config.otlp_tls = Some("cert_file: /nowhere/tls.crt, key_file: /nowhere/tls.key".to_owned());
    let failed = Server::start(config).await.err().context("it started")?.to_string();
    ensure!(failed.contains("/nowhere/tls.crt"), "{failed}");
    ensure!(failed.contains("distributor.receivers.otlp.protocols.grpc.tls"), "{failed}");
    Ok(())
}
