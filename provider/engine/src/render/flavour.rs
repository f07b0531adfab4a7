//! Which runtime an image holds: ours, or Grafana Tempo.

use tempoform_api::{Component, ComponentSettings};

/// Which runtime an image holds, and so what its processes need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Ours.
    Native,
    /// Grafana Tempo 2.x.
    Upstream,
}

impl Flavour {
    pub(crate) fn of(settings: &ComponentSettings) -> Self {
        if settings.image.is_grafana_tempo() { Self::Upstream } else { Self::Native }
    }

    /// Whether the runtime has this component at all.
    pub(crate) fn has(self, component: Component) -> bool {
        self == Self::Native || component != Component::Retriever
    }

    /// Whether the component talks to object storage.
    pub(crate) fn uses_storage(self, component: Component) -> bool {
        match component {
            Component::Ingester | Component::Compactor | Component::Retriever | Component::Tempo => true,
            Component::Querier | Component::QueryFrontend => self == Self::Upstream,
            Component::Distributor => false,
        }
    }

    /// Grafana Tempo's members talk over TCP, ours over UDP.
    pub(crate) const fn gossip_protocol(self) -> &'static str {
        match self {
            Self::Native => "UDP",
            Self::Upstream => "TCP",
        }
    }
}
