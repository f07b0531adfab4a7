//! What the API server would make of an object.

use kube::Error;
use kube::core::Status;
use serde_json::Value;
use tempoform_engine::object::Object;
use tempoform_engine::target::TargetError;

use crate::change::keep_replicas;
use crate::failure::{Conflict, conflicts, explain, immutable, is_missing_kind, is_missing_namespace};
use crate::kinds::GroupKind;
use crate::replicas::{Scaling, Yields, yields};
use crate::requests::{Apply, Objects, declared};

/// What came of applying an object in a dry run.
#[derive(Debug)]
pub(crate) struct Foreseen {
    pub(crate) object: Object,
    /// What others own of what it declares.
    pub(crate) conflicts: Vec<Conflict>,
    /// Why it cannot be changed in place.
    pub(crate) replaced: Option<String>,
    /// How the number of replicas is left to an autoscaler, where it is.
    pub(crate) yields: Option<Yields>,
    /// What could not be found out.
    pub(crate) unknown: Option<Unknown>,
}

/// Why the server cannot tell yet what would come of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    Namespace,
    Kind(String),
}

/// Applies an object in a dry run. `scaling` tells who decides about its replicas.
pub(crate) async fn foresee(
    objects: &Objects<'_>,
    object: &Object,
    live: Option<&Object>,
    scaling: Scaling,
) -> Result<Foreseen, TargetError> {
    let mut foreseen = Foreseen {
        object: object.clone(),
        conflicts: Vec::new(),
        replaced: None,
        yields: None,
        unknown: None,
    };
    let gently = Apply { dry_run: true, force: false };
    let mut value = object.value.clone();
    let mut answer = objects.apply(&value, gently).await;
    if let Some(live) = live {
        let found = refused(&answer).map(conflicts).unwrap_or_default();
        foreseen.yields = yields(scaling, &found, &value, &live.value);
    }
    if let Some(yields) = &foreseen.yields {
        yields.apply_to(&mut value);
        answer = objects.apply(&value, gently).await;
    }
    if let Some(status) = refused(&answer) {
        foreseen.conflicts = conflicts(status);
        if !foreseen.conflicts.is_empty() {
            answer = objects.apply(&value, Apply { dry_run: true, force: true }).await;
        }
    }
    if let Some(reason) = refused(&answer).and_then(immutable) {
        refuse_if_never_replaced(object, &reason)?;
        foreseen.replaced = Some(reason);
        answer = objects.apply(&under_another_name(&value, live), gently).await;
    }
    match answer {
        // A new object is shown as it is declared: what the server adds is not news.
        Ok(_) if live.is_none() => {}
        Ok(stored) => {
            let mut stored = declared(stored);
            stored["metadata"]["name"] = object.id.name.as_str().into();
            foreseen.object.value = stored;
        }
        Err(Error::Api(status)) if is_missing_namespace(&status) => {
            foreseen.unknown = Some(Unknown::Namespace)
        }
        Err(Error::Api(status)) if is_missing_kind(&status) => {
            let kind =
                GroupKind::of(&object.value).map_or_else(|| object.id.kind.clone(), |kind| kind.to_string());
            foreseen.unknown = Some(Unknown::Kind(kind));
        }
        Err(error) => return Err(explain(&format!("{} would be refused", object.id), error)),
    }
    Ok(foreseen)
}

fn refused(answer: &kube::Result<Value>) -> Option<&Status> {
    match answer {
        Err(Error::Api(status)) => Some(status),
        _ => None,
    }
}

/// A new object gets all defaults, and nothing of an old one is in its way.
fn under_another_name(value: &Value, live: Option<&Object>) -> Value {
    let mut other = value.clone();
    keep_replicas(&mut other, live.map(|live| &live.value));
    let name = other["metadata"]["name"].as_str().unwrap_or_default();
    other["metadata"]["name"] = format!("{name}-anew").into();
    other
}

/// Pods of a Deployment belong to it by labels alone: a new one with other labels would leave the old ones behind.
fn refuse_if_never_replaced(object: &Object, reason: &str) -> Result<(), TargetError> {
    if object.id.kind != "Deployment" {
        return Ok(());
    }
    Err(TargetError::new(format!("{} cannot be changed in place: {reason}", object.id)).help(format!(
        "delete it yourself (`kubectl delete deployment {}`), then apply again: its pods are away meanwhile",
        object.id.name
    )))
}
