//! Stores by kind: a folder, S3, Google Cloud Storage, Azure.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector as _;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider,
};
use prometheus::Registry;
use tempoform_config::{Azure, Backend, Gcs, S3, S3Sse, S3SseType, Trace};

use super::budget::RequestBudget;
use super::unfinished::Uploads;
use super::{BlockStore, Client, StoreOptions};
use crate::error::{BlockError, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RETRIES: usize = 5;
/// Google's endpoint, which the client knows itself.
const GOOGLE: &str = "https://storage.googleapis.com";
/// The domain of Azure's public cloud, which the client knows itself.
const AZURE_PUBLIC: &str = "blob.core.windows.net";

impl BlockStore {
    /// The store that `storage.trace` of the configuration names.
    ///
    /// # Errors
    /// [`BlockError::Configuration`], naming the setting.
    pub fn open(config: &Trace, options: StoreOptions, registry: Option<&Registry>) -> Result<Self> {
        type Open<'a> = Box<dyn Fn(RetryConfig) -> Result<Client> + 'a>;
        let timeout = options.timeout;
        let budget = &RequestBudget::new(config.max_requests_per_second, registry);
        let (open, prefix): (Open<'_>, &str) = match config.backend {
            None => return Err(wrong("storage.trace.backend", "is not set; it is local, s3, gcs or azure")),
            Some(Backend::Local) => return Self::local(Path::new(&config.local.path), options, registry),
            Some(Backend::S3) => {
                (Box::new(|retries| s3(&config.s3, retries, timeout, budget)), &config.s3.prefix)
            }
            Some(Backend::Gcs) => {
                (Box::new(|retries| gcs(&config.gcs, retries, timeout, budget)), &config.gcs.prefix)
            }
            Some(Backend::Azure) => {
                (Box::new(|retries| azure(&config.azure, retries, timeout, budget)), &config.azure.prefix)
            }
        };
        let no_retries = RetryConfig { max_retries: 0, ..retries(timeout) };
        let (client, for_reads) = (open(retries(timeout))?, open(no_retries)?);
        Self::over(client, for_reads.objects, prefix, options, registry)
    }

    /// A store in a folder, which is made if it is not there. Writes are synced to disk.
    ///
    /// # Errors
    /// When the folder cannot be made or entered.
    pub fn local(folder: &Path, options: StoreOptions, registry: Option<&Registry>) -> Result<Self> {
        let wrong = |problem: String| wrong("storage.trace.local.path", problem);
        std::fs::create_dir_all(folder).map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
        let objects = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| wrong(error.to_string()))?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        let uploads = Uploads::Folder(folder.to_owned());
        let client = Client { objects: Arc::new(objects), uploads, budget: RequestBudget::unlimited() };
        Self::over(client.clone(), client.objects, "", options, registry)
    }

    /// A store in this process's memory, for tests.
    pub fn in_memory() -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Self::new(objects, "", StoreOptions::default(), None).expect("an empty prefix is a path")
    }
}

/// A client for a few requests, which says soon what is wrong, and the prefix. A folder is not made.
pub(super) fn for_preflight(config: &Trace, timeout: Duration) -> Result<(Arc<dyn ObjectStore>, &str)> {
    let budget = &RequestBudget::unlimited();
    // An attempt to connect that has used up its time is not repeated: it says what is wrong.
    let retries = RetryConfig { max_retries: 1, ..retries(CONNECT_TIMEOUT / 2) };
    let (client, prefix) = match config.backend {
        None => return Err(wrong("storage.trace.backend", "is not set; it is local, s3, gcs or azure")),
        Some(Backend::Local) => {
            let path = &config.local.path;
            is_folder(Path::new(path)).map_err(|problem| wrong("storage.trace.local.path", problem))?;
            let folder = LocalFileSystem::new_with_prefix(path)
                .map_err(|error| wrong("storage.trace.local.path", error.to_string()))?;
            return Ok((Arc::new(folder.with_automatic_cleanup(true)), ""));
        }
        Some(Backend::S3) => (s3(&config.s3, retries, timeout, budget)?, &config.s3.prefix),
        Some(Backend::Gcs) => (gcs(&config.gcs, retries, timeout, budget)?, &config.gcs.prefix),
        Some(Backend::Azure) => (azure(&config.azure, retries, timeout, budget)?, &config.azure.prefix),
    };
    Ok((client.objects, prefix))
}

/// That a folder is there, or what to do.
fn is_folder(path: &Path) -> Result<(), String> {
    let name = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(format!("{name} is no folder; name one that is")),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("{name} is not there; make the folder, or name another"))
        }
        Err(error) => {
            Err(format!("{name}: {error}; let the user that runs this enter it, or name another folder"))
        }
    }
}

/// A prefix of keys as the configuration has it.
pub(super) fn prefix(text: &str) -> Result<object_store::path::Path> {
    object_store::path::Path::parse(text).map_err(|error| wrong("storage.trace.*.prefix", error.to_string()))
}

