//! Who decides about the number of replicas.
//!
//! A Deployment with an autoscaler is declared without one. When it was declared with one before, a server-side apply
//! that leaves the field out would remove it, since nobody else owns it, and the default of 1 would take its place: most
//! pods would go until the autoscaler looks again. So the number that runs is sent on until the autoscaler has set one.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tempoform_engine::object::{Object, ObjectId};

use crate::FIELD_MANAGER;
use crate::inventory::Place;
use crate::requests::{Objects, persist};

/// Workloads with an autoscaler that stays, and its name: not one of ours that is `declared` no more.
pub(crate) async fn autoscaled(
    client: &Client,
    place: &Place,
    declared: &[Object],
) -> BTreeMap<ObjectId, String> {
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), &place.namespace);
    // Who may not look at them is told of conflicts.
    let all = ListParams::default();
    let listed = persist(|| api.list(&all)).await;
    let mut scalers = listed.map(|list| list.items).unwrap_or_default();
    scalers.retain(|scaler| !will_go(scaler, place, declared));
    let pair = |scaler: HorizontalPodAutoscaler| {
        let of = scaler.spec.as_ref()?.scale_target_ref.clone();
        Some((ObjectId::new(of.kind, of.name).in_namespace(&place.namespace), scaler.name_any()))
    };
    scalers.into_iter().filter_map(pair).collect()
}

fn will_go(scaler: &HorizontalPodAutoscaler, place: &Place, declared: &[Object]) -> bool {
    let has = |key: &str, value: &str| scaler.labels().get(key).is_some_and(|label| label == value);
    let name = scaler.name_any();
    let is_it = |id: &ObjectId| id.kind == "HorizontalPodAutoscaler" && id.name == name;
    has("app.kubernetes.io/managed-by", "tempoform")
        && has("app.kubernetes.io/instance", &place.tempo)
        && !declared.iter().any(|object| is_it(&object.id))
}

/// Leaves the number of replicas to whoever has set it.
pub(crate) fn without_replicas(value: &mut Value) {
    if let Some(spec) = value["spec"].as_object_mut() {
        spec.remove("replicas");
    }
}

/// The number that an object has to go on declaring, though it is left to an autoscaler.
pub(crate) async fn kept(objects: &Objects<'_>, object: &Object) -> kube::Result<Option<Value>> {
    if object.id.kind != "Deployment" || !object.value["spec"]["replicas"].is_null() {
        return Ok(None);
    }
    Ok(objects.get(&object.value).await?.filter(is_ours_alone).map(|live| live["spec"]["replicas"].clone()))
}

/// Whether the number was applied from here and changed by nobody since.
fn is_ours_alone(live: &Value) -> bool {
    let entries = live["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut owners = entries.filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null()).peekable();
    owners.peek().is_some()
        && owners.all(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_number_is_ours_until_somebody_else_has_set_it() {
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": {"f:spec": fields}});
        let live = |entries: Value| json!({"metadata": {"managedFields": entries}, "spec": {"replicas": 3}});
        let ours = entry(FIELD_MANAGER, "Apply", json!({"f:replicas": {}}));
        let scaler = entry("kube-controller-manager", "Update", json!({"f:replicas": {}}));
        let other = entry("kube-controller-manager", "Update", json!({"f:paused": {}}));
        assert!(is_ours_alone(&live(json!([ours, other]))));
        assert!(!is_ours_alone(&live(json!([ours, scaler]))));
        assert!(!is_ours_alone(&live(json!([scaler]))));
        assert!(!is_ours_alone(&live(json!([other]))));
        assert!(!is_ours_alone(&json!({})));
    }
}
