//! One change of one object.

use std::cmp::Ordering;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Error;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use serde_json::{Value, json};
use tempoform_engine::object::ObjectId;
use tempoform_engine::plan::quantity_order;
use tempoform_engine::target::TargetError;
use tokio::time::Instant;

use crate::FIELD_MANAGER;
use crate::failure::{conflicts, explain};
use crate::inventory::Place;
use crate::replicas::Yields;
use crate::requests::{Apply, Objects, persist};

/// How long an object may take to go, besides what its pods are given to end.
const GOING: Duration = Duration::from_secs(300);
/// How long the controller of StatefulSets may take to let go of volume claims.
const LETTING_GO: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What becomes of the objects that an object made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dependents {
    /// They go first.
    Go,
    /// They stay, for whoever has their labels next.
    Stay,
}

/// Creates or changes an object.
pub(crate) async fn put(
    objects: &Objects<'_>,
    id: &ObjectId,
    value: &Value,
    force: bool,
) -> Result<(), TargetError> {
    let error = match objects.apply(value, Apply { dry_run: false, force }).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if let Error::Api(status) = &error {
        let found = conflicts(status);
        if !found.is_empty() {
            let list: Vec<_> = found.iter().map(|c| format!("{} ({})", c.field, c.manager)).collect();
            return Err(TargetError::new(format!("{id}: fields are set by others: {}", list.join(", ")))
                .help("--allow conflict takes them; or leave them to the others by not declaring them"));
        }
    }
    Err(explain(&format!("cannot apply {id}"), error))
}

/// What is sent of a workload whose number of replicas was to be said as it was found: without it where somebody has set it
/// since.
pub(crate) async fn without_stale_replicas(objects: &Objects<'_>, mut value: Value) -> Value {
    let tried = objects.apply(&value, Apply { dry_run: true, force: false }).await;
    if let Err(Error::Api(status)) = tried {
        let found = conflicts(&status);
        if !found.is_empty() && found.iter().all(|conflict| conflict.field == ".spec.replicas") {
            Yields::Unsaid.apply_to(&mut value);
        }
    }
    value
}

