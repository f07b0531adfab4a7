//! A bucket in memory whose n-th request meets trouble, and which tells what was asked of it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tempoform_block::{BlockStore, StoreOptions};
use tokio::sync::{Notify, watch};

/// What the n-th request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It fails, and so do all that follow: whoever sends them has been killed.
    Killed,
    /// It fails.
    Fails,
    /// It waits until it may go on.
    Waits,
    /// It is none: data are written once so many are about to be, or nobody else has come for that long.
    Meets(Duration),
}

#[derive(Debug)]
pub(super) struct TroubledStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    objects: Arc<InMemory>,
    trouble: Trouble,
    at: usize,
    requests: AtomicUsize,
    arrived: Notify,
    go_on: Notify,
    /// Data that are about to be written, and the most that ever were at once.
    writing: AtomicUsize,
    most_writing: watch::Sender<usize>,
    /// What was read.
    read: Mutex<Vec<Path>>,
}

impl TroubledStore {
    /// Before a bucket; requests are counted from 1.
    pub(super) fn new(objects: &Arc<InMemory>, trouble: Trouble, at: usize) -> Self {
        Self(Arc::new(Inner {
            objects: Arc::clone(objects),
            trouble,
            at,
            requests: AtomicUsize::new(0),
            arrived: Notify::new(),
            go_on: Notify::new(),
            writing: AtomicUsize::new(0),
            most_writing: watch::Sender::new(0),
            read: Mutex::default(),
        }))
    }

    /// The bucket, for a compactor.
    pub(super) fn store(&self) -> BlockStore {
        let objects = Self(Arc::clone(&self.0));
        BlockStore::new(Arc::new(objects), "", StoreOptions::default(), None).expect("a store")
    }

    /// Whether a request met the trouble.
    pub(super) fn was_met(&self) -> bool {
        self.0.requests.load(Ordering::Acquire) >= self.0.at
    }

    /// The most data that were about to be written at once.
    pub(super) fn most_writing(&self) -> usize {
        *self.0.most_writing.borrow()
    }

    /// What was read so far.
    pub(super) fn read(&self) -> Vec<Path> {
        self.0.read.lock().expect("not poisoned").clone()
    }

    /// Returns once a request waits.
    pub(super) async fn waits(&self) {
        self.0.arrived.notified().await;
    }

    /// The one that waits goes on.
    pub(super) fn go_on(&self) {
        self.0.go_on.notify_one();
    }
}

impl Inner {
    async fn request(&self) -> Result<()> {
        let number = self.requests.fetch_add(1, Ordering::AcqRel) + 1;
        let fails = match self.trouble {
            Trouble::Killed => number >= self.at,
            Trouble::Fails => number == self.at,
            Trouble::Waits if number == self.at => {
                self.arrived.notify_one();
                self.go_on.notified().await;
                false
            }
            Trouble::Waits | Trouble::Meets(_) => false,
        };
        if fails {
            return Err(object_store::Error::Generic { store: "Troubled", source: "on purpose".into() });
        }
        Ok(())
    }

    /// Waits for others who write data.
    async fn meet(&self, location: &Path) {
        let Trouble::Meets(patience) = self.trouble else { return };
        if location.filename() != Some("data.parquet") {
            return;
        }
        let writing = self.writing.fetch_add(1, Ordering::AcqRel) + 1;
        self.most_writing.send_if_modified(|most| {
            let is_more = writing > *most;
            *most = writing.max(*most);
            is_more
        });
        let mut most = self.most_writing.subscribe();
        // That nobody comes is one of the two outcomes.
        drop(tokio::time::timeout(patience, most.wait_for(|most| *most >= self.at)).await);
        self.writing.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Display for TroubledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TroubledStore")
    }
}

#[async_trait::async_trait]
impl ObjectStore for TroubledStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.request().await?;
        self.0.meet(location).await;
        self.0.objects.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.request().await?;
        self.0.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.request().await?;
        self.0.read.lock().expect("not poisoned").push(location.clone());
        self.0.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let inner = Arc::clone(&self.0);
        let deleted = locations.and_then(move |location| {
            let inner = Arc::clone(&inner);
            async move {
                inner.request().await?;
                let one = futures::stream::once(std::future::ready(Ok(location))).boxed();
                let deleted: Vec<Path> = inner.objects.delete_stream(one).try_collect().await?;
                deleted.into_iter().next().ok_or(object_store::Error::NotImplemented {
                    operation: "deleting nothing".to_owned(),
                    implementer: "Troubled".to_owned(),
                })
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, prefix) = (Arc::clone(&self.0), prefix.cloned());
        let listed = async move {
            inner.request().await?;
            Ok::<_, object_store::Error>(inner.objects.list(prefix.as_ref()))
        };
        listed.into_stream().try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.request().await?;
        self.0.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.request().await?;
        self.0.objects.copy_opts(from, to, options).await
    }
}
