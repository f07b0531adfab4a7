//! A store whose answers go wrong as a test says.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What happens to a GET.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// The connection is lost before the answer.
    Reset,
    /// The body ends in its middle, with an error or without.
    Truncated { tells: bool },
    /// The answer comes this much later.
    Slow(Duration),
    /// Nothing.
    None,
}

/// Wraps a store in memory; each GET meets the next of the faults, and after the last none.
#[derive(Debug, Default)]
pub(super) struct FaultyStore {
    pub(super) inner: InMemory,
    faults: Mutex<VecDeque<Fault>>,
    gets: AtomicU64,
}

impl FaultyStore {
    pub(super) fn new(faults: impl IntoIterator<Item = Fault>) -> Arc<Self> {
        let faulty = Self::default();
        faulty.plan(faults);
        Arc::new(faulty)
    }

    pub(super) fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(super) fn gets(&self) -> u64 {
        self.gets.load(Ordering::Relaxed)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

fn reset() -> Error {
    Error::Generic { store: "faulty", source: io::Error::from(io::ErrorKind::ConnectionReset).into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        let tells = match fault {
            Fault::Reset => return Err(reset()),
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                return self.inner.get_opts(path, options).await;
            }
            Fault::None => return self.inner.get_opts(path, options).await,
            Fault::Truncated { tells } => tells,
        };
        let answer = self.inner.get_opts(path, options).await?;
        let (meta, range, attributes, extensions) =
            (answer.meta.clone(), answer.range.clone(), answer.attributes.clone(), answer.extensions.clone());
        let bytes = answer.bytes().await?;
        let mut parts = vec![Ok(bytes.slice(..bytes.len() / 2))];
        parts.extend(tells.then(|| Err(reset())));
        let payload = GetResultPayload::Stream(stream::iter(parts).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