fn wrong(setting: &'static str, problem: impl Into<String>) -> BlockError {
    BlockError::Configuration { setting, problem: problem.into() }
}

fn required<'a>(setting: &'static str, value: &'a str) -> Result<&'a str> {
    if value.is_empty() { Err(wrong(setting, "is not set")) } else { Ok(value) }
}

fn retries(timeout: Duration) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: MAX_RETRIES, retry_timeout: timeout }
}

fn client(timeout: Duration) -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(timeout)
}

fn s3(config: &S3, retries: RetryConfig, timeout: Duration, budget: &RequestBudget) -> Result<Client> {
    let S3 {
        bucket,
        prefix: _,
        endpoint,
        region,
        access_key,
        secret_key,
        session_token,
        insecure,
        forcepathstyle,
        tls_ca_path,
        tls_insecure_skip_verify,
        sse,
    } = config;
    let bucket = required("storage.trace.s3.bucket", bucket)?;
    let mut client = client(timeout).with_allow_invalid_certificates(*tls_insecure_skip_verify);
    for certificate in authorities(tls_ca_path)? {
        client = client.with_root_certificate(certificate);
    }
    // Other endpoints rarely have a host name for every bucket.
    let virtual_hosted = endpoint.is_empty() && !forcepathstyle;
    let mut builder = AmazonS3Builder::from_env()
        .with_http_connector(budget.clone())
        .with_client_options(client.clone())
        .with_retry(retries)
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(virtual_hosted);
    if !region.is_empty() {
        builder = builder.with_region(region);
    }
    if !endpoint.is_empty() {
        let url = with_scheme(endpoint, *insecure);
        let is_plain = url.starts_with("http://");
        client = client.with_allow_http(is_plain);
        builder = builder.with_allow_http(is_plain).with_endpoint(url);
    }
    match (access_key.is_empty(), secret_key.is_empty()) {
        (true, true) => {}
        (false, false) => {
            builder = builder.with_access_key_id(access_key).with_secret_access_key(secret_key.expose());
        }
        (true, false) => return Err(wrong("storage.trace.s3.access_key", "is not set, but secret_key is")),
        (false, true) => return Err(wrong("storage.trace.s3.secret_key", "is not set, but access_key is")),
    }
    if !session_token.is_empty() {
        builder = builder.with_token(session_token.expose());
    }
    let builder = encrypted(builder, sse.as_ref());
    let wrong = |error: object_store::Error| wrong("storage.trace.s3", error.to_string());
    let store = Arc::new(builder.build().map_err(wrong)?);
    let http = budget.connect(&client).map_err(wrong)?;
    Ok(Client {
        objects: Arc::clone(&store) as _,
        uploads: Uploads::S3 { store, http },
        budget: budget.clone(),
    })
}

fn encrypted(builder: AmazonS3Builder, sse: Option<&S3Sse>) -> AmazonS3Builder {
    let with_kind = |builder: AmazonS3Builder, kind: &str| {
        let key: AmazonS3ConfigKey =
            "aws_server_side_encryption".parse().expect("it is one of the client's settings");
        builder.with_config(key, kind)
    };
    match sse {
        None => builder,
        Some(S3Sse { kind: S3SseType::S3, .. }) => with_kind(builder, "AES256"),
        Some(S3Sse { kind: S3SseType::Kms, kms_key_id }) if kms_key_id.is_empty() => {
            with_kind(builder, "aws:kms")
        }
        Some(S3Sse { kind: S3SseType::Kms, kms_key_id }) => builder.with_sse_kms_encryption(kms_key_id),
    }
}

fn with_scheme(endpoint: &str, insecure: bool) -> String {
    match (endpoint.contains("://"), insecure) {
        (true, _) => endpoint.to_owned(),
        (false, true) => format!("http://{endpoint}"),
        (false, false) => format!("https://{endpoint}"),
    }
}

fn authorities(path: &str) -> Result<Vec<Certificate>> {
    const SETTING: &str = "storage.trace.s3.tls_ca_path";
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let pem = std::fs::read(path).map_err(|error| wrong(SETTING, format!("{path}: {error}")))?;
    Certificate::from_pem_bundle(&pem).map_err(|error| wrong(SETTING, format!("{path}: {error}")))
}

fn gcs(config: &Gcs, retries: RetryConfig, timeout: Duration, budget: &RequestBudget) -> Result<Client> {
    let Gcs { bucket_name, prefix: _, endpoint, insecure } = config;
    let bucket = required("storage.trace.gcs.bucket_name", bucket_name)?;
    let client = client(timeout).with_allow_http(*insecure).with_allow_invalid_certificates(*insecure);
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_http_connector(budget.clone())
        .with_client_options(client.clone())
        .with_retry(retries)
        .with_bucket_name(bucket)
        .with_skip_signature(*insecure);
    if *insecure {
        // To write, the client asks for a token all the same, which nobody gives out for an emulator.
        let none = GcpCredential { bearer: "none".to_owned() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(none)));
    }
    let mut url = GOOGLE.to_owned();
    if !endpoint.is_empty() {
        url = with_scheme(endpoint, *insecure).trim_end_matches('/').to_owned();
        builder = builder.with_base_url(&url);
    }
    let wrong = |error: object_store::Error| wrong("storage.trace.gcs", error.to_string());
    let store = Arc::new(builder.build().map_err(wrong)?);
    let http = budget.connect(&client).map_err(wrong)?;
    let uploads = Uploads::Gcs { store: Arc::clone(&store), http, url: format!("{url}/{bucket}") };
    Ok(Client { objects: store, uploads, budget: budget.clone() })
}

