//! Uploads in parts that nobody ended: a killed process leaves them, they cost money and no listing of objects shows them.
//!
//! S3: `ListMultipartUploads`, <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>; Google's XML
//! API has the same, <https://cloud.google.com/storage/docs/xml-api/get-bucket-uploads>. Azure drops blocks that were not
//! committed after a week by itself. In a folder they are files named `data.parquet#1`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::TryFutureExt as _;
use jiff::Timestamp;
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::GoogleCloudStorage;
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer as _, Url};
use serde::Deserialize;
use tempoform_core::Account;

use super::BlockStore;
use crate::error::{BlockError, Result};
use crate::paths::{self, BlockObject, BlockPath};

/// How long a signed request may take to arrive.
const SIGNED_FOR: Duration = Duration::from_secs(60);
/// Most pages of 1000 uploads that are looked at: other uses of a bucket are not ours to walk through.
const MAX_PAGES: usize = 100;

/// How unfinished uploads are found and ended.
#[derive(Clone, Debug)]
pub(super) enum Uploads {
    /// Not at all: the store has none, or ends them itself.
    Unlisted,
    S3 {
        store: Arc<AmazonS3>,
        http: HttpClient,
    },
    Gcs {
        store: Arc<GoogleCloudStorage>,
        http: HttpClient,
        /// Of the bucket.
        url: String,
    },
    Folder(PathBuf),
}

/// An upload in parts of a block's data that is not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// Whose data.
    pub block: BlockPath,
    /// When it was begun; in a folder, when it was written to last.
    pub begun: Timestamp,
    /// The store's name of it.
    id: String,
}

impl BlockStore {
    /// Uploads of blocks' data that are under way, or were left. Empty for stores that end them themselves.
    ///
    /// # Errors
    /// The store's error.
    pub async fn unfinished_uploads(&self, account: &Account) -> Result<Vec<UnfinishedUpload>> {
        let listed = match &self.0.uploads {
            Uploads::Unlisted => return Ok(Vec::new()),
            Uploads::S3 { store, http } => {
                let pages = listed(http, |query| signed(store, query));
                self.timed("LIST", &self.0.prefix, account, pages).await?
            }
            Uploads::Gcs { store, http, url } => {
                let pages = listed(http, |query| with_token(store, url, query));
                self.timed("LIST", &self.0.prefix, account, pages).await?
            }
            Uploads::Folder(folder) => {
                let folder = folder.clone();
                let staged = tokio::task::spawn_blocking(move || staged_files(&folder));
                let staged = staged.map_err(object_store::Error::from);
                self.timed("LIST", &self.0.prefix, account, staged).await?
            }
        };
        let ours = listed.into_iter().filter_map(|Upload { key, id, begun }| {
            let block = self.block_of_data(&key)?;
            Some(UnfinishedUpload { block, begun, id })
        });
        Ok(ours.collect())
    }

