//! Who is who in a control plane: its authority, the API server's certificate, the administrator's token.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use uuid::Uuid;

/// The files, all in the control plane's folder.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The API server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Tokens, and for whom they stand.
    pub tokens: PathBuf,
    /// The key that signs the tokens of service accounts.
    pub service_account_key: PathBuf,
    /// The same, to check them.
    pub service_account_public_key: PathBuf,
    /// The administrator's way in.
    pub kubeconfig: PathBuf,
}

impl Credentials {
    /// Makes them for an API server on the port `port`, which others know by `addresses`.
    pub(super) fn write(folder: &Path, port: u16, addresses: &[&str]) -> Result<Self> {
        let file = |name: &str| folder.join(name);
        let credentials = Self {
            authority: file("ca.crt"),
            certificate: file("apiserver.crt"),
            key: file("apiserver.key"),
            tokens: file("tokens.csv"),
            service_account_key: file("service-accounts.key"),
            service_account_public_key: file("service-accounts.pub"),
            kubeconfig: file("kubeconfig.json"),
        };
        let authority = authority()?;
        let key = KeyPair::generate()?;
        let names = [&["127.0.0.1", "localhost", "kubernetes.default.svc"], addresses].concat();
        let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let token = Uuid::new_v4();
        fs::write(&credentials.authority, authority.pem())?;
        fs::write(&credentials.certificate, certificate.pem())?;
        fs::write(&credentials.key, key.serialize_pem())?;
        let service_accounts = KeyPair::generate()?;
        fs::write(&credentials.service_account_key, service_accounts.serialize_pem())?;
        fs::write(&credentials.service_account_public_key, service_accounts.public_key_pem())?;
        fs::write(&credentials.tokens, format!("{token},admin,admin,\"system:masters\"\n"))?;
        fs::write(&credentials.kubeconfig, kubeconfig(port, &authority.pem(), &token.to_string()))?;
        Ok(credentials)
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of a test's Kubernetes");
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// In JSON, which is YAML too.
fn kubeconfig(port: u16, authority: &str, token: &str) -> String {
    let cluster = json!({
        "server": format!("https://127.0.0.1:{port}"),
        "certificate-authority-data": BASE64_STANDARD.encode(authority),
    });
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": cluster }],
        "users": [{ "name": "admin", "user": { "token": token } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "admin" } }],
        "current-context": "test",
    })
    .to_string()
}
