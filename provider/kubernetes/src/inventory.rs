//! The list of what belongs to a Tempo, in the cluster: an ApplySet (KEP-3659), so that other tools that know such sets see
//! it too. The parent is a config map; members have its id as a label.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempoform_engine::object::Guarded;
use tempoform_engine::target::TargetError;

use crate::failure::explain;
use crate::kinds::GroupKind;
use crate::requests::{Apply, Objects};

/// The label of members.
pub(crate) const PART_OF: &str = "applyset.kubernetes.io/part-of";
const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
/// The key of the parent's data with the facts that must not change by accident.
const GUARDED: &str = "guarded.json";

/// Where the inventory of a Tempo is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    /// The Tempo's name.
    pub(crate) tempo: String,
}

/// What an inventory says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    pub(crate) kinds: BTreeSet<GroupKind>,
    /// Kinds that this version does not know.
    pub(crate) unknown: Vec<String>,
    /// What was last applied.
    pub(crate) guarded: Option<Guarded>,
}

impl Place {
    /// The config map's name.
    pub(crate) fn name(&self) -> String {
        format!("{}-tempoform", self.tempo)
    }

    /// The id that members have as a label.
    pub(crate) fn id(&self) -> String {
        let digest = Sha256::digest(format!("{}.{}.ConfigMap.", self.name(), self.namespace));
        format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(digest))
    }

    /// The selector of members.
    pub(crate) fn selector(&self) -> String {
        format!("{PART_OF}={}", self.id())
    }

    /// The inventory, if this Tempo was applied before.
    pub(crate) async fn read(&self, objects: &Objects<'_>) -> Result<Option<Inventory>, TargetError> {
        let found = objects.get(&self.parent(json!({}))).await;
        let found = found.map_err(|error| {
            explain(&format!("cannot read ConfigMap/{}/{}", self.namespace, self.name()), error)
        })?;
        found.map(|parent| self.parse(&parent)).transpose()
    }

    fn parse(&self, parent: &Value) -> Result<Inventory, TargetError> {
        let metadata = &parent["metadata"];
        let tooling = metadata["annotations"][TOOLING].as_str().unwrap_or_default();
        if !tooling.starts_with("tempoform/") {
            let whose = if tooling.is_empty() { "nobody that says so" } else { tooling };
            return Err(TargetError::new(format!(
                "ConfigMap/{}/{} should be the inventory of {}, and was made by {whose}",
                self.namespace,
                self.name(),
                self.tempo
            ))
            .help("give the Tempo another name or namespace, or delete the config map if nothing needs it"));
        }
        let names = metadata["annotations"][KINDS].as_str().unwrap_or_default();
        let names = names.split(',').filter(|name| !name.is_empty());
        let (kinds, unknown): (Vec<_>, Vec<_>) =
            names.map(|name| (name, GroupKind::parse(name))).partition(|(_, kind)| kind.is_some());
        let guarded = parent["data"][GUARDED].as_str().map(serde_json::from_str).transpose();
        let guarded = guarded.map_err(|error| {
            TargetError::new(format!(
                "{GUARDED} in ConfigMap/{}/{} cannot be read, so it is not known what must not change by accident",
                self.namespace,
                self.name()
            ))
            .help("delete that key if everything it guards (bucket, tenants, ingesters) is as it was")
            .caused_by(error)
        })?;
        Ok(Inventory {
            kinds: kinds.into_iter().filter_map(|(_, kind)| kind).collect(),
            unknown: unknown.into_iter().map(|(name, _)| name.to_owned()).collect(),
            guarded,
        })
    }

    /// Writes down what there will be. Before any member is made: what an interrupted apply leaves is then still found.
    pub(crate) async fn write(
        &self,
        objects: &Objects<'_>,
        inventory: &Inventory,
    ) -> Result<(), TargetError> {
        let Inventory { kinds, unknown, guarded } = inventory;
        let mut names: Vec<String> =
            kinds.iter().map(ToString::to_string).chain(unknown.iter().cloned()).collect();
        names.sort_unstable();
        let parent = self.parent(json!({
            "labels": {
                ID: self.id(),
                "app.kubernetes.io/name": "tempo",
                "app.kubernetes.io/instance": self.tempo,
                "app.kubernetes.io/component": "inventory",
                "app.kubernetes.io/managed-by": "tempoform",
            },
            "annotations": {
                TOOLING: concat!("tempoform/", env!("CARGO_PKG_VERSION")),
                KINDS: names.join(","),
            },
        }));
        let facts = guarded.as_ref().and_then(|guarded| serde_json::to_string(guarded).ok());
        let parent = match facts {
            Some(facts) => with(parent, "data", json!({ GUARDED: facts })),
            None => parent,
        };
        let how = Apply { dry_run: false, force: true };
        let written = objects.apply(&parent, how).await;
        written.map(drop).map_err(|error| {
            explain(
                &format!("cannot write the inventory ConfigMap/{}/{}", self.namespace, self.name()),
                error,
            )
        })
    }

    /// The parent object, by its name alone or with more metadata.
    pub(crate) fn parent(&self, metadata: Value) -> Value {
        let named = json!({"name": self.name(), "namespace": self.namespace});
        let mut all = named.as_object().cloned().unwrap_or_default();
        all.extend(metadata.as_object().cloned().unwrap_or_default());
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": all})
    }

    /// Whether an object that was found is the inventory itself.
    pub(crate) fn is_parent(&self, value: &Value) -> bool {
        value["metadata"]["labels"][ID].as_str() == Some(self.id().as_str())
    }

    /// A member: an object with the label.
    pub(crate) fn member(&self, mut value: Value) -> Value {
        value["metadata"]["labels"][PART_OF] = self.id().into();
        value
    }

    /// Whether an object that was found is a member.
    pub(crate) fn has(&self, value: &Value) -> bool {
        part_of(value) == Some(self.id().as_str())
    }
}

