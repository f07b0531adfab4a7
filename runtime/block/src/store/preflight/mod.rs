//! Whether a bucket can be used, tried with a small object before anything depends on it.
//!
//! Each kind of request that the runtime sends is tried once, under the configured prefix. A conditional write is not
//! among them: none is ever sent. The probe is one object at the top, where nobody takes it for a tenant.

mod cause;
mod rights;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload};
use serde::Serialize;
use tempoform_config::Trace;
use uuid::Uuid;

pub use cause::Cause;
use rights::Bucket;

use super::{open, prefixed};
use crate::error::Result;

/// Longest time of a step, whatever requests it takes.
const STEP: Duration = Duration::from_secs(10);
/// Longest time of one request: what it failed on is told before its step is over.
const REQUEST: Duration = Duration::from_secs(9);
const CONTENT: &[u8] = b"tempoform checks whether it may use this bucket; this object can go";

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Listing the top of the prefix.
    List,
    /// Writing an object.
    Put,
    /// Reading it.
    Get,
    /// Reading a part of it.
    GetRange,
    /// Asking for its size.
    Head,
    /// Writing an object in parts.
    Parts,
    /// Giving up an upload in parts.
    Abort,
    /// Deleting.
    Delete,
}

impl Action {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Put => "write",
            Self::Get => "read",
            Self::GetRange => "read a range",
            Self::Head => "read the size",
            Self::Parts => "write in parts",
            Self::Abort => "give up parts",
            Self::Delete => "delete",
        }
    }
}

/// What came of trying a kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// It works.
    Works,
    /// It does not.
    Fails {
        /// Why.
        cause: Cause,
        /// The right that is missing, where it is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        right: Option<&'static str>,
        /// What the store said.
        said: String,
        /// What to do.
        advice: String,
    },
    /// It could not be tried.
    NotTried,
}

/// A kind of request, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub action: Action,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of trying a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// In the order of trying.
    pub steps: Vec<Step>,
    /// Keys of objects that are still there, because they could not be deleted.
    pub left_behind: Vec<String>,
}

impl Preflight {
    /// Whether the bucket can be used.
    pub fn is_fine(&self) -> bool {
        self.steps.iter().all(|step| step.outcome == Outcome::Works)
    }
}

/// Tries the bucket or folder that `storage.trace` of a configuration names. Nothing of it stays, as far as it may delete.
/// A folder that does not exist is not made.
///
/// # Errors
/// [`BlockError::Configuration`](crate::BlockError::Configuration) for settings with which no request can be sent.
pub async fn preflight(config: &Trace) -> Result<Preflight> {
    let (objects, prefix) = open::for_preflight(config, REQUEST)?;
    let Some(bucket) = Bucket::of(config) else { return Ok(Preflight::default()) };
    let prefix = open::prefix(prefix)?;
    let name = format!("tempoform-check-{}", Uuid::new_v4());
    let mut trial =
        Trial { objects, bucket, written: Vec::new(), report: Preflight::default(), is_over: false };
    trial.run(&prefix, &name).await;
    trial.clean_up().await;
    Ok(trial.report)
}

struct Trial {
    objects: Arc<dyn ObjectStore>,
    bucket: Bucket,
    /// What may be there now.
    written: Vec<Path>,
    report: Preflight,
    /// Whatever is tried would fail like what was tried last.
    is_over: bool,
}

impl Trial {
    async fn run(&mut self, prefix: &Path, name: &str) {
        let objects = Arc::clone(&self.objects);
        let key = |suffix: &str| prefixed(prefix, &Path::from(format!("{name}{suffix}")));
        let probe = &key("");
        let top = Some(prefix).filter(|prefix| !prefix.as_ref().is_empty());
        self.step(Action::List, async { objects.list_with_delimiter(top).await.map(drop) }).await;

        self.written.push(probe.clone());
        let content = || PutPayload::from_static(CONTENT);
        let put = async { objects.put(probe, content()).await.map(drop) };
        let is_there = self.step(Action::Put, put).await;
        let whole = async { same(&objects.get(probe).await?.bytes().await?, CONTENT) };
        self.step_if(is_there, Action::Get, whole).await;
        let options = GetOptions { range: Some(GetRange::Bounded(10..20)), ..GetOptions::default() };
        let range = async { same(&objects.get_opts(probe, options).await?.bytes().await?, &CONTENT[10..20]) };
        self.step_if(is_there, Action::GetRange, range).await;
        let head = async { objects.head(probe).await.map(drop) };
        self.step_if(is_there, Action::Head, head).await;

        let in_parts = key("-parts");
        self.written.push(in_parts.clone());
        let upload = async {
            let mut upload = objects.put_multipart(&in_parts).await?;
            let ended = match upload.put_part(content()).await {
                Ok(()) => upload.complete().await.map(drop),
                Err(error) => Err(error),
            };
            if ended.is_err() {
                // What comes of it changes nothing about what is told.
                drop(upload.abort().await);
            }
            ended
        };
        let has_parts = self.step(Action::Parts, upload).await;
        let given_up = key("-given-up");
        self.written.push(given_up.clone());
        let abort = async {
            let mut upload = objects.put_multipart(&given_up).await?;
            upload.put_part(content()).await?;
            let aborted = upload.abort().await;
            if aborted.is_err() {
                // Ended the other way, it is an object that can be deleted.
                drop(upload.complete().await);
            }
            aborted
        };
        // Azure has nothing like it: parts that nobody commits go by themselves.
        if self.bucket.has_aborts() {
            self.step_if(has_parts, Action::Abort, abort).await;
        }
        let delete = async { objects.delete(probe).await };
        if self.step_if(is_there, Action::Delete, delete).await {
            self.written.retain(|key| key != probe);
        }
    }

