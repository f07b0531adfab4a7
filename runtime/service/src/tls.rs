//! Certificates of listeners and of calls to other components.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tempoform_config::{GrpcClient, ReceiverTls, ServerTls};
use tempoform_core::{Error, ErrorKind, Result};
use tokio_rustls::TlsAcceptor;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// How often certificate files are looked at: a renewed certificate is used without a restart.
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

/// Where a listener's certificate is, and the setting that says so.
#[derive(Clone, Debug)]
pub(crate) struct ServerFiles {
    setting: String,
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Option<PathBuf>,
}

impl ServerFiles {
    pub(crate) fn of_server(setting: &str, tls: &ServerTls) -> Self {
        let ServerTls { cert_file, key_file, client_ca_file } = tls;
        Self::new(setting, cert_file, key_file, client_ca_file)
    }

    pub(crate) fn of_receiver(setting: &str, tls: &ReceiverTls) -> Self {
        let ReceiverTls { cert_file, key_file, client_ca_file } = tls;
        Self::new(setting, cert_file, key_file, client_ca_file)
    }

    fn new(setting: &str, certificate: &str, key: &str, client_authorities: &str) -> Self {
        Self {
            setting: setting.to_owned(),
            certificate: certificate.into(),
            key: key.into(),
            client_authorities: (!client_authorities.is_empty()).then(|| client_authorities.into()),
        }
    }

    /// Reads the files.
    fn load(&self, protocols: &[&str]) -> Result<ServerConfig> {
        let failed = |problem: String| Error::new(ErrorKind::Invalid, format!("{}: {problem}", self.setting));
        let chain = certificates(&self.certificate).map_err(failed)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| failed(format!("key_file {}: {error}", self.key.display())))?;
        let builder = match &self.client_authorities {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(file) => {
                let roots = Arc::new(authorities(file).map_err(failed)?);
                let verifier = WebPkiClientVerifier::builder(roots)
                    .build()
                    .map_err(|error| failed(format!("client_ca_file {}: {error}", file.display())))?;
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| failed(format!("cert_file {}: {error}", self.certificate.display())))?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }

    /// When the files were last written, as far as that can be told.
    fn modified(&self) -> Vec<Option<SystemTime>> {
        let files = [Some(&self.certificate), Some(&self.key), self.client_authorities.as_ref()];
        files
            .into_iter()
            .flatten()
            .map(|file| fs::metadata(file).and_then(|meta| meta.modified()).ok())
            .collect()
    }
}

/// The certificate in use; it follows its files.
#[derive(Debug)]
pub(crate) struct ServerCertificate {
    files: ServerFiles,
    protocols: &'static [&'static str],
    current: RwLock<Arc<ServerConfig>>,
}

impl ServerCertificate {
    /// Reads `files`; clients may choose among the application `protocols` (ALPN).
    ///
    /// # Errors
    /// When a file cannot be read or is no PEM, naming the setting and the file.
    pub(crate) fn load(files: ServerFiles, protocols: &'static [&'static str]) -> Result<Arc<Self>> {
        let current = RwLock::new(Arc::new(files.load(protocols)?));
        Ok(Arc::new(Self { files, protocols, current }))
    }

    /// For the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the files again whenever they change, for ever; broken ones change nothing.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut known = self.files.modified();
        loop {
            tokio::time::sleep(RELOAD_PERIOD).await;
            let now = self.files.modified();
            if now == known {
                continue;
            }
            match self.files.load(self.protocols) {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    known = now;
                    tracing::info!(setting = self.files.setting, "the certificate was renewed");
                }
                Err(error) => tracing::error!(%error, "the certificate in use stays"),
            }
        }
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(|error| failed(&error))?;
    if chain.is_empty() { Err(failed(&"holds no certificate in PEM form")) } else { Ok(chain) }
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(roots)
}

const CLIENT: &str = "ingester_client.grpc_client_config";

/// How gRPC calls to other components are secured; `None`: not at all.
pub(crate) fn grpc_client(settings: &GrpcClient) -> Result<Option<ClientTlsConfig>> {
    if !settings.tls_enabled {
        return Ok(None);
    }
    let read = |key: &str, path: &str| {
        fs::read(path)
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("{CLIENT}.{key}: {path}: {error}")))
    };
    let mut tls = ClientTlsConfig::new();
    tls = if settings.tls_ca_path.is_empty() {
        tls.with_native_roots()
    } else {
        tls.ca_certificate(Certificate::from_pem(read("tls_ca_path", &settings.tls_ca_path)?))
    };
    if !settings.tls_cert_path.is_empty() {
        let certificate = read("tls_cert_path", &settings.tls_cert_path)?;
        let key = read("tls_key_path", &settings.tls_key_path)?;
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    if !settings.tls_server_name.is_empty() {
        tls = tls.domain_name(&settings.tls_server_name);
    }
    // Says now, and not at every call, that a file is no PEM.
    tonic::transport::Endpoint::from_static("https://localhost")
        .tls_config(tls.clone())
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("{CLIENT}: {error:?}")))?;
    Ok(Some(tls))
}

/// The same for HTTP, which frontends speak to queriers.
pub(crate) fn http_client(settings: &GrpcClient) -> Result<Option<ClientConfig>> {
    if !settings.tls_enabled {
        return Ok(None);
    }
    let failed =
        |key: &str, problem: String| Error::new(ErrorKind::Invalid, format!("{CLIENT}.{key}: {problem}"));
    let mut roots = RootCertStore::empty();
    if settings.tls_ca_path.is_empty() {
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
    } else {
        roots = authorities(Path::new(&settings.tls_ca_path))
            .map_err(|problem| failed("tls_ca_path", problem))?;
    }
    let verifier = WebPkiServerVerifier::builder(Arc::new(roots))
        .build()
        .map_err(|error| failed("tls_ca_path", error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = if settings.tls_server_name.is_empty() {
        verifier
    } else {
        let name = ServerName::try_from(settings.tls_server_name.clone())
            .map_err(|error| failed("tls_server_name", error.to_string()))?;
        Arc::new(NamedServer { verifier, name })
    };
    // "Dangerous" is any verifier but the stock one; ours checks everything that that one does.
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier);
    if settings.tls_cert_path.is_empty() {
        return Ok(Some(builder.with_no_client_auth()));
    }
    let chain = certificates(Path::new(&settings.tls_cert_path))
        .map_err(|problem| failed("tls_cert_path", problem))?;
    let key = PrivateKeyDer::from_pem_file(&settings.tls_key_path)
        .map_err(|error| failed("tls_key_path", format!("{}: {error}", settings.tls_key_path)))?;
    builder
        .with_client_auth_cert(chain, key)
        .map(Some)
        .map_err(|error| failed("tls_cert_path", error.to_string()))
}

/// Expects one name in every server's certificate, whatever address was called.
#[derive(Debug)]
struct NamedServer {
    verifier: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for NamedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _called: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