/// Removes an object, if it is (still) a member of `place`, and waits until it is gone.
pub(crate) async fn remove(
    objects: &Objects<'_>,
    place: &Place,
    id: &ObjectId,
    value: &Value,
    dependents: Dependents,
) -> Result<(), TargetError> {
    let failed = |error| explain(&format!("cannot delete {id}"), error);
    let Some(live) = objects.get(value).await.map_err(failed)? else { return Ok(()) };
    if !place.has(&live) && !place.is_parent(&live) {
        return Err(TargetError::new(format!(
            "{id} is not part of {} any more, so it was not deleted",
            place.tempo
        ))
        .help("somebody has taken its label or made it anew: delete it yourself if it is to go"));
    }
    let uid = live["metadata"]["uid"].as_str().map(str::to_owned);
    let params = DeleteParams {
        propagation_policy: Some(match dependents {
            Dependents::Go => PropagationPolicy::Foreground,
            Dependents::Stay => PropagationPolicy::Orphan,
        }),
        // Not another of that name, which someone made meanwhile.
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::default()
    };
    let api = objects.api_of(value).map_err(failed)?;
    match persist(|| api.delete(&id.name, &params)).await {
        Ok(_) => {}
        Err(Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    gone(objects, id, &live).await
}

/// Waits until an object that is being deleted is gone.
pub(crate) async fn gone(objects: &Objects<'_>, id: &ObjectId, going: &Value) -> Result<(), TargetError> {
    let grace = going["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(0);
    let end = Instant::now() + GOING + Duration::from_secs(grace);
    let uid = &going["metadata"]["uid"];
    let mut pause = Duration::from_millis(100);
    loop {
        let live = objects.get(going).await;
        let live = live.map_err(|error| explain(&format!("cannot look whether {id} is gone"), error))?;
        let Some(live) = live.filter(|live| live["metadata"]["uid"] == *uid) else { return Ok(()) };
        if Instant::now() > end {
            let finalizers = live["metadata"]["finalizers"].to_string();
            return Err(TargetError::new(format!(
                "{id} is deleted and does not go (finalizers {finalizers})"
            ))
            .help("look at what holds it: `kubectl describe` it and its pods"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Creates an object anew whose fields cannot be changed in place. Pods go on running, and belong to the new one.
pub(crate) async fn replace(
    objects: &Objects<'_>,
    place: &Place,
    id: &ObjectId,
    value: &Value,
    force: bool,
) -> Result<(), TargetError> {
    let mut value = value.clone();
    let dependents = match id.kind.as_str() {
        "StatefulSet" => {
            grow_claims(objects, id, &value).await?;
            let live = objects.get(&value).await;
            let live = live.map_err(|error| explain(&format!("cannot look at {id}"), error))?;
            keep_replicas(&mut value, live.as_ref());
            Dependents::Stay
        }
        _ => Dependents::Go,
    };
    remove(objects, place, id, &value, dependents).await?;
    put(objects, id, &value, force).await
}

/// A new object has as many replicas as the old one where nothing else is said: the default would be one.
pub(crate) fn keep_replicas(value: &mut Value, live: Option<&Value>) {
    if value["spec"]["replicas"].is_null()
        && let Some(replicas) =
            live.map(|live| &live["spec"]["replicas"]).filter(|replicas| !replicas.is_null())
    {
        value["spec"]["replicas"] = replicas.clone();
    }
}

/// Has the volume claims of a StatefulSet stay when it goes, whatever was declared when it was applied.
pub(crate) async fn keep_claims(
    objects: &Objects<'_>,
    id: &ObjectId,
    value: &Value,
) -> Result<(), TargetError> {
    let failed = |error| explain(&format!("cannot have the volume claims of {id} stay"), error);
    let api = objects.api_of(value).map_err(failed)?;
    let patch = json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}});
    let patch = Patch::Merge(&patch);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let set = match persist(|| api.patch(&id.name, &params, &patch)).await {
        Ok(set) => set,
        Err(Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    // The controller lets go of them a moment later. Until then they would go with the set.
    let (uid, end) = (set.metadata.uid, Instant::now() + LETTING_GO);
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(objects.client.clone(), id.namespace.as_deref().unwrap_or_default());
    let all = ListParams::default();
    loop {
        let listed = persist(|| claims.list(&all)).await.map_err(failed)?;
        let owners = listed.items.iter().flat_map(|claim| claim.metadata.owner_references.iter().flatten());
        if !owners.into_iter().any(|owner| Some(&owner.uid) == uid.as_ref()) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(TargetError::new(format!(
                "the volume claims of {id} would go with it, so it was not deleted"
            ))
            .help("is kube-controller-manager well? Try again, or use --delete-data if they are to go"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Claims of pods are made once: they are made larger by themselves, and the set's template only counts for new ones.
async fn grow_claims(objects: &Objects<'_>, id: &ObjectId, value: &Value) -> Result<(), TargetError> {
    let namespace = id.namespace.as_deref().unwrap_or_default();
    let api: Api<PersistentVolumeClaim> = Api::namespaced(objects.client.clone(), namespace);
    let failed = |error| explain(&format!("cannot look at the volume claims of {id}"), error);
    let all = ListParams::default();
    let claims = persist(|| api.list(&all)).await.map_err(failed)?.items;
    let mut growing = Vec::new();
    for template in value["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let prefix = format!("{}-{}-", template["metadata"]["name"].as_str().unwrap_or_default(), id.name);
        let size = &template["spec"]["resources"]["requests"]["storage"];
        for claim in &claims {
            let Some(name) = claim.metadata.name.as_deref() else { continue };
            // `data-tempo-ingester-0`, and not that of a set whose name begins with this one's.
            let is_ours = name.strip_prefix(&prefix).is_some_and(|rest| rest.parse::<u32>().is_ok());
            if is_ours && !is_large_enough(claim, size) {
                growing.push((name, size));
            }
        }
    }
    // All are tried before the first is changed.
    for dry_run in [true, false] {
        for (claim, size) in &growing {
            let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
            let patch = Patch::Merge(&patch);
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                dry_run,
                ..PatchParams::default()
            };
            persist(|| api.patch(claim, &params, &patch)).await.map_err(|error| {
                explain(&format!("PersistentVolumeClaim/{namespace}/{claim} cannot become {size}"), error).help(
                    "its storage class must allow it (allowVolumeExpansion: true), and claims never become smaller",
                )
            })?;
        }
    }
    Ok(())
}

fn is_large_enough(claim: &PersistentVolumeClaim, size: &Value) -> bool {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let has = requests.and_then(|requests| serde_json::to_value(requests.get("storage")?).ok());
    has.is_some_and(|has| quantity_order(&has, size).is_some_and(Ordering::is_ge))
}
