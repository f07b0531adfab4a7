//! Storage by backend, with addresses and credentials resolved.

use serde::Serialize;

use super::tls::ClientTls;
use crate::spec::Backend;

/// Where traces are kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "backend", rename_all = "lowercase")]
pub enum Storage {
    /// A folder.
    Local(LocalStorage),
    /// An S3 bucket.
    S3(S3Storage),
    /// A Google Cloud Storage bucket.
    Gcs(GcsStorage),
    /// An Azure Blob Storage container.
    Azure(AzureStorage),
}

impl Storage {
    /// The kind of storage.
    pub const fn backend(&self) -> Backend {
        match self {
            Self::Local(_) => Backend::Local,
            Self::S3(_) => Backend::S3,
            Self::Gcs(_) => Backend::Gcs,
            Self::Azure(_) => Backend::Azure,
        }
    }

    /// The bucket or container, for storage that has one.
    pub fn bucket(&self) -> Option<&str> {
        match self {
            Self::Local(_) => None,
            Self::S3(s3) => Some(&s3.bucket),
            Self::Gcs(gcs) => Some(&gcs.bucket),
            Self::Azure(azure) => Some(&azure.container),
        }
    }
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalStorage {
    /// Its path as written; `None`: the target's default (`/var/tempo/blocks` in a pod, `blocks` in the state directory).
    pub path: Option<String>,
}

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Storage {
    /// The bucket.
    pub bucket: String,
    /// `host` or `host:port` of the store, without a scheme.
    pub endpoint: String,
    /// The region.
    pub region: String,
    /// Folder within the bucket, without slashes at its ends; empty: the root.
    pub prefix: String,
    /// Talk plain HTTP.
    pub insecure: bool,
    /// Put the bucket into the path instead of the host name.
    pub force_path_style: bool,
    /// How the store is verified.
    pub tls: ClientTls,
    /// Where the keys come from.
    pub credentials: S3Credentials,
}

/// Where the keys of an S3 bucket come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum S3Credentials {
    /// Entries of a Kubernetes secret.
    Secret {
        /// The secret.
        name: String,
        /// Entry with the access key id.
        access_key_id_key: String,
        /// Entry with the secret access key.
        secret_access_key_key: String,
        /// Entry with a session token, if there is one.
        session_token_key: Option<String>,
    },
    /// An IAM role through the service account.
    WorkloadIdentity {
        /// The role, put on the service account; `None`: bound outside (EKS Pod Identity).
        role_arn: Option<String>,
        /// Audience of the token.
        audience: String,
    },
    /// Environment variables of `tempoform`.
    Env {
        /// Variable with the access key id.
        access_key_id: String,
        /// Variable with the secret access key.
        secret_access_key: String,
        /// Variable with a session token, if there is one.
        session_token: Option<String>,
    },
    /// What the machine offers.
    Ambient,
}

/// A Google Cloud Storage bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GcsStorage {
    /// The bucket.
    pub bucket: String,
    /// Folder within the bucket, without slashes at its ends; empty: the root.
    pub prefix: String,
    /// URL of the store, with its scheme; `None`: Google's.
    pub endpoint: Option<String>,
    /// Talk plain HTTP.
    pub insecure: bool,
    /// How the store is verified.
    pub tls: ClientTls,
    /// Where the credentials come from.
    pub credentials: GcsCredentials,
}

/// Where the credentials of a Google bucket come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum GcsCredentials {
    /// A key file in a Kubernetes secret.
    Secret {
        /// The secret.
        name: String,
        /// Entry with the key file.
        key: String,
    },
    /// A Google identity through the service account.
    WorkloadIdentity {
        /// The Google service account, put on the Kubernetes one; `None`: bound to it directly.
        service_account_email: Option<String>,
    },
    /// Environment variables of `tempoform`.
    Env {
        /// Variable with the path of the key file.
        credentials_file: String,
    },
    /// What the machine offers.
    Ambient,
}

/// An Azure Blob Storage container.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureStorage {
    /// The container.
    pub container: String,
    /// The storage account.
    pub account: String,
    /// Folder within the container, without slashes at its ends; empty: the root.
    pub prefix: String,
    /// Suffix of the host name.
    pub endpoint_suffix: String,
    /// URL of the store, with its scheme, in place of account and suffix.
    pub endpoint: Option<String>,
    /// Talk plain HTTP.
    pub insecure: bool,
    /// How the store is verified.
    pub tls: ClientTls,
    /// Where the credentials come from.
    pub credentials: AzureCredentials,
}

/// Where the credentials of an Azure container come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AzureCredentials {
    /// The account's key in a Kubernetes secret.
    Secret {
        /// The secret.
        name: String,
        /// Entry with the account's key.
        account_key_key: String,
    },
    /// An Entra application through the service account.
    WorkloadIdentity {
        /// Its client id.
        client_id: String,
        /// The directory's tenant id; `None`: that of the cluster.
        tenant_id: Option<String>,
    },
    /// Environment variables of `tempoform`.
    Env {
        /// Variable with the account's key.
        account_key: String,
    },
    /// What the machine offers (managed identity).
    Ambient,
}
