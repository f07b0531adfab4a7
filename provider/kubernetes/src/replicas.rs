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
use crate::failure::Conflict;
use crate::inventory::Place;
use crate::requests::persist;

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

/// Who decides about the number of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scaling {
    /// An autoscaler does.
    pub(crate) is_autoscaled: bool,
    /// The number that runs was applied from here, and nobody has changed it since.
    pub(crate) is_ours: bool,
}

/// How a number of replicas is left to an autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Yields {
    /// By not saying it: the field is the autoscaler's.
    Unsaid,
    /// By saying what it is: the field is ours, and unsaid it would become the default.
    As(Value),
}

impl Yields {
    /// Leaves the number to whoever decides about it.
    pub(crate) fn apply_to(&self, value: &mut Value) {
        let Some(spec) = value["spec"].as_object_mut() else { return };
        match self {
            Self::Unsaid => drop(spec.remove("replicas")),
            Self::As(replicas) => drop(spec.insert("replicas".to_owned(), replicas.clone())),
        }
    }
}

/// Whether, and how, a workload must not be told the number that is declared for it, or none. `conflicts` are those of
/// applying it as declared.
pub(crate) fn yields(
    scaling: Scaling,
    conflicts: &[Conflict],
    declared: &Value,
    live: &Value,
) -> Option<Yields> {
    let (wanted, is) = (&declared["spec"]["replicas"], &live["spec"]["replicas"]);
    if is.is_null() {
        return None;
    }
    if wanted.is_null() {
        return scaling.is_ours.then(|| Yields::As(is.clone()));
    }
    if !scaling.is_autoscaled || wanted == is {
        return None;
    }
    let is_of_other = conflicts.iter().any(|conflict| conflict.field == ".spec.replicas");
    Some(if is_of_other { Yields::Unsaid } else { Yields::As(is.clone()) })
}

/// Whether the number was applied from here and changed by nobody since.
pub(crate) fn is_ours_alone(live: &Value) -> bool {
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
    fn a_number_is_left_to_an_autoscaler() {
        let of = |number: Value| json!({"spec": {"replicas": number}});
        let (ours, theirs) =
            (Scaling { is_autoscaled: true, is_ours: true }, Scaling { is_autoscaled: true, is_ours: false });
        let conflict = [Conflict { manager: "x".to_owned(), field: ".spec.replicas".to_owned() }];
        // Declared without a number.
        assert_eq!(yields(ours, &[], &json!({"spec": {}}), &of(3.into())), Some(Yields::As(3.into())));
        assert_eq!(yields(theirs, &[], &json!({"spec": {}}), &of(3.into())), None);
        // Declared with one, and scaled by an autoscaler that others have made.
        assert_eq!(yields(theirs, &conflict, &of(1.into()), &of(3.into())), Some(Yields::Unsaid));
        assert_eq!(yields(ours, &[], &of(1.into()), &of(3.into())), Some(Yields::As(3.into())));
        assert_eq!(yields(Scaling::default(), &conflict, &of(1.into()), &of(3.into())), None);
        assert_eq!(yields(ours, &[], &of(3.into()), &of(3.into())), None);
        let mut value = of(1.into());
        Yields::As(3.into()).apply_to(&mut value);
        assert_eq!(value, of(3.into()));
        Yields::Unsaid.apply_to(&mut value);
        assert_eq!(value, json!({"spec": {}}));
    }

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
