//! Emulators of object stores other than S3.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http::{Method, Request};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use serde_json::json;
use tempoform_test_support::{Minio, StoreProxy, free_port};

use super::{BUCKET, PATIENCE};

/// Lets anybody do anything in the bucket, as an emulator does.
pub(super) async fn open_to_all(minio: &str) -> Result<()> {
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": "*", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::{BUCKET}", "arn:aws:s3:::{BUCKET}/*"]}}]}}"#
    );
    let credential =
        AwsCredential { key_id: Minio::KEY.to_owned(), secret_key: Minio::SECRET.to_owned(), token: None };
    let mut request = put(&format!("http://{minio}/{BUCKET}?policy="), policy.clone())?;
    AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut request, None)?;
    sent(request, policy).await
}

pub(crate) const AZURE_ACCOUNT: &str = "tempoform";
/// The key that the emulator is told to take: `tempoform-test-secret` in base64.
pub(crate) const AZURE_KEY: &str = "dGVtcG9mb3JtLXRlc3Qtc2VjcmV0";

/// A running Azurite with a container.
pub(crate) struct Azurite {
    child: Child,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Azurite {
    pub(crate) async fn start(program: &OsStr) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?.to_string();
        let child = Command::new(program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port])
            .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location"])
            .arg(folder.path())
            .env("AZURITE_ACCOUNTS", format!("{AZURE_ACCOUNT}:{AZURE_KEY}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let azurite = Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let started = Instant::now();
        while reqwest::get(&azurite.url).await.is_err() {
            ensure!(started.elapsed() < PATIENCE, "Azurite does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        azurite.make_container().await?;
        Ok(azurite)
    }

    async fn make_container(&self) -> Result<()> {
        let url = format!("{}/{AZURE_ACCOUNT}/{BUCKET}?restype=container", self.url);
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(AZURE_KEY)?);
        let mut request = put(&url, String::new())?;
        AzureAuthorizer::new(&credential, AZURE_ACCOUNT).try_authorize(&mut request)?;
        sent(request, String::new()).await
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A running `fake-gcs-server` with a bucket.
pub(super) struct GoogleEmulator {
    child: Child,
    proxy: StoreProxy,
}

impl GoogleEmulator {
    pub(super) async fn start(program: &OsStr) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let proxy = StoreProxy::before_google_emulator(address.clone()).await?;
        let (host, port) = address.split_once(':').unwrap_or_default();
        let child = Command::new(program)
            .args(["-scheme", "http", "-backend", "memory", "-host", host, "-port", port])
            // It tells the two APIs apart by the name that a request is for, which is the proxy's.
            .args(["-public-host", &proxy.address().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let emulator = Self { child, proxy };
        let buckets = format!("http://{address}/storage/v1/b");
        let started = Instant::now();
        while reqwest::get(&buckets).await.is_err() {
            ensure!(started.elapsed() < PATIENCE, "fake-gcs-server does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let bucket = json!({ "name": BUCKET });
        reqwest::Client::new().post(&buckets).json(&bucket).send().await?.error_for_status()?;
        Ok(emulator)
    }

    /// `host:port`.
    pub(super) fn address(&self) -> String {
        self.proxy.address().to_string()
    }
}

impl Drop for GoogleEmulator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn put(url: &str, body: String) -> Result<HttpRequest> {
    Ok(Request::builder().method(Method::PUT).uri(url).body(HttpRequestBody::from(body))?)
}

/// Sends what was signed.
async fn sent(request: HttpRequest, body: String) -> Result<()> {
    let (head, _) = request.into_parts();
    let url = head.uri.to_string();
    let answer = reqwest::Client::new().put(&url).headers(head.headers).body(body).send().await?;
    let status = answer.status();
    ensure!(status.is_success(), "{url}: {status} {}", answer.text().await?);
    Ok(())
}
