use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::{GoDuration, Secret};

use crate::Block;

/// Where data is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Where traces are.
    pub trace: Trace,
}

/// Where traces are: blocks in a bucket or folder, the write-ahead log on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    /// Which kind of storage holds the blocks. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// A folder, with `backend: local`.
    pub local: Local,
    /// An S3 bucket, with `backend: s3`.
    pub s3: S3,
    /// A Google Cloud Storage bucket, with `backend: gcs`.
    pub gcs: Gcs,
    /// An Azure blob container, with `backend: azure`.
    pub azure: Azure,
    /// The write-ahead log.
    pub wal: Wal,
    /// How blocks are written.
    pub block: Block,
    /// Time between two looks at the list of blocks. Default 5m.
    pub blocklist_poll: GoDuration,
    /// Requests at once while the list of blocks is read. Default 50.
    pub blocklist_poll_concurrency: u32,
    /// Requests that this process may send to the bucket in a second, of every kind and those sent again included; others
    /// wait, within the time that they have. 0 sets no limit. Default 0.
    pub max_requests_per_second: u32,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            backend: None,
            local: Local::default(),
            s3: S3::default(),
            gcs: Gcs::default(),
            azure: Azure::default(),
            wal: Wal::default(),
            block: Block::default(),
            blocklist_poll: GoDuration::from_mins(5),
            blocklist_poll_concurrency: 50,
            max_requests_per_second: 0,
        }
    }
}

/// A kind of storage for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A folder on this machine.
    Local,
    /// Amazon S3 or a store that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// A folder for blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Local {
    /// The folder. Default `/var/tempo/traces`.
    pub path: String,
}

impl Default for Local {
    fn default() -> Self {
        Self { path: "/var/tempo/traces".to_owned() }
    }
}

/// The write-ahead log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wal {
    /// Its folder. Default `/var/tempo/wal`.
    pub path: String,
}

impl Default for Wal {
    fn default() -> Self {
        Self { path: "/var/tempo/wal".to_owned() }
    }
}

/// An S3 bucket. Without keys, the machine's own identity is used (environment, web identity token,
/// container or instance role).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    /// The bucket. Required.
    pub bucket: String,
    /// Folder inside the bucket. Default empty.
    pub prefix: String,
    /// `host`, `host:port` or a URL, whose scheme then decides on TLS; empty means Amazon's for `region`.
    /// Default empty.
    pub endpoint: String,
    /// Region. Default: that of the environment, else us-east-1.
    pub region: String,
    /// Access key id. Default empty.
    pub access_key: String,
    /// Secret access key. Default empty.
    pub secret_key: Secret,
    /// Session token of temporary keys. Default empty.
    pub session_token: Secret,
    /// Whether to speak plain HTTP to an `endpoint` without scheme. Default false.
    pub insecure: bool,
    /// Whether the bucket is in the path (`host/bucket`) and not in the host name. Default false.
    pub forcepathstyle: bool,
    /// PEM file with the authorities that sign the endpoint's certificate; empty means the system's.
    /// Default empty.
    pub tls_ca_path: String,
    /// Whether any certificate is accepted. Default false.
    pub tls_insecure_skip_verify: bool,
    /// Encryption by the store. Default: as the bucket is set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sse: Option<S3Sse>,
}

/// Server-side encryption of S3 objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Sse {
    /// Whose key encrypts. Required.
    #[serde(rename = "type")]
    pub kind: S3SseType,
    /// Id of the key, with SSE-KMS; empty means the account's default key. Default empty.
    #[serde(default)]
    pub kms_key_id: String,
}

/// Whose key encrypts S3 objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum S3SseType {
    /// The store's.
    #[serde(rename = "SSE-S3")]
    S3,
    /// One of the key management service.
    #[serde(rename = "SSE-KMS")]
    Kms,
}

/// A Google Cloud Storage bucket. Credentials are the machine's own (workload identity, or the file that
/// `GOOGLE_APPLICATION_CREDENTIALS` names).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gcs {
    /// The bucket. Required.
    pub bucket_name: String,
    /// Folder inside the bucket. Default empty.
    pub prefix: String,
    /// Base URL of another service with the same API; empty means Google's. Default empty.
    pub endpoint: String,
    /// Whether to go without credentials and certificate checks, for tests. Default false.
    pub insecure: bool,
}

/// An Azure blob container. Without key, the machine's own identity is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Azure {
    /// The storage account. Required.
    pub storage_account_name: String,
    /// Key of the account. Default empty.
    pub storage_account_key: Secret,
    /// The container. Required.
    pub container_name: String,
    /// Folder inside the container. Default empty.
    pub prefix: String,
    /// Domain of the blob service, or `http://host:port` of an emulator. Default `blob.core.windows.net`.
    pub endpoint_suffix: String,
    /// Whether to use the machine's managed identity. Default false.
    pub use_managed_identity: bool,
    /// Whether to use the federated token of workload identity. Default false.
    pub use_federated_token: bool,
    /// Client id of a user-assigned managed identity; empty means the system-assigned one. Default empty.
    pub user_assigned_id: String,
}

impl Default for Azure {
    fn default() -> Self {
        Self {
            storage_account_name: String::new(),
            storage_account_key: Secret::default(),
            container_name: String::new(),
            prefix: String::new(),
            endpoint_suffix: "blob.core.windows.net".to_owned(),
            use_managed_identity: false,
            use_federated_token: false,
            user_assigned_id: String::new(),
        }
    }
}
