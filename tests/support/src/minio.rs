//! A real MinIO server, and its own log of the requests it has answered.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use tempoform_block::{BlockStore, StoreOptions};
use tempoform_config::{Backend, Trace};
use tokio::net::TcpListener;

use crate::free_port;

/// A server with a bucket; killed when dropped.
#[derive(Debug)]
pub struct Minio {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
    log: Arc<Mutex<Vec<StoreRequest>>>,
}

/// A request as the server logged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRequest {
    /// `GetObject`, `PutObject`, …
    pub api: String,
    /// The object's key.
    pub object: String,
    /// HTTP status of the answer.
    pub status: u64,
}

impl Minio {
    /// The server's bucket.
    pub const BUCKET: &str = "traces";
    /// Its access key.
    pub const KEY: &str = "tempoform-test";
    /// Its secret key.
    pub const SECRET: &str = "tempoform-test-secret";

    /// The server program, where it is installed.
    pub fn program() -> Option<PathBuf> {
        std::env::var_os("TEMPOFORM_TEST_MINIO").map(PathBuf::from)
    }

    /// Starts a server with an empty bucket.
    ///
    /// # Errors
    /// When it is not ready within 30 seconds.
    pub async fn start(program: &Path) -> Result<Self> {
        Self::start_with(program, None).await
    }

    /// The same, with TLS: `certificates` has `public.crt` and `private.key`.
    ///
    /// # Errors
    /// When it is not ready within 30 seconds.
    pub async fn start_with_tls(program: &Path, certificates: &Path) -> Result<Self> {
        Self::start_with(program, Some(certificates)).await
    }

    async fn start_with(program: &Path, certificates: Option<&Path>) -> Result<Self> {
        let log = Arc::<Mutex<Vec<_>>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let audit = format!("http://{}/audit", listener.local_addr()?);
        let router = Router::new().route("/audit", post(note)).with_state(Arc::clone(&log));
        tokio::spawn(axum::serve(listener, router).into_future());

        let folder = tempfile::tempdir()?;
        // A folder is a bucket to it.
        std::fs::create_dir(folder.path().join(Self::BUCKET))?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let child = Command::new(program)
            .args(["server", "--quiet", "--address", &address])
            .args(certificates.iter().flat_map(|folder| [Path::new("--certs-dir"), folder]))
            .arg(folder.path())
            .env("MINIO_ROOT_USER", Self::KEY)
            .env("MINIO_ROOT_PASSWORD", Self::SECRET)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_AUDIT_WEBHOOK_ENABLE_TEST", "on")
            .env("MINIO_AUDIT_WEBHOOK_ENDPOINT_TEST", audit)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let minio = Self { child, address, folder, log };
        let started = Instant::now();
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let ready = format!("{scheme}://{}/minio/health/ready", minio.address);
        let client = reqwest::Client::builder().danger_accept_invalid_certs(true).build()?;
        while !client.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
            ensure!(started.elapsed() < Duration::from_secs(30), "MinIO is not ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(minio)
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its buckets are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The bucket, as the product opens it.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn store(&self) -> Result<BlockStore> {
        Ok(BlockStore::open(&self.trace(), StoreOptions::default(), None)?)
    }

    /// The bucket, as a configuration has it.
    pub fn trace(&self) -> Trace {
        let mut config = Trace { backend: Some(Backend::S3), ..Trace::default() };
        config.s3.bucket = Self::BUCKET.to_owned();
        config.s3.endpoint = format!("http://{}", self.address);
        config.s3.region = "us-east-1".to_owned();
        config.s3.access_key = Self::KEY.to_owned();
        config.s3.secret_key = tempoform_document::Secret::new(Self::SECRET);
        config.s3.forcepathstyle = true;
        config
    }

    /// What reaches the bucket at `endpoint` in the section `storage.trace` of a configuration file, indented by four.
    pub fn storage_yaml(endpoint: &str) -> String {
        format!(
            "    backend: s3\n    s3:\n      bucket: {}\n      endpoint: {endpoint}\n      region: us-east-1\n      \
             access_key: {}\n      secret_key: {}\n      forcepathstyle: true\n",
            Self::BUCKET,
            Self::KEY,
            Self::SECRET
        )
    }

    /// Takes what is in the log, once it has `enough`: the server writes it a little later than it answers.
    ///
    /// # Errors
    /// When that takes more than 30 seconds.
    pub async fn take_log(&self, enough: impl Fn(&[StoreRequest]) -> bool) -> Result<Vec<StoreRequest>> {
        let started = Instant::now();
        loop {
            {
                let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                if enough(&log) {
                    return Ok(std::mem::take(&mut *log));
                }
                ensure!(
                    started.elapsed() < Duration::from_secs(30),
                    "the log has only {} entries",
                    log.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Minio {
    /// Empties the log, once nothing more comes to it of what was asked before.
    ///
    /// # Errors
    /// When it does not come to rest within 60 seconds.
    pub async fn forget_log(&self) -> Result<()> {
        let started = Instant::now();
        while !self.take_log(|_| true).await?.is_empty() || started.elapsed() < LOG_DELAY {
            ensure!(started.elapsed() < Duration::from_secs(60), "the log does not come to rest");
            tokio::time::sleep(LOG_DELAY).await;
        }
        Ok(())
    }
}

/// The server writes its log within this time, as a rule.
const LOG_DELAY: Duration = Duration::from_secs(1);

impl Drop for Minio {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Notes an entry of the audit log, see MinIO's documentation of it.
async fn note(State(log): State<Arc<Mutex<Vec<StoreRequest>>>>, body: String) {
    let entries = serde_json::Deserializer::from_str(&body).into_iter::<serde_json::Value>();
    for entry in entries.flatten() {
        let api = &entry["api"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let request = StoreRequest {
            api: text(&api["name"]),
            object: text(&api["object"]),
            status: api["statusCode"].as_u64().unwrap_or_default(),
        };
        log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }
}
