//! Pieces of Kubernetes manifests that pods are given: containers, volumes, mounts.

use k8s_openapi::api::core::v1::{Container, Volume, VolumeMount};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempoform_document::path;

use super::report::Report;
use crate::spec::RawFragment;

/// Containers as Kubernetes reads them.
pub(super) fn containers(at: &str, list: &[RawFragment], report: &mut Report) -> Vec<RawFragment> {
    refuse_without(at, "image", list, report);
    each::<Container>(at, "container", list, report)
}

/// Volumes as Kubernetes reads them.
pub(super) fn volumes(at: &str, list: &[RawFragment], report: &mut Report) -> Vec<RawFragment> {
    each::<Volume>(at, "volume", list, report)
}

/// Mounts as Kubernetes reads them.
pub(super) fn mounts(at: &str, list: &[RawFragment], report: &mut Report) -> Vec<RawFragment> {
    refuse_without(at, "mountPath", list, report);
    each::<VolumeMount>(at, "volume mount", list, report)
}

/// Kubernetes' types take a default where the API server requires a value.
fn refuse_without(at: &str, field: &str, list: &[RawFragment], report: &mut Report) {
    for (index, _) in list.iter().enumerate().filter(|(_, piece)| !piece.contains_key(field)) {
        let at = path::child(&path::item(at, index), field);
        report.refuse(at, format!("{field} is missing"), format!("give it a {field}"));
    }
}

fn each<T: Serialize + DeserializeOwned>(
    at: &str,
    kind: &str,
    list: &[RawFragment],
    report: &mut Report,
) -> Vec<RawFragment> {
    let pieces = list.iter().enumerate();
    pieces.map(|(index, piece)| read::<T>(&path::item(at, index), kind, piece, report)).collect()
}

/// The piece in the form that the API server gives back: the number 2 of a quantity is the text "2", for example.
fn read<T: Serialize + DeserializeOwned>(
    at: &str,
    kind: &str,
    piece: &RawFragment,
    report: &mut Report,
) -> RawFragment {
    if piece.get("name").and_then(Value::as_str).unwrap_or_default().is_empty() {
        report.refuse(path::child(at, "name"), "the name is missing", "give it a name");
        return piece.clone();
    }
    let written = Value::Object(piece.clone());
    let read = T::deserialize(&written).and_then(serde_json::to_value);
    match read {
        Ok(Value::Object(typed)) => {
            refuse_unknown(at, kind, piece, &typed, report);
            typed
        }
        Ok(_) => piece.clone(),
        Err(error) => {
            report.refuse(
                at,
                format!("this is no {kind} of Kubernetes: {error}"),
                format!("write it as in a pod: kubectl explain pod.spec.{}", explained(kind)),
            );
            piece.clone()
        }
    }
}

/// Kubernetes' types skip in silence what they do not know.
fn refuse_unknown(at: &str, kind: &str, written: &RawFragment, typed: &RawFragment, report: &mut Report) {
    for (key, value) in written.iter().filter(|(_, value)| !value.is_null()) {
        let at = path::child(at, key);
        match typed.get(key) {
            Some(typed) => refuse_unknown_within(&at, kind, value, typed, report),
            None => report.refuse(
                at,
                format!("a {kind} of Kubernetes has no such field"),
                format!("see kubectl explain pod.spec.{}", explained(kind)),
            ),
        }
    }
}

fn refuse_unknown_within(at: &str, kind: &str, written: &Value, typed: &Value, report: &mut Report) {
    match (written, typed) {
        (Value::Object(written), Value::Object(typed)) => refuse_unknown(at, kind, written, typed, report),
        (Value::Array(written), Value::Array(typed)) => {
            for (index, (written, typed)) in written.iter().zip(typed).enumerate() {
                refuse_unknown_within(&path::item(at, index), kind, written, typed, report);
            }
        }
        _ => {}
    }
}

fn explained(kind: &str) -> &'static str {
    match kind {
        "container" => "containers",
        "volume" => "volumes",
        _ => "containers.volumeMounts",
    }
}
