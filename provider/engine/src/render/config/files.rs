//! Certificates and key files: where they come from, and the path at which a process finds them.

use serde::Serialize;
use tempoform_api::spec::TlsVersion;
use tempoform_api::{CaBundle, Certificate, ClientTls, ServerTls};

/// A secret or config map that is mounted into the pod, read-only.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    /// The volume.
    pub(crate) name: String,
    /// Where it is mounted.
    pub(crate) path: String,
    /// The secret that it shows.
    pub(crate) secret: Option<String>,
    /// Or the config map.
    pub(crate) config_map: Option<String>,
}

impl Mount {
    pub(crate) fn secret(name: impl Into<String>, secret: &str) -> Self {
        let name = name.into();
        Self { path: path(&name), name, secret: Some(secret.to_owned()), config_map: None }
    }

    fn config_map(name: impl Into<String>, config_map: &str) -> Self {
        let name = name.into();
        Self { path: path(&name), name, secret: None, config_map: Some(config_map.to_owned()) }
    }

    /// The path of an entry.
    pub(crate) fn file(&self, entry: &str) -> String {
        format!("{}/{entry}", self.path)
    }
}

fn path(volume: &str) -> String {
    format!("/etc/tempo/{volume}")
}

/// A receiver's certificate in the runtime's configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ReceiverTls {
    cert_file: String,
    key_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ca_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_version: Option<TlsVersion>,
}

/// The certificate of a receiver (`otlp-grpc`), and what has to be mounted for it.
pub(crate) fn receiver(receiver: &str, tls: &ServerTls) -> (ReceiverTls, Vec<Mount>) {
    let mut mounts = Vec::new();
    let (cert_file, key_file) = match &tls.certificate {
        Certificate::Secret { name } => {
            let mount = Mount::secret(format!("{receiver}-tls"), name);
            let files = (mount.file("tls.crt"), mount.file("tls.key"));
            mounts.push(mount);
            files
        }
        Certificate::Files { cert_file, key_file } => (cert_file.clone(), key_file.clone()),
    };
    let client_ca_file =
        tls.client_ca.as_ref().map(|ca| authorities(&format!("{receiver}-ca"), ca, &mut mounts));
    let min_version = Some(tls.min_version).filter(|version| *version != TlsVersion::default());
    (ReceiverTls { cert_file, key_file, client_ca_file, min_version }, mounts)
}

/// The file with the authorities that a store's certificate is checked against.
pub(crate) fn store_authorities(tls: &ClientTls, mounts: &mut Vec<Mount>) -> Option<String> {
    tls.ca.as_ref().map(|ca| authorities("storage-ca", ca, mounts))
}

fn authorities(volume: &str, ca: &CaBundle, mounts: &mut Vec<Mount>) -> String {
    let (mount, entry) = match ca {
        CaBundle::ConfigMap { name, key } => (Mount::config_map(volume, name), key),
        CaBundle::Secret { name, key } => (Mount::secret(volume, name), key),
        CaBundle::File(path) => return path.clone(),
    };
    let file = mount.file(entry);
    mounts.push(mount);
    file
}
