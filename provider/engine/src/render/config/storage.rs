//! What a process needs to reach the storage: its section of the configuration, environment variables, files, and
//! the marks by which a platform vouches for the pod.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use tempoform_api::spec::{Backend, TlsVersion};
use tempoform_api::{
    AzureCredentials, AzureStorage, ClientTls, GcsCredentials, GcsStorage, S3Credentials, S3Storage, Storage,
};

use super::files::{self, Mount};
use crate::render::flavour::Flavour;

/// An environment variable that a process needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    /// An entry of a Kubernetes secret.
    Secret { name: String, key: String },
    /// A variable of `tempoform` itself.
    Environment(String),
    /// It is no secret.
    Literal(String),
}

/// Everything that a process needs beside its configuration, most of it for the storage.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// The section named after the backend.
    pub(crate) section: Value,
    pub(crate) variables: Vec<Variable>,
    pub(crate) mounts: Vec<Mount>,
    /// Annotations of the service account.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Labels of the pods.
    pub(crate) labels: BTreeMap<String, String>,
    /// TCP ports of the store, of the services that vouch for the pod, and of the receiver of its own traces.
    pub(crate) ports: Vec<u16>,
    /// Whether the store or that receiver seems to be a service of the cluster.
    pub(crate) in_cluster: bool,
}

const S3_ACCESS_KEY: &str = "TEMPO_S3_ACCESS_KEY";
const S3_SECRET_KEY: &str = "TEMPO_S3_SECRET_KEY";
const S3_SESSION_TOKEN: &str = "TEMPO_S3_SESSION_TOKEN";
const AZURE_STORAGE_KEY: &str = "TEMPO_AZURE_STORAGE_KEY";
const GOOGLE_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const HTTPS: u16 = 443;
const HTTP: u16 = 80;
/// Where Google's metadata server answers pods on nodes with workload identity.
const GOOGLE_METADATA: u16 = 988;

/// The access to a storage. `blocks` is the folder of local storage whose document names none.
pub(crate) fn access(storage: &Storage, flavour: Flavour, blocks: impl Fn(Option<&str>) -> String) -> Access {
    let mut access = match storage {
        Storage::Local(local) => {
            Access { section: json!({ "path": blocks(local.path.as_deref()) }), ..Access::default() }
        }
        Storage::S3(s3) => s3_access(s3, flavour),
        Storage::Gcs(gcs) => gcs_access(gcs),
        Storage::Azure(azure) => azure_access(azure),
    };
    access.ports.sort_unstable();
    access.ports.dedup();
    access.in_cluster = endpoint(storage).is_some_and(is_service);
    access
}

fn endpoint(storage: &Storage) -> Option<&str> {
    match storage {
        Storage::Local(_) => None,
        Storage::S3(s3) => Some(&s3.endpoint),
        Storage::Gcs(gcs) => gcs.endpoint.as_deref(),
        Storage::Azure(azure) => azure.endpoint.as_deref(),
    }
}

/// Whether a URL or `host:port` names a service of the cluster: `minio`, `minio.storage`, `minio.storage.svc`. A domain
/// of two parts looks the same, and is then allowed more than it needs.
pub(super) fn is_service(endpoint: &str) -> bool {
    let (_, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let host = rest.split(['/', ':']).next().unwrap_or(rest);
    let labels: Vec<&str> = host.split('.').collect();
    !host.is_empty() && !host.starts_with('[') && (labels.len() <= 2 || labels.get(2) == Some(&"svc"))
}

/// The key of a backend, which is also its section's.
pub(crate) const fn backend(storage: &Storage) -> &'static str {
    match storage.backend() {
        Backend::Local => "local",
        Backend::S3 => "s3",
        Backend::Gcs => "gcs",
        Backend::Azure => "azure",
    }
}

#[derive(Default, Serialize)]
struct S3Section<'a> {
    bucket: &'a str,
    endpoint: &'a str,
    region: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    prefix: &'a str,
    insecure: bool,
    forcepathstyle: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ca_path: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_insecure_skip_verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_min_version: Option<&'static str>,
}

fn s3_access(s3: &S3Storage, flavour: Flavour) -> Access {
    let mut access = Access { ports: vec![port(&s3.endpoint, s3.insecure)], ..Access::default() };
    let mut section = S3Section {
        bucket: &s3.bucket,
        endpoint: &s3.endpoint,
        region: &s3.region,
        prefix: &s3.prefix,
        insecure: s3.insecure,
        forcepathstyle: s3.force_path_style,
        tls_ca_path: files::store_authorities(&s3.tls, &mut access.mounts),
        tls_insecure_skip_verify: s3.tls.insecure_skip_verify,
        ..S3Section::default()
    };
    if flavour == Flavour::Upstream {
        section.tls_server_name = s3.tls.server_name.as_deref();
        section.tls_min_version = (s3.tls.min_version == TlsVersion::V1_3).then_some("VersionTLS13");
    }
    let mut keys = |id: Source, secret: Source, token: Option<Source>| {
        section.access_key = Some(access.variable(S3_ACCESS_KEY, id));
        section.secret_key = Some(access.variable(S3_SECRET_KEY, secret));
        section.session_token = token.map(|token| access.variable(S3_SESSION_TOKEN, token));
    };
    match &s3.credentials {
        S3Credentials::Secret { name, access_key_id_key, secret_access_key_key, session_token_key } => {
            let entry = |key: &String| Source::Secret { name: name.clone(), key: key.clone() };
            keys(
                entry(access_key_id_key),
                entry(secret_access_key_key),
                session_token_key.as_ref().map(entry),
            );
        }
        S3Credentials::Env { access_key_id, secret_access_key, session_token } => {
            let variable = |name: &String| Source::Environment(name.clone());
            keys(variable(access_key_id), variable(secret_access_key), session_token.as_ref().map(variable));
        }
        S3Credentials::WorkloadIdentity { role_arn, audience } => {
            if let Some(role) = role_arn {
                access.annotate("eks.amazonaws.com/role-arn", role);
                access.annotate("eks.amazonaws.com/audience", audience);
            }
            access.ports.extend([HTTP, HTTPS]);
        }
        S3Credentials::Ambient => access.ports.extend([HTTP, HTTPS]),
    }
    access.section = json!(section);
    access
}

