//! Certificates of listeners, and how certificate files are read and followed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempoform_config::{ReceiverTls, ServerTls};
use tempoform_core::{Error, ErrorKind, Result};
use tokio_rustls::TlsAcceptor;

/// How often certificate files are looked at: a renewed certificate is used without a restart.
pub(crate) const RELOAD_PERIOD: Duration = Duration::from_secs(10);

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

    fn paths(&self) -> Vec<&Path> {
        let files = [Some(&self.certificate), Some(&self.key), self.client_authorities.as_ref()];
        files.into_iter().flatten().map(PathBuf::as_path).collect()
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
        let reload = || {
            let config = Arc::new(self.files.load(self.protocols)?);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
            Ok(())
        };
        follow(&self.files.setting, &self.files.paths(), reload).await;
    }
}

/// Calls `reload` whenever `files` change, and again until it succeeds, for ever.
pub(crate) async fn follow(setting: &str, files: &[&Path], reload: impl Fn() -> Result<()>) {
    let modified = || -> Vec<Option<SystemTime>> {
        files.iter().map(|file| fs::metadata(file).and_then(|meta| meta.modified()).ok()).collect()
    };
    let mut known = modified();
    loop {
        tokio::time::sleep(RELOAD_PERIOD).await;
        let now = modified();
        if now == known {
            continue;
        }
        match reload() {
            Ok(()) => {
                known = now;
                tracing::info!(setting, "the certificate was renewed");
            }
            Err(error) => tracing::error!(%error, "the certificate in use stays"),
        }
    }
}

pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(|error| failed(&error))?;
    if chain.is_empty() { Err(failed(&"holds no certificate in PEM form")) } else { Ok(chain) }
}

pub(crate) fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(roots)
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    /// An authority of a test's own.
    pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        pub(crate) fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().expect("a key");
            Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
        }

        /// A certificate for `name` and its key, in PEM.
        pub(crate) fn issue(&self, name: &str) -> (String, String) {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
            let certificate = params.signed_by(&key, &self.0).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        }

        pub(crate) fn pem(&self) -> String {
            self.0.pem()
        }
    }
}