/// The set that an object belongs to.
pub(crate) fn part_of(value: &Value) -> Option<&str> {
    value["metadata"]["labels"][PART_OF].as_str().filter(|id| !id.is_empty())
}

fn with(mut value: Value, key: &str, field: Value) -> Value {
    value[key] = field;
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { namespace: "tracing".to_owned(), tempo: "shop".to_owned() }
    }

    #[test]
    fn the_id_is_that_of_the_enhancement_proposal() {
        // base64url(sha256("<name>.<namespace>.<kind>.<group>")), as kubectl computes it.
        let id = place().id();
        assert_eq!(id, "applyset-zbHi0ScH4xmZkUfg4vaCxsSInANGUHm3XfTBE_-_1u8-v1");
        assert!(id.len() <= 63, "it is a label's value");
        assert_ne!(id, Place { namespace: "other".to_owned(), ..place() }.id());
    }

    #[test]
    fn what_another_tool_made_is_not_taken() {
        let other = json!({"metadata": {"annotations": {TOOLING: "kubectl/v1.35"}}});
        assert!(place().parse(&other).unwrap_err().to_string().contains("kubectl/v1.35"));
        assert!(place().parse(&json!({"metadata": {}})).is_err());
        let ours = json!({"metadata": {"annotations": {TOOLING: "tempoform/9", KINDS: "Service,StatefulSet.apps,Widget.example.com"}},
            "data": {}});
        let read = place().parse(&ours).unwrap();
        assert_eq!(read.kinds.len(), 2);
        assert_eq!(read.unknown, ["Widget.example.com"]);
        let damaged = json!({"metadata": ours["metadata"], "data": {GUARDED: "{"}});
        assert!(
            place().parse(&damaged).unwrap_err().to_string().contains("ConfigMap/tracing/shop-tempoform")
        );
    }
}