    async fn step_if(
        &mut self,
        possible: bool,
        action: Action,
        request: impl Future<Output = object_store::Result<()>>,
    ) -> bool {
        if possible {
            return self.step(action, request).await;
        }
        self.report.steps.push(Step { action, outcome: Outcome::NotTried });
        false
    }

    /// Gives whether it works.
    async fn step(
        &mut self,
        action: Action,
        request: impl Future<Output = object_store::Result<()>>,
    ) -> bool {
        let outcome = if self.is_over {
            Outcome::NotTried
        } else {
            match tokio::time::timeout(STEP, request).await {
                Ok(Ok(())) => Outcome::Works,
                Ok(Err(error)) => self.failure(action, Cause::of(&error), error.to_string()),
                Err(_) => {
                    let said = format!("nothing: {:?} did not end within {STEP:?}", action.as_str());
                    self.failure(action, self.bucket.cause_of_silence(), said)
                }
            }
        };
        let works = outcome == Outcome::Works;
        self.report.steps.push(Step { action, outcome });
        works
    }

    fn failure(&mut self, action: Action, cause: Cause, said: String) -> Outcome {
        self.is_over = cause.is_general();
        Outcome::Fails {
            cause,
            right: (cause == Cause::Denied).then(|| self.bucket.right(action)),
            said,
            advice: self.bucket.advice(action, cause),
        }
    }

    /// Deletes what may be there, whatever came of the rest.
    async fn clean_up(&mut self) {
        if self.is_over {
            // An object that was written before that cannot be reached either.
            let wrote = self.report.steps.iter().any(|step| {
                matches!(step.action, Action::Put | Action::Parts) && step.outcome == Outcome::Works
            });
            if !wrote {
                return;
            }
        }
        for key in std::mem::take(&mut self.written) {
            let deleted = tokio::time::timeout(STEP, self.objects.delete(&key)).await;
            match deleted {
                Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => {}
                // It may never have been written; who may not write cannot have left anything.
                _ if tokio::time::timeout(STEP, self.objects.head(&key))
                    .await
                    .is_ok_and(|head| head.is_ok()) =>
                {
                    self.report.left_behind.push(key.to_string());
                }
                _ => {}
            }
        }
    }
}

fn same(found: &Bytes, expected: &[u8]) -> object_store::Result<()> {
    if found == expected {
        return Ok(());
    }
    let said = format!("{} bytes came back that are not the {} written", found.len(), expected.len());
    Err(object_store::Error::Generic { store: "answer", source: said.into() })
}

#[cfg(test)]
mod tests {
    use tempoform_config::Backend;

    use super::*;

    fn folder(path: &std::path::Path) -> Trace {
        let mut config = Trace { backend: Some(Backend::Local), ..Trace::default() };
        config.local.path = path.display().to_string();
        config
    }

    #[tokio::test]
    async fn a_folder_is_tried_and_nothing_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let report = preflight(&folder(temporary.path())).await.unwrap();
        assert!(report.is_fine() && report.left_behind.is_empty(), "{report:?}");
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_never_ends_is_ended_and_named() {
        let config = folder(std::path::Path::new("/data"));
        let mut trial = Trial {
            objects: Arc::new(object_store::memory::InMemory::new()),
            bucket: Bucket::of(&config).unwrap(),
            written: Vec::new(),
            report: Preflight::default(),
            is_over: false,
        };
        assert!(!trial.step(Action::Put, std::future::pending()).await);
        assert!(!trial.step(Action::Parts, std::future::pending()).await);
        let Outcome::Fails { said, advice, .. } = &trial.report.steps[0].outcome else {
            panic!("no failure")
        };
        assert!(said.contains("\"write\" did not end within 10s"), "{said}");
        assert!(advice.contains("/data") && advice.contains("storage.trace.local.path"), "{advice}");
        assert_eq!(trial.report.steps[1].outcome, Outcome::NotTried);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_not_made() {
        let temporary = tempfile::tempdir().unwrap();
        let missing = temporary.path().join("missing");
        let error = preflight(&folder(&missing)).await.unwrap_err();
        assert!(error.to_string().contains("storage.trace.local.path"), "{error}");
        assert!(error.to_string().contains("make the folder"), "{error}");
        assert!(!missing.exists());
        let file = temporary.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = preflight(&folder(&file)).await.unwrap_err();
        assert!(error.to_string().contains("is no folder"), "{error}");
    }

    #[tokio::test]
    async fn where_nothing_listens_one_request_says_so() {
        let mut config = Trace { backend: Some(Backend::S3), ..Trace::default() };
        config.s3.bucket = "traces".to_owned();
        config.s3.endpoint = "http://127.0.0.1:1".to_owned();
        config.s3.access_key = "key".to_owned();
        config.s3.secret_key = tempoform_document::Secret::new("secret");
        let report = preflight(&config).await.unwrap();
        let Outcome::Fails { cause, advice, .. } = &report.steps[0].outcome else { panic!("{report:?}") };
        assert_eq!(*cause, Cause::Unreachable);
        assert!(advice.contains("http://127.0.0.1:1"), "{advice}");
        assert!(report.steps[1..].iter().all(|step| step.outcome == Outcome::NotTried), "{report:?}");
    }
}
