//! `spec.storage`: where traces are kept, and how the pods come by the right to read and write there.
//!
//! Credentials are never written into the document. They come from a secret, from an identity that the
//! platform vouches for, from named environment variables (local target), or, when nothing is said, from
//! whatever the machine offers (instance role, default credential chain).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tls::ClientTlsSpec;

/// Where the Tempo keeps its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StorageSpec {
    /// Where blocks of traces are kept.
    pub trace: TraceStorageSpec,
}

/// A kind of object storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A folder. With more than one process it must be shared by all.
    Local,
    /// Amazon S3, or a store that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// Where blocks of traces are kept: the backend, and the section of that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::crd::rules::trace_storage()))]
pub struct TraceStorageSpec {
    /// Which kind of storage. The section of the same name holds its settings.
    pub backend: Backend,
    /// Settings of `backend: s3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Spec>,
    /// Settings of `backend: gcs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsSpec>,
    /// Settings of `backend: azure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureSpec>,
    /// Settings of `backend: local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalStorageSpec>,
}

/// A folder as storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LocalStorageSpec {
    /// The folder. On Kubernetes an absolute path in the pod, on its volume (`/var/tempo`) or on one of
    /// `podTemplate.volumeMounts`, default `/var/tempo/blocks`; on this machine a relative path starts at the state directory, default `blocks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct S3Spec {
    /// The bucket, which must exist.
    #[schemars(length(min = 3, max = 63))]
    pub bucket: String,
    /// Host, `host:port` or URL of the store. A scheme decides whether TLS is used. Default: AWS, by region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region. Needed for AWS; other stores mostly take any. Default: `us-east-1` when `endpoint` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Folder within the bucket under which everything lies. Default: the bucket's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Talk plain HTTP. Default: what the endpoint's scheme says, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Put the bucket into the path instead of the host name; with an `endpoint` our runtime always does.
    /// Default: true when `endpoint` is given and is not AWS's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,
    /// Which certificates are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsSpec>,
    /// Where the keys come from. Default: what the machine offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<S3CredentialsSpec>,
}

/// Where the keys of a bucket come from: at most one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::crd::rules::credentials()))]
pub struct S3CredentialsSpec {
    /// A Kubernetes secret in the Tempo's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<S3SecretRef>,
    /// An IAM role taken on through the service account (IRSA, EKS Pod Identity).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<S3WorkloadIdentity>,
    /// Environment variables of the `tempoform` process (local target).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<S3Env>,
}

/// Keys in a Kubernetes secret. Pods read them when they start: restart them after a change of the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct S3SecretRef {
    /// The secret's name.
    pub name: String,
    /// Its entry with the access key id. Default: `access_key_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id_key: Option<String>,
    /// Its entry with the secret access key. Default: `access_key_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_key: Option<String>,
    /// Its entry with a session token. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_key: Option<String>,
}

/// An IAM role for the service account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct S3WorkloadIdentity {
    /// The role's ARN, put on the service account. Default: none, for EKS Pod Identity, which binds it outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// Audience of the projected token. Default: `sts.amazonaws.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// Names of environment variables that hold the keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct S3Env {
    /// The variable with the access key id. Default: `AWS_ACCESS_KEY_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The variable with the secret access key. Default: `AWS_SECRET_ACCESS_KEY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<String>,
    /// The variable with a session token. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
}

/// A Google Cloud Storage bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GcsSpec {
    /// The bucket, which must exist.
    #[schemars(length(min = 3, max = 222))]
    pub bucket: String,
    /// Folder within the bucket under which everything lies. Default: the bucket's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// URL of the store, for emulators and private endpoints. Default: Google's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Talk plain HTTP. Default: what the endpoint's scheme says, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Which certificates are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsSpec>,
    /// Where the credentials come from. Default: what the machine offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<GcsCredentialsSpec>,
}

/// Where the credentials of a bucket come from: at most one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::crd::rules::credentials()))]
pub struct GcsCredentialsSpec {
    /// A Kubernetes secret with a key file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<GcsSecretRef>,
    /// A Google service account taken on through the Kubernetes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<GcsWorkloadIdentity>,
    /// Environment variables of the `tempoform` process (local target).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<GcsEnv>,
}

/// A key file in a Kubernetes secret. Pods read it when they start: restart them after a change of the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GcsSecretRef {
    /// The secret's name.
    pub name: String,
    /// Its entry with the key file (JSON; `service_account` or `external_account`). Default: `key.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A Google identity for the service account; no key file is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct GcsWorkloadIdentity {
    /// The Google service account, `name@project.iam.gserviceaccount.com`, put on the Kubernetes one.
    /// Default: none, for a principal that is bound to the Kubernetes account directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_email: Option<String>,
}

/// Names of environment variables that hold the credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct GcsEnv {
    /// The variable with the path of the key file. Default: `GOOGLE_APPLICATION_CREDENTIALS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<String>,
}

/// An Azure Blob Storage container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AzureSpec {
    /// The container, which must exist.
    #[schemars(length(min = 3, max = 63))]
    pub container: String,
    /// The storage account.
    #[schemars(length(min = 3, max = 24))]
    pub account: String,
    /// Folder within the container under which everything lies. Default: the container's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Suffix of the store's host name, for other clouds. Default: `blob.core.windows.net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_suffix: Option<String>,
    /// URL of the store, for emulators and private endpoints; replaces account and suffix in the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Talk plain HTTP. Default: what the endpoint's scheme says, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Which certificates are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTlsSpec>,
    /// Where the credentials come from. Default: what the machine offers (managed identity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<AzureCredentialsSpec>,
}

/// Where the credentials of a container come from: at most one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::crd::rules::credentials()))]
pub struct AzureCredentialsSpec {
    /// A Kubernetes secret with the account's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<AzureSecretRef>,
    /// An Entra application taken on through the service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<AzureWorkloadIdentity>,
    /// Environment variables of the `tempoform` process (local target).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<AzureEnv>,
}

/// The account's key in a Kubernetes secret. Pods read it when they start: restart them after a change of the secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AzureSecretRef {
    /// The secret's name.
    pub name: String,
    /// Its entry with the account's key. Default: `account_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_key_key: Option<String>,
}

/// An Entra application for the service account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AzureWorkloadIdentity {
    /// The application's client id.
    pub client_id: String,
    /// The directory's tenant id. Default: that of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

/// Names of environment variables that hold the credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AzureEnv {
    /// The variable with the account's key. Default: `AZURE_STORAGE_ACCOUNT_KEY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_key: Option<String>,
}
