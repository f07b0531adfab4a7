//! Certificates of calls to other components, over gRPC and HTTP.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tempoform_config::GrpcClient;
use tempoform_core::{Error, ErrorKind, Result};

use crate::tls::{authorities, certificates, follow};

const SETTING: &str = "ingester_client.grpc_client_config";

/// How calls to other components are secured. What is made of it follows the files: the next connection uses what they
/// hold then. Connections that are open stay, as their certificates were checked when they were made.
#[derive(Debug)]
pub(crate) struct ClientTls {
    settings: GrpcClient,
    /// The name expected in every server's certificate, whatever address was called, if there is one.
    server_name: Option<ServerName<'static>>,
    current: RwLock<Material>,
}

/// What the files hold.
#[derive(Clone, Debug)]
struct Material {
    verifier: Arc<WebPkiServerVerifier>,
    identity: Option<Arc<CertifiedKey>>,
}

impl ClientTls {
    /// `None`: calls are in clear.
    ///
    /// # Errors
    /// When a file cannot be read or is no PEM, naming the setting and the file.
    pub(crate) fn load(settings: &GrpcClient) -> Result<Option<Arc<Self>>> {
        if !settings.tls_enabled {
            return Ok(None);
        }
        let server_name = match settings.tls_server_name.as_str() {
            "" => None,
            name => Some(
                ServerName::try_from(name.to_owned())
                    .map_err(|error| failed("tls_server_name", &error.to_string()))?,
            ),
        };
        let current = RwLock::new(Material::load(settings)?);
        Ok(Some(Arc::new(Self { settings: settings.clone(), server_name, current })))
    }

    /// A configuration for clients; they may choose among the application `protocols` (ALPN).
    pub(crate) fn config(self: &Arc<Self>, protocols: &[&str]) -> ClientConfig {
        // "Dangerous" is any verifier but the stock one; ours asks that one.
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as _)
            .with_client_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        // A session that is resumed goes on with the certificates of the first.
        config.resumption = Resumption::disabled();
        config
    }

    /// The name to call a server by that is reached at `host`.
    pub(crate) fn name_of(&self, host: &str) -> Result<ServerName<'static>> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(host.to_owned()).map_err(|error| {
                Error::new(ErrorKind::Invalid, format!("{host:?} is no name of a server: {error}"))
            }),
        }
    }

    /// Reads the files again whenever they change, for ever; broken ones change nothing.
    pub(crate) async fn follow(self: Arc<Self>) {
        let GrpcClient { tls_ca_path, tls_cert_path, tls_key_path, .. } = &self.settings;
        let files = [tls_ca_path, tls_cert_path, tls_key_path];
        let files: Vec<&Path> = files.into_iter().filter(|path| !path.is_empty()).map(Path::new).collect();
        let reload = || {
            let material = Material::load(&self.settings)?;
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = material;
            Ok(())
        };
        follow(SETTING, &files, reload).await;
    }

    fn current(&self) -> Material {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Material {
    fn load(settings: &GrpcClient) -> Result<Self> {
        let GrpcClient { tls_ca_path, tls_cert_path, tls_key_path, .. } = settings;
        let mut roots = RootCertStore::empty();
        if tls_ca_path.is_empty() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        } else {
            roots = authorities(Path::new(tls_ca_path)).map_err(|error| failed("tls_ca_path", &error))?;
        }
        let verifier = WebPkiServerVerifier::builder(Arc::new(roots))
            .build()
            .map_err(|error| failed("tls_ca_path", &error.to_string()))?;
        if tls_cert_path.is_empty() {
            return Ok(Self { verifier, identity: None });
        }
        let chain =
            certificates(Path::new(tls_cert_path)).map_err(|error| failed("tls_cert_path", &error))?;
        let key = PrivateKeyDer::from_pem_file(tls_key_path)
            .map_err(|error| failed("tls_key_path", &format!("{tls_key_path}: {error}")))?;
        let identity = CertifiedKey::from_der(chain, key, ClientConfig::builder().crypto_provider())
            .map_err(|error| failed("tls_cert_path", &format!("{tls_cert_path}: {error}")))?;
        Ok(Self { verifier, identity: Some(Arc::new(identity)) })
    }
}

fn failed(key: &str, problem: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{SETTING}.{key}: {problem}"))
}

impl ResolvesClientCert for ClientTls {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current().identity
    }

    fn has_certs(&self) -> bool {
        self.current().identity.is_some()
    }
}

impl ServerCertVerifier for ClientTls {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        called: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = self.server_name.as_ref().unwrap_or(called);
        self.current().verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current().verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current().verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use tempoform_config::ServerTls;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::tls::tests::Authority;
    use crate::tls::{RELOAD_PERIOD, ServerCertificate, ServerFiles};

    /// Writes a file so that it shows as changed, however short ago that was before.
    fn write(path: &Path, text: &str) {
        let before = fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        fs::write(path, text).expect("writable");
        let file = File::options().write(true).open(path).expect("there");
        file.set_modified(before.max(SystemTime::now()) + Duration::from_secs(1)).expect("a time");
    }

    /// Whether both sides are content with each other's certificates.
    async fn agree(server: &ServerCertificate, client: &Arc<ClientConfig>) -> bool {
        let (near, far) = tokio::io::duplex(64 << 10);
        let called = ServerName::try_from("10.0.0.1").expect("a name");
        let (connected, accepted) = tokio::join!(
            TlsConnector::from(Arc::clone(client)).connect(called, near),
            server.acceptor().accept(far)
        );
        connected.is_ok() && accepted.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_follow_renewed_certificates_without_a_new_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let put = |name: &str, text: &str| write(&folder.path().join(name), text);
        let (old, new) = (Authority::new(), Authority::new());
        let renew = |authority: &Authority| {
            let (certificate, key) = authority.issue("a client");
            put("ca.crt", &authority.pem());
            put("client.crt", &certificate);
            put("client.key", &key);
        };
        let server = |authority: &Authority| {
            let (certificate, key) = authority.issue("tempo.local");
            put("server-ca.crt", &authority.pem());
            put("server.crt", &certificate);
            put("server.key", &key);
            let files = ServerTls {
                cert_file: path("server.crt"),
                key_file: path("server.key"),
                client_ca_file: path("server-ca.crt"),
            };
            ServerCertificate::load(ServerFiles::of_server("a test", &files), &["h2"]).expect("valid")
        };
        renew(&old);
        let settings = GrpcClient {
            tls_enabled: true,
            tls_ca_path: path("ca.crt"),
            tls_cert_path: path("client.crt"),
            tls_key_path: path("client.key"),
            tls_server_name: "tempo.local".to_owned(),
            ..GrpcClient::default()
        };
        let tls = ClientTls::load(&settings).expect("valid").expect("TLS");
        let client = Arc::new(tls.config(&["h2"]));
        tokio::spawn(Arc::clone(&tls).follow());
        tokio::time::sleep(RELOAD_PERIOD / 2).await;
        assert!(agree(&server(&old), &client).await, "with the certificates of the start");

        let renewed = server(&new);
        assert!(!agree(&renewed, &client).await, "strangers");
        put("client.crt", "no certificate");
        tokio::time::sleep(RELOAD_PERIOD * 2).await;
        assert!(agree(&server(&old), &client).await, "a broken file changes nothing");
        renew(&new);
        tokio::time::sleep(RELOAD_PERIOD * 2).await;
        assert!(agree(&renewed, &client).await, "with the renewed certificates");
    }
}