    /// Ends an upload; its parts go.
    ///
    /// # Errors
    /// The store's error. One that is not there any more is fine.
    pub async fn abort_upload(&self, upload: &UnfinishedUpload, account: &Account) -> Result<()> {
        let path = upload.block.object(&BlockObject::Data);
        let key = self.key(&path);
        let aborted = match &self.0.uploads {
            Uploads::Unlisted => return Ok(()),
            Uploads::S3 { store, .. } => {
                self.timed("DELETE", &path, account, store.abort_multipart(&key, &upload.id)).await
            }
            Uploads::Gcs { store, .. } => {
                self.timed("DELETE", &path, account, store.abort_multipart(&key, &upload.id)).await
            }
            Uploads::Folder(folder) => {
                let removed =
                    tokio::fs::remove_file(folder.join(&upload.id)).map_err(|source| match source.kind() {
                        std::io::ErrorKind::NotFound => not_found(&upload.id, source),
                        _ => failed(source),
                    });
                self.timed("DELETE", &path, account, removed).await
            }
        };
        match aborted {
            Err(BlockError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// The block whose data lie under a key of the bucket.
    fn block_of_data(&self, key: &str) -> Option<BlockPath> {
        let below = match self.0.prefix.as_ref() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let mut parts = below.split('/');
        let (tenant, folder, name) = (parts.next()?, parts.next()?, parts.next()?);
        let block = folder.parse::<uuid::Uuid>().ok()?;
        let is_data = name == paths::DATA && parts.next().is_none();
        is_data.then(|| Some(BlockPath::new(paths::tenant_of_folder(tenant)?, block)))?
    }
}

struct Upload {
    key: String,
    id: String,
    begun: Timestamp,
}

/// A page of the store's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default)]
    upload: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    upload_id: String,
    initiated: Timestamp,
}

type Query = Vec<(&'static str, String)>;

/// All pages. Without a prefix: MinIO takes one for the whole name of an object.
async fn listed<F>(http: &HttpClient, request: impl Fn(Query) -> F) -> object_store::Result<Vec<Upload>>
where
    F: Future<Output = object_store::Result<HttpRequest>>,
{
    let mut all = Vec::new();
    let mut query: Query = vec![("uploads", String::new())];
    for _ in 0..MAX_PAGES {
        let answer = http.execute(request(query).await?).await.map_err(failed)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(failed)?;
        if !status.is_success() {
            // As the client's own errors say it, by which a refusal is known.
            let said = String::from_utf8_lossy(&body);
            return Err(failed(format!("Server returned non-2xx status code: {status}: {said}")));
        }
        let page: Page = quick_xml::de::from_reader(body.as_ref()).map_err(failed)?;
        let uploads = page.upload.into_iter();
        all.extend(uploads.map(|Listed { key, upload_id, initiated }| Upload {
            key,
            id: upload_id,
            begun: initiated,
        }));
        if !page.is_truncated || page.next_key_marker.is_empty() {
            break;
        }
        query = vec![
            ("uploads", String::new()),
            ("key-marker", page.next_key_marker),
            ("upload-id-marker", page.next_upload_id_marker),
        ];
    }
    Ok(all)
}

async fn signed(store: &AmazonS3, query: Query) -> object_store::Result<HttpRequest> {
    let options = SignedUrlOptions::new().with_query(query);
    let url = store.signed_url_opts(Method::GET, &Path::default(), SIGNED_FOR, &options).await?;
    get(&url, None)
}

async fn with_token(
    store: &GoogleCloudStorage,
    url: &str,
    query: Query,
) -> object_store::Result<HttpRequest> {
    let token = store.credentials().get_credential().await?;
    let url = Url::parse_with_params(url, query).map_err(failed)?;
    get(&url, Some(&token.bearer))
}

fn get(url: &Url, token: Option<&str>) -> object_store::Result<HttpRequest> {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = url.as_str().parse().map_err(failed)?;
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().map_err(failed)?;
        request.headers_mut().insert("authorization", value);
    }
    Ok(request)
}

/// Files that the client for folders writes to before they get their names; those that cannot be looked at are left out.
fn staged_files(folder: &std::path::Path) -> Vec<Upload> {
    let mut found = Vec::new();
    for tenant in below(folder) {
        for block in below(&tenant) {
            for file in below(&block) {
                let Ok(relative) = file.strip_prefix(folder) else { continue };
                let Some(relative) = relative.to_str() else { continue };
                let Some((key, number)) = relative.rsplit_once('#') else { continue };
                let modified = file.metadata().and_then(|metadata| metadata.modified());
                let modified = modified.ok().and_then(|time| Timestamp::try_from(time).ok());
                if let Some(begun) = modified.filter(|_| number.parse::<u64>().is_ok()) {
                    found.push(Upload { key: key.to_owned(), id: relative.to_owned(), begun });
                }
            }
        }
    }
    found
}

fn below(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "uploads", source: source.into() }
}

fn not_found(path: &str, source: std::io::Error) -> object_store::Error {
    object_store::Error::NotFound { path: path.to_owned(), source: source.into() }
}