fn azure(config: &Azure, retries: RetryConfig, timeout: Duration, budget: &RequestBudget) -> Result<Client> {
    let Azure {
        storage_account_name,
        storage_account_key,
        container_name,
        prefix: _,
        endpoint_suffix,
        // Without a key the client tries the federated token, then the managed identity, by itself.
        use_managed_identity: _,
        use_federated_token: _,
        user_assigned_id,
    } = config;
    let account = required("storage.trace.azure.storage_account_name", storage_account_name)?;
    let container = required("storage.trace.azure.container_name", container_name)?;
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_http_connector(budget.clone())
        .with_client_options(client(timeout))
        .with_retry(retries)
        .with_account(account)
        .with_container_name(container);
    if !storage_account_key.is_empty() {
        builder = builder.with_access_key(storage_account_key.expose());
    }
    if !user_assigned_id.is_empty() {
        builder = builder.with_client_id(user_assigned_id);
    }
    if endpoint_suffix.contains("://") {
        // An emulator: the account is in the path.
        let endpoint = format!("{}/{account}", endpoint_suffix.trim_end_matches('/'));
        builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
    } else if !endpoint_suffix.is_empty() && endpoint_suffix != AZURE_PUBLIC {
        builder = builder.with_endpoint(format!("https://{account}.{endpoint_suffix}"));
    }
    let store = builder.build().map_err(|error| wrong("storage.trace.azure", error.to_string()))?;
    Ok(Client { objects: Arc::new(store), uploads: Uploads::Unlisted, budget: budget.clone() })
}

#[cfg(test)]
mod tests {
    use tempoform_document::Secret;

    use super::*;

    fn open(yaml_like: impl FnOnce(&mut Trace)) -> Result<BlockStore> {
        let mut config = Trace::default();
        yaml_like(&mut config);
        BlockStore::open(&config, StoreOptions::default(), None)
    }

    fn message(yaml_like: impl FnOnce(&mut Trace)) -> String {
        open(yaml_like).unwrap_err().to_string()
    }

    #[test]
    fn missing_settings_are_named() {
        assert!(message(|_| {}).contains("storage.trace.backend"));
        assert!(message(|c| c.backend = Some(Backend::S3)).contains("s3.bucket"));
        assert!(message(|c| c.backend = Some(Backend::Gcs)).contains("gcs.bucket_name"));
        assert!(message(|c| c.backend = Some(Backend::Azure)).contains("azure.storage_account_name"));
        let half = |c: &mut Trace| {
            c.backend = Some(Backend::S3);
            c.s3.bucket = "b".to_owned();
            c.s3.access_key = "k".to_owned();
        };
        assert!(message(half).contains("s3.secret_key"));
        let authority = |c: &mut Trace| {
            c.backend = Some(Backend::S3);
            c.s3.bucket = "b".to_owned();
            c.s3.tls_ca_path = "/does/not/exist.pem".to_owned();
        };
        assert!(message(authority).contains("/does/not/exist.pem"));
    }

    #[test]
    fn endpoints_get_the_scheme_they_lack() {
        assert_eq!(with_scheme("minio:9000", true), "http://minio:9000");
        assert_eq!(with_scheme("s3.eu-west-1.amazonaws.com", false), "https://s3.eu-west-1.amazonaws.com");
        assert_eq!(with_scheme("http://minio:9000", false), "http://minio:9000");
    }

    #[test]
    fn each_kind_opens() {
        open(|c| {
            c.backend = Some(Backend::S3);
            c.s3.bucket = "b".to_owned();
            c.s3.endpoint = "minio:9000".to_owned();
            c.s3.insecure = true;
            c.s3.access_key = "k".to_owned();
            c.s3.secret_key = Secret::new("s");
            c.s3.sse = Some(S3Sse { kind: S3SseType::S3, kms_key_id: String::new() });
        })
        .unwrap();
        open(|c| {
            c.backend = Some(Backend::Gcs);
            c.gcs.bucket_name = "b".to_owned();
            c.gcs.endpoint = "http://localhost:4443".to_owned();
            c.gcs.insecure = true;
        })
        .unwrap();
        open(|c| {
            c.backend = Some(Backend::Azure);
            c.azure.storage_account_name = "devstoreaccount1".to_owned();
            c.azure.storage_account_key = Secret::new("a2V5");
            c.azure.container_name = "b".to_owned();
            c.azure.endpoint_suffix = "http://localhost:10000".to_owned();
        })
        .unwrap();
    }
}
