//! The end of a Tempo.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Error, ResourceExt};
use tempoform_engine::object::ObservedObject;
use tempoform_engine::target::{DataPolicy, Listener, TargetError};

use crate::change::{Dependents, keep_claims, remove};
use crate::failure::explain;
use crate::inventory::Place;
use crate::requests::{Objects, persist};

/// Removes all objects, what depends on others first, then the inventory; says what stays.
pub(crate) async fn destroy(
    objects: &Objects<'_>,
    place: &Place,
    mut found: Vec<ObservedObject>,
    data: DataPolicy,
    progress: &Listener<'_>,
) -> Result<Vec<String>, TargetError> {
    found.sort_by(|a, b| (b.object.wave, &b.object.id).cmp(&(a.object.wave, &a.object.id)));
    for found in &found {
        let object = &found.object;
        progress(&format!("deleting {}", object.id));
        if data == DataPolicy::Keep && object.id.kind == "StatefulSet" {
            keep_claims(objects, &object.id, &object.value).await?;
        }
        remove(objects, place, &object.id, &object.value, Dependents::Go).await?;
    }
    let left = claims(objects, place, data, progress).await?;
    let parent = place.parent(serde_json::json!({}));
    let id =
        tempoform_engine::object::ObjectId::new("ConfigMap", place.name()).in_namespace(&place.namespace);
    remove(objects, place, &id, &parent, Dependents::Go).await?;
    Ok(left)
}

/// Volumes with write-ahead logs outlive their pods; they go on request only.
async fn claims(
    objects: &Objects<'_>,
    place: &Place,
    data: DataPolicy,
    progress: &Listener<'_>,
) -> Result<Vec<String>, TargetError> {
    let (mut left, usual) = (Vec::new(), DeleteParams::default());
    for name in claims_of(objects, place).await? {
        let id = format!("PersistentVolumeClaim/{}/{name}", place.namespace);
        if data == DataPolicy::Keep {
            left.push(id);
            continue;
        }
        progress(&format!("deleting {id}"));
        let api = claims_api(objects, place);
        match persist(|| api.delete(&name, &usual)).await {
            Ok(_) => {}
            Err(Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(explain(&format!("cannot delete {id}"), error)),
        }
    }
    Ok(left)
}

/// The claims of a Tempo's pods, those that have outlived them included. Other tools use the common labels too, so that
/// ours is asked for.
pub(crate) async fn claims_of(objects: &Objects<'_>, place: &Place) -> Result<Vec<String>, TargetError> {
    let labels = format!(
        "app.kubernetes.io/name=tempo,app.kubernetes.io/instance={},app.kubernetes.io/managed-by=tempoform",
        place.tempo
    );
    let params = ListParams::default().labels(&labels);
    let api = claims_api(objects, place);
    let listed = persist(|| api.list(&params)).await;
    let listed = listed.map_err(|error| explain("cannot list the volume claims", error))?;
    Ok(listed.items.iter().map(ResourceExt::name_any).collect())
}

fn claims_api(objects: &Objects<'_>, place: &Place) -> Api<PersistentVolumeClaim> {
    Api::namespaced(objects.client.clone(), &place.namespace)
}
