//! Requests to the API server: bounded in time, and made again while it is away for a moment.

use std::time::Duration;

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, ValidationDirective};
use kube::{Client, Error};
use serde_json::Value;
use tokio::time::Instant;

use crate::FIELD_MANAGER;
use crate::kinds;

/// One request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server that is away is asked again. An API server that is restarted is back within this.
const AWAY: Duration = Duration::from_secs(30);
/// Objects of one answer to a list.
const PAGE: u32 = 500;

/// Makes a request until it is answered, or the server was away for too long.
pub(crate) async fn persist<T, F>(mut request: impl FnMut() -> F) -> kube::Result<T>
where
    F: Future<Output = kube::Result<T>>,
{
    let end = Instant::now() + AWAY;
    let mut pause = Duration::from_millis(100);
    loop {
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, request()).await;
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if !is_passing(&error) || Instant::now() + pause > end => return Err(error),
            Ok(Err(error)) => Some(error),
            Err(_) if Instant::now() + pause > end => return Err(Error::Service(Box::new(TimedOut))),
            Err(_) => None,
        };
        if let Some(error) = error {
            tracing::debug!(%error, "the API server is asked again");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// No answer within the time for a request.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
struct TimedOut;

/// Whether the same request may be answered a moment later. All requests here may be made twice.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Api(status) => status.code == 429 || (status.code >= 500 && status.code != 501),
        Error::HyperError(_) | Error::Service(_) => true,
        _ => false,
    }
}

/// How a server-side apply is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Apply {
    pub(crate) dry_run: bool,
    /// Whether fields of others are taken.
    pub(crate) force: bool,
}

/// The objects of a kind as the server has them.
pub(crate) struct Objects<'a> {
    pub(crate) client: &'a Client,
}

impl Objects<'_> {
    /// Applies an object, and gives it as it is, or would be, stored.
    pub(crate) async fn apply(&self, value: &Value, how: Apply) -> kube::Result<Value> {
        let api = self.api_of(value)?;
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        let params = PatchParams {
            dry_run: how.dry_run,
            force: how.force,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            // A field that the server does not know would be dropped without a word.
            field_validation: Some(ValidationDirective::Strict),
        };
        let patch = Patch::Apply(value);
        stored(persist(|| api.patch(name, &params, &patch)).await?)
    }

    /// An object, if it is there.
    pub(crate) async fn get(&self, value: &Value) -> kube::Result<Option<Value>> {
        let api = self.api_of(value)?;
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        persist(|| api.get_opt(name)).await?.map(stored).transpose()
    }

    /// All objects of a kind in a namespace that have the labels.
    pub(crate) async fn list(
        &self,
        kind: &kinds::GroupKind,
        namespace: &str,
        labels: &str,
    ) -> kube::Result<Vec<Value>> {
        let resource = kind.resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let mut params = ListParams::default().labels(labels).limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = persist(|| api.list(&params)).await?;
            for mut object in page.items {
                // A list does not say of each item what it is.
                object.types = Some(kube::core::TypeMeta {
                    api_version: resource.api_version.clone(),
                    kind: resource.kind.clone(),
                });
                all.push(stored(object)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    pub(crate) fn api_of(&self, value: &Value) -> kube::Result<Api<DynamicObject>> {
        let resource = kinds::resource_of(value);
        let client = self.client.clone();
        Ok(match value["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        })
    }
}

fn stored(object: DynamicObject) -> kube::Result<Value> {
    serde_json::to_value(object).map_err(Error::SerdeError)
}

/// What an object says besides what the server keeps about it.
pub(crate) fn declared(mut value: Value) -> Value {
    const KEPT_BY_THE_SERVER: [&str; 7] = [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "uid",
    ];
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| !KEPT_BY_THE_SERVER.contains(&key.as_str()));
            // The whole object once more, as text in which no secret is masked.
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
    }
    value
}
