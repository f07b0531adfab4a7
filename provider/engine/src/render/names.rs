//! The names of a Tempo's objects, all derived from its own.

use tempoform_api::Component;

use super::hash::fingerprint;

/// The longest name of a Service, and of a label's value.
const LABEL: usize = 63;
/// The longest name of a StatefulSet: its pods carry a label of this name and a hash of eleven characters.
const STATEFUL_SET: usize = 52;

/// The names of a Tempo's objects.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    tempo: &'a str,
}

impl<'a> Names<'a> {
    pub(crate) fn new(tempo: &'a str) -> Self {
        Self { tempo }
    }

    /// `tempo-NAME`, for what there is once.
    pub(crate) fn whole(self) -> String {
        bounded(format!("tempo-{}", self.tempo), LABEL)
    }

    /// `tempo-NAME-SUFFIX`.
    pub(crate) fn with(self, suffix: &str) -> String {
        bounded(format!("tempo-{}-{suffix}", self.tempo), LABEL)
    }

    /// `tempo-NAME-COMPONENT`; the single binary is the whole.
    pub(crate) fn component(self, component: Component) -> String {
        match component {
            Component::Tempo => self.whole(),
            other => self.with(other.kubernetes_name()),
        }
    }

    /// An object that belongs to a component: `tempo-NAME-COMPONENT-SUFFIX`.
    pub(crate) fn of_component(self, component: Component, suffix: &str) -> String {
        match component {
            Component::Tempo => self.with(suffix),
            other => self.with(&format!("{}-{suffix}", other.kubernetes_name())),
        }
    }

    /// The StatefulSet of a component, in a zone of its own or not.
    pub(crate) fn stateful_set(self, component: Component, zone: Option<&str>) -> String {
        let name = self.component(component);
        bounded(zone.map_or(name.clone(), |zone| format!("{name}-{}", dns(zone))), STATEFUL_SET)
    }

    /// The namespace's and this Tempo's name, by which its processes know each other.
    pub(crate) fn cluster_label(self, namespace: Option<&str>) -> String {
        namespace.map_or(self.tempo.to_owned(), |namespace| format!("{namespace}/{}", self.tempo))
    }
}

/// A label's value, which may have capitals, dots and underscores, as part of an object's name.
fn dns(value: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = value.chars().map(legal).collect();
    // Two zones that differ in such characters only keep different names.
    if name == value { name } else { format!("{}-{}", name.trim_matches('-'), &fingerprint(value)[..6]) }
}

/// The name, or its beginning and a fingerprint of the whole where it is too long.
fn bounded(name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    let kept = name[..longest - 9].trim_end_matches('-');
    format!("{kept}-{}", &fingerprint(&name)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_legal_and_apart() {
        let long = "a".repeat(60);
        let names = Names::new(&long);
        let (a, b) =
            (names.of_component(Component::QueryFrontend, "discovery"), names.component(Component::Querier));
        assert_eq!((a.len(), b.len()), (63, 63));
        assert_ne!(a, b);
        let set = |zone| names.stateful_set(Component::Ingester, Some(zone));
        assert_eq!(set("eu-west-1a").len(), 52);
        assert_ne!(set("eu-west-1a"), set("eu-west-1b"));
        assert_ne!(dns("a_b"), dns("a.b"));
        assert_eq!(Names::new("x").stateful_set(Component::Ingester, Some("b")), "tempo-x-ingester-b");
        assert_eq!(Names::new("x").component(Component::Tempo), "tempo-x");
    }
}
