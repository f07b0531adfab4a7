//! One change of one object.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Error;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use serde_json::{Value, json};
use std::time::Duration;
use tempoform_engine::object::ObjectId;
use tempoform_engine::target::TargetError;
use tokio::time::Instant;

use crate::FIELD_MANAGER;
use crate::failure::{conflicts, explain};
use crate::requests::{Apply, Objects, persist};

/// How long an object may take to go. An ingester that leaves stores what it has first.
const GOING: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(200);

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

/// Removes an object and waits until it is gone.
pub(crate) async fn remove(
    objects: &Objects<'_>,
    id: &ObjectId,
    value: &Value,
    dependents: Dependents,
) -> Result<(), TargetError> {
    let failed = |error| explain(&format!("cannot delete {id}"), error);
    let Some(live) = objects.get(value).await.map_err(failed)? else { return Ok(()) };
    let uid = live["metadata"]["uid"].as_str().map(str::to_owned);
    let params = DeleteParams {
        propagation_policy: Some(match dependents {
            Dependents::Go => PropagationPolicy::Foreground,
            Dependents::Stay => PropagationPolicy::Orphan,
        }),
        // Not another of that name, which someone made meanwhile.
        preconditions: Some(Preconditions { uid: uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    let api = objects.api_of(value).map_err(failed)?;
    match persist(|| api.delete(&id.name, &params)).await {
        Ok(_) => {}
        Err(Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    let end = Instant::now() + GOING;
    loop {
        let live = objects.get(value).await.map_err(failed)?;
        let is_same = |live: &Value| live["metadata"]["uid"].as_str() == uid.as_deref();
        let Some(live) = live.filter(is_same) else { return Ok(()) };
        if Instant::now() > end {
            let finalizers = live["metadata"]["finalizers"].to_string();
            return Err(TargetError::new(format!(
                "{id} is deleted and does not go (finalizers {finalizers})"
            ))
            .help("look at what holds it: `kubectl describe` it and its pods"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Creates an object anew whose fields cannot be changed in place. Pods go on running, and belong to the new one.
pub(crate) async fn replace(
    objects: &Objects<'_>,
    id: &ObjectId,
    value: &Value,
    force: bool,
) -> Result<(), TargetError> {
    let dependents = match id.kind.as_str() {
        "StatefulSet" => {
            grow_claims(objects, id, value).await?;
            Dependents::Stay
        }
        _ => Dependents::Go,
    };
    remove(objects, id, value, dependents).await?;
    put(objects, id, value, force).await
}

/// Claims of pods are made once: they are made larger by themselves, and the set's template only counts for new ones.
async fn grow_claims(objects: &Objects<'_>, id: &ObjectId, value: &Value) -> Result<(), TargetError> {
    let namespace = id.namespace.as_deref().unwrap_or_default();
    let api: Api<PersistentVolumeClaim> = Api::namespaced(objects.client.clone(), namespace);
    let failed = |error| explain(&format!("cannot look at the volume claims of {id}"), error);
    let all = ListParams::default();
    let claims = persist(|| api.list(&all)).await.map_err(failed)?.items;
    for template in value["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let prefix = format!("{}-{}-", template["metadata"]["name"].as_str().unwrap_or_default(), id.name);
        let size = &template["spec"]["resources"]["requests"]["storage"];
        for claim in claims.iter().filter_map(|claim| claim.metadata.name.as_deref()) {
            // `data-tempo-ingester-0`, and not that of a set whose name begins with this one's.
            let is_ours = claim.strip_prefix(&prefix).is_some_and(|rest| rest.parse::<u32>().is_ok());
            if !is_ours {
                continue;
            }
            let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
            let patch = Patch::Merge(&patch);
            let params =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            persist(|| api.patch(claim, &params, &patch)).await.map_err(|error| {
                explain(&format!("PersistentVolumeClaim/{namespace}/{claim} cannot become {size}"), error).help(
                    "its storage class must allow it (allowVolumeExpansion: true), and claims never become smaller; \
                     nothing else was changed",
                )
            })?;
        }
    }
    Ok(())
}
