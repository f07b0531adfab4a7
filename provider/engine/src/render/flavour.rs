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

    /// Who reads `querier` and who `query_frontend`. In ours the frontend keeps the querier's deadlines and the querier
    /// checks every request by the frontend's bounds once more, so that both need both.
    pub(crate) const fn query_sections(self) -> QuerySections {
        use Component::{Querier, QueryFrontend};
        match self {
            Self::Native => {
                QuerySections { queriers: &[Querier, QueryFrontend], frontends: &[Querier, QueryFrontend] }
            }
            Self::Upstream => QuerySections { queriers: &[Querier], frontends: &[QueryFrontend] },
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

/// The components that read the sections of the configuration that are about queries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuerySections {
    /// The readers of `querier`.
    pub(crate) queriers: &'static [Component],
    /// The readers of `query_frontend`.
    pub(crate) frontends: &'static [Component],
}