#[derive(Serialize)]
struct GcsSection<'a> {
    bucket_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    prefix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure: bool,
}

fn gcs_access(gcs: &GcsStorage) -> Access {
    let section = GcsSection {
        bucket_name: &gcs.bucket,
        prefix: &gcs.prefix,
        endpoint: gcs.endpoint.as_deref(),
        insecure: gcs.insecure,
    };
    let mut access = Access { section: json!(section), ..Access::default() };
    access.ports = vec![HTTPS, gcs.endpoint.as_deref().map_or(HTTPS, |url| port(url, gcs.insecure))];
    access.trust(&gcs.tls);
    match &gcs.credentials {
        GcsCredentials::Secret { name, key } => {
            let mount = Mount::secret("gcs-key", name);
            access.variable(GOOGLE_CREDENTIALS, Source::Literal(mount.file(key)));
            access.mounts.push(mount);
        }
        GcsCredentials::WorkloadIdentity { service_account_email } => {
            if let Some(email) = service_account_email {
                access.annotate("iam.gke.io/gcp-service-account", email);
            }
            access.ports.extend([HTTP, GOOGLE_METADATA]);
        }
        GcsCredentials::Env { credentials_file } => {
            access.variable(GOOGLE_CREDENTIALS, Source::Environment(credentials_file.clone()));
        }
        GcsCredentials::Ambient => access.ports.extend([HTTP, GOOGLE_METADATA]),
    }
    access
}

#[derive(Serialize)]
struct AzureSection<'a> {
    storage_account_name: &'a str,
    container_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    prefix: &'a str,
    endpoint_suffix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_account_key: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    use_managed_identity: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    use_federated_token: bool,
}

fn azure_access(azure: &AzureStorage) -> Access {
    let mut access = Access::default();
    let mut section = AzureSection {
        storage_account_name: &azure.account,
        container_name: &azure.container,
        prefix: &azure.prefix,
        endpoint_suffix: azure.endpoint.as_deref().unwrap_or(&azure.endpoint_suffix),
        storage_account_key: None,
        use_managed_identity: false,
        use_federated_token: false,
    };
    access.ports = vec![HTTPS, port(section.endpoint_suffix, azure.insecure)];
    access.trust(&azure.tls);
    match &azure.credentials {
        AzureCredentials::Secret { name, account_key_key } => {
            let source = Source::Secret { name: name.clone(), key: account_key_key.clone() };
            section.storage_account_key = Some(access.variable(AZURE_STORAGE_KEY, source));
        }
        AzureCredentials::Env { account_key } => {
            let source = Source::Environment(account_key.clone());
            section.storage_account_key = Some(access.variable(AZURE_STORAGE_KEY, source));
        }
        AzureCredentials::WorkloadIdentity { client_id, tenant_id } => {
            section.use_federated_token = true;
            access.annotate("azure.workload.identity/client-id", client_id);
            if let Some(tenant) = tenant_id {
                access.annotate("azure.workload.identity/tenant-id", tenant);
            }
            access.labels.insert("azure.workload.identity/use".to_owned(), "true".to_owned());
        }
        AzureCredentials::Ambient => {
            section.use_managed_identity = true;
            access.ports.push(HTTP);
        }
    }
    access.section = json!(section);
    access
}

impl Access {
    /// Adds a variable; gives the text by which the configuration refers to it.
    fn variable(&mut self, name: &'static str, source: Source) -> String {
        self.variables.push(Variable { name, source });
        format!("${{{name}}}")
    }

    fn annotate(&mut self, key: &str, value: &str) {
        self.annotations.insert(key.to_owned(), value.to_owned());
    }

    /// Backends without a key for authorities of their own take them from a variable that both runtimes' TLS
    /// libraries heed.
    fn trust(&mut self, tls: &ClientTls) {
        if let Some(file) = files::store_authorities(tls, &mut self.mounts) {
            self.variable("SSL_CERT_FILE", Source::Literal(file));
        }
    }
}

/// The TCP port of a URL, `host:port` or host.
pub(super) fn port(endpoint: &str, insecure: bool) -> u16 {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let host = rest.split('/').next().unwrap_or(rest);
    let by_scheme = if insecure || scheme == "http" { HTTP } else { HTTPS };
    host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(by_scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_the_cluster_are_told_from_hosts_outside() {
        for inside in [
            "minio",
            "minio:9000",
            "minio.storage",
            "minio.storage.svc:80",
            "http://a.b.svc.cluster.local:4318/x",
        ] {
            assert!(is_service(inside), "{inside}");
        }
        for outside in
            ["s3.eu-west-1.amazonaws.com", "10.0.0.7:9000", "https://[fd00::1]:8443", "minio.example.org"]
        {
            assert!(!is_service(outside), "{outside}");
        }
    }

    #[test]
    fn ports_of_endpoints() {
        assert_eq!(port("s3.eu-west-1.amazonaws.com", false), 443);
        assert_eq!(port("minio.storage.svc:9000", true), 9000);
        assert_eq!(port("minio.storage.svc", true), 80);
        assert_eq!(port("http://azurite:10000/devstore", false), 10000);
        assert_eq!(port("https://[fd00::1]:8443", false), 8443);
        assert_eq!(port("https://[fd00::1]", false), 443);
    }
}
