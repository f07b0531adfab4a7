//! Certificates, always by reference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The lowest TLS version that is accepted, as text: `"1.3"`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// An entry of a config map or a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the config map or secret.
    pub name: String,
    /// The entry. Default: `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// PEM certificates of authorities that are trusted: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::crd::rules::ca_bundle()))]
pub struct CaBundleRef {
    /// An entry of a config map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyRef>,
    /// An entry of a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyRef>,
    /// A file on this machine (local target).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// How a server that we call is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientTlsSpec {
    /// Authorities trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaBundleRef>,
    /// The name expected in the certificate; for S3 with images of Grafana Tempo only. Default: the endpoint's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Accept any certificate. For tests only, and only for S3. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
    /// The lowest version, as text; `"1.3"` for S3 with images of Grafana Tempo only. Default: `"1.2"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
}

/// The certificate a receiver shows, and which clients it accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::crd::rules::server_tls()))]
pub struct ServerTlsSpec {
    /// A secret of type `kubernetes.io/tls`, with entries `tls.crt` and `tls.key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// PEM file with the certificate chain (local target).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<String>,
    /// PEM file with the private key (local target).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// Ask clients for a certificate of these authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<CaBundleRef>,
    /// The lowest version, as text; `"1.3"` with images of Grafana Tempo only. Default: `"1.2"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
}
