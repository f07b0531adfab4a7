//! Certificates by where they come from.

use serde::Serialize;

use crate::spec::TlsVersion;

/// Certificates of authorities that are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CaBundle {
    /// An entry of a config map.
    ConfigMap {
        /// The config map.
        name: String,
        /// The entry.
        key: String,
    },
    /// An entry of a secret.
    Secret {
        /// The secret.
        name: String,
        /// The entry.
        key: String,
    },
    /// A file on this machine.
    File(String),
}

/// How a server that we call is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientTls {
    /// Authorities trusted instead of the system's.
    pub ca: Option<CaBundle>,
    /// The name expected in the certificate; `None`: the endpoint's host.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// The lowest version.
    pub min_version: TlsVersion,
}

/// Where a server's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Certificate {
    /// A secret with entries `tls.crt` and `tls.key`.
    Secret {
        /// The secret.
        name: String,
    },
    /// PEM files on this machine.
    Files {
        /// The certificate chain.
        cert_file: String,
        /// The private key.
        key_file: String,
    },
}

/// The certificate a receiver shows, and which clients it accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerTls {
    /// What it shows.
    pub certificate: Certificate,
    /// Clients must show a certificate of these authorities; `None`: they need none.
    pub client_ca: Option<CaBundle>,
    /// The lowest version.
    pub min_version: TlsVersion,
    /// Where the document says it: `spec.distributor.tls`.
    #[serde(skip)]
    pub(crate) path: String,
}
