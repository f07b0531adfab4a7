//! Names and labels of an object.

use std::collections::BTreeMap;

use serde::Serialize;
use tempoform_api::ValidatedTempo;

/// What the partials `metadata`, `labels` and `selector` place.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    pub(super) name: String,
    namespace: Option<&'a str>,
    /// Which Tempo it belongs to.
    instance: &'a str,
    /// Which part of it: a component, or what the object is for.
    component: &'a str,
    /// The zone, where a component is split by zones.
    zone: Option<&'a str>,
    /// The document's own labels.
    own_labels: BTreeMap<&'a str, &'a str>,
}

/// Labels that identify our objects; a document cannot change them.
const RESERVED: [&str; 4] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
];

/// Whether a label's meaning is ours.
pub(super) fn is_reserved(label: &str) -> bool {
    RESERVED.contains(&label) || label.starts_with("tempoform.io/")
}

impl<'a> Meta<'a> {
    pub(super) fn new(tempo: &'a ValidatedTempo, component: &'a str, name: String) -> Self {
        let own = tempo.labels.iter().filter(|(label, _)| !is_reserved(label));
        Self {
            name,
            namespace: tempo.namespace.as_deref(),
            instance: &tempo.name,
            component,
            zone: None,
            own_labels: own.map(|(label, value)| (label.as_str(), value.as_str())).collect(),
        }
    }

    /// The same for another object of the same part.
    pub(super) fn named(&self, name: String) -> Self {
        Self { name, ..self.clone() }
    }

    /// The same for the part of the component that is in a zone.
    pub(super) fn in_zone(&self, zone: Option<&'a str>) -> Self {
        Self { zone, ..self.clone() }
    }
}
