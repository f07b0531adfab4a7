//! The store that `storage.trace` of the configuration describes.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use tempoform_config::{Azure, Backend, Gcs, S3, S3Sse, S3SseType, Trace};

use super::{BlockStore, StoreOptions};
use crate::dedicated::{DedicatedColumn, DedicatedOption, DedicatedScope, DedicatedType};
use crate::error::{BlockError, Result};

/// Longest time that one request is tried again.
const RETRY_FOR: Duration = Duration::from_secs(30);

impl BlockStore {
    /// Opens the configured store; object stores are not asked for anything yet.
    ///
    /// # Errors
    /// [`BlockError::Configuration`], naming the setting.
    pub fn open(trace: &Trace, options: StoreOptions) -> Result<Self> {
        let registry = Some(prometheus::default_registry());
        let (objects, prefix): (Arc<dyn ObjectStore>, &str) = match trace.backend {
            None => return Err(wrong("backend", "is not set: say local, s3, gcs or azure")),
            Some(Backend::Local) => return Self::local(trace.local.path.as_ref(), options, registry),
            Some(Backend::S3) => (Arc::new(s3(&trace.s3)?), &trace.s3.prefix),
            Some(Backend::Gcs) => (Arc::new(gcs(&trace.gcs)?), &trace.gcs.prefix),
            Some(Backend::Azure) => (Arc::new(azure(&trace.azure)?), &trace.azure.prefix),
        };
        Self::new(objects, prefix, options, registry)
    }
}

fn wrong(setting: &'static str, problem: impl Into<String>) -> BlockError {
    BlockError::Configuration { setting, problem: problem.into() }
}

fn retry() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(200), max_backoff: Duration::from_secs(5), base: 2.0 };
    RetryConfig { backoff, max_retries: 5, retry_timeout: RETRY_FOR }
}

/// An endpoint may come with or without a scheme; `insecure` decides where there is none.
fn endpoint_url(endpoint: &str, insecure: bool) -> String {
    match endpoint.split_once("://") {
        Some(_) => endpoint.to_owned(),
        None if insecure => format!("http://{endpoint}"),
        None => format!("https://{endpoint}"),
    }
}

fn s3(settings: &S3) -> Result<impl ObjectStore + use<>> {
    let mut client = ClientOptions::new();
    if !settings.tls_ca_path.is_empty() {
        let pem = std::fs::read(&settings.tls_ca_path)
            .map_err(|error| wrong("s3.tls_ca_path", format!("{}: {error}", settings.tls_ca_path)))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .map_err(|error| wrong("s3.tls_ca_path", format!("{}: {error}", settings.tls_ca_path)))?;
        client = certificates.into_iter().fold(client, ClientOptions::with_root_certificate);
    }
    // Keys, region and role from the environment where the file does not give them.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&settings.bucket)
        .with_virtual_hosted_style_request(!settings.forcepathstyle)
        .with_retry(retry());
    if !settings.region.is_empty() {
        builder = builder.with_region(&settings.region);
    }
    if !settings.endpoint.is_empty() {
        let url = endpoint_url(&settings.endpoint, settings.insecure);
        client = client.with_allow_http(url.starts_with("http://"));
        // Stores other than Amazon's rarely have a host name a bucket.
        let is_amazon = url.contains(".amazonaws.com");
        builder = builder.with_virtual_hosted_style_request(is_amazon && !settings.forcepathstyle).with_endpoint(url);
    }
    client = client.with_allow_invalid_certificates(settings.tls_insecure_skip_verify);
    if !settings.access_key.is_empty() {
        builder = builder.with_access_key_id(&settings.access_key).with_secret_access_key(settings.secret_key.expose());
    }
    if !settings.session_token.expose().is_empty() {
        builder = builder.with_token(settings.session_token.expose());
    }
    builder = match &settings.sse {
        Some(S3Sse { kind: S3SseType::Kms, kms_key_id }) => builder.with_sse_kms_encryption(kms_key_id),
        Some(S3Sse { kind: S3SseType::S3, .. }) => {
            let key = "aws_server_side_encryption".parse::<AmazonS3ConfigKey>();
            builder.with_config(key.map_err(|error| wrong("s3.sse", error.to_string()))?, "AES256")
        }
        None => builder,
    };
    builder.with_client_options(client).build().map_err(|error| wrong("s3", error.to_string()))
}

fn gcs(settings: &Gcs) -> Result<impl ObjectStore + use<>> {
    let mut builder =
        GoogleCloudStorageBuilder::from_env().with_bucket_name(&settings.bucket_name).with_retry(retry());
    if !settings.endpoint.is_empty() {
        let url = endpoint_url(&settings.endpoint, settings.insecure);
        let client = ClientOptions::new().with_allow_http(url.starts_with("http://"));
        builder = builder.with_client_options(client).with_base_url(&url);
    }
    if settings.insecure {
        builder = builder.with_skip_signature(true);
    }
    builder.build().map_err(|error| wrong("gcs", error.to_string()))
}

fn azure(settings: &Azure) -> Result<impl ObjectStore + use<>> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_account(&settings.storage_account_name)
        .with_container_name(&settings.container_name)
        .with_retry(retry());
    if !settings.storage_account_key.expose().is_empty() {
        builder = builder.with_access_key(settings.storage_account_key.expose());
    }
    if !settings.user_assigned_id.is_empty() {
        builder = builder.with_client_id(&settings.user_assigned_id);
    }
    if !settings.endpoint_suffix.is_empty() {
        let suffix = &settings.endpoint_suffix;
        builder = builder.with_endpoint(format!("https://{}.{suffix}", settings.storage_account_name));
    }
    builder.build().map_err(|error| wrong("azure", error.to_string()))
}

impl From<&tempoform_config::DedicatedColumn> for DedicatedColumn {
    fn from(column: &tempoform_config::DedicatedColumn) -> Self {
        use tempoform_config::{ColumnOption, ColumnScope, ColumnType};
        Self {
            scope: match column.scope {
                ColumnScope::Span => DedicatedScope::Span,
                ColumnScope::Resource => DedicatedScope::Resource,
                ColumnScope::Event => DedicatedScope::Event,
            },
            name: column.name.clone(),
            value_type: match column.kind {
                ColumnType::String => DedicatedType::String,
                ColumnType::Int => DedicatedType::Int,
            },
            options: column
                .options
                .iter()
                .map(|option| match option {
                    ColumnOption::Array => DedicatedOption::Array,
                    ColumnOption::Blob => DedicatedOption::Blob,
                })
                .collect(),
        }
    }
}
