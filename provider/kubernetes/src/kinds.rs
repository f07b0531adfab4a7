//! Kinds of objects: what the API server calls them, and what an inventory does.

use std::fmt;

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// A kind without its version, as inventories name it: `StatefulSet.apps`, `Service`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupKind {
    group: String,
    kind: String,
    version: &'static str,
}

/// The version of each group that is spoken here.
const VERSIONS: [(&str, &str); 10] = [
    ("", "v1"),
    ("apps", "v1"),
    ("autoscaling", "v2"),
    ("cert-manager.io", "v1"),
    ("gateway.networking.k8s.io", "v1"),
    ("grafana.integreatly.org", "v1beta1"),
    ("monitoring.coreos.com", "v1"),
    ("networking.k8s.io", "v1"),
    ("policy", "v1"),
    ("rbac.authorization.k8s.io", "v1"),
];

impl GroupKind {
    /// The kind of an object; `None` when its group is none that is rendered here.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        let api_version = value["apiVersion"].as_str()?;
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Self::new(group, value["kind"].as_str()?)
    }

    fn new(group: &str, kind: &str) -> Option<Self> {
        let (_, version) = VERSIONS.iter().find(|(known, _)| *known == group)?;
        Some(Self { group: group.to_owned(), kind: kind.to_owned(), version })
    }

    /// Reads `StatefulSet.apps`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        Self::new(group, kind)
    }

    pub(crate) fn resource(&self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(&self.group, self.version, &self.kind))
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.kind),
            group => write!(f, "{}.{group}", self.kind),
        }
    }
}

/// What the API server calls the kind of an object, by its own `apiVersion`.
pub(crate) fn resource_of(value: &Value) -> ApiResource {
    let api_version = value["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, value["kind"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_named_as_inventories_do() {
        for text in ["StatefulSet.apps", "Service", "GrafanaDatasource.grafana.integreatly.org"] {
            assert_eq!(GroupKind::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(GroupKind::parse("Widget.example.com"), None);
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet"});
        assert_eq!(GroupKind::of(&set), GroupKind::parse("StatefulSet.apps"));
        assert_eq!(resource_of(&set).plural, "statefulsets");
        assert_eq!(
            GroupKind::parse("NetworkPolicy.networking.k8s.io").unwrap().resource().plural,
            "networkpolicies"
        );
        assert_eq!(GroupKind::parse("Ingress.networking.k8s.io").unwrap().resource().plural, "ingresses");
    }
}
