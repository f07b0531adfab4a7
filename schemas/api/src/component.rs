//! The components of a Tempo, by the names the document uses.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A component of a Tempo: one process of its own, or, for [`Component::Tempo`], all of them in one.
///
/// The order is the order of the data path, and the order in which components are listed everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Component {
    /// Receives spans, checks limits, and spreads them over the ingesters.
    Distributor,
    /// Holds recent traces and builds blocks.
    Ingester,
    /// Evaluates queries over ingesters and retrievers.
    Querier,
    /// The query API: splits queries and queues them fairly.
    QueryFrontend,
    /// The only reader of object storage on the query path.
    Retriever,
    /// Keeps the list of blocks in the bucket up to date, and applies retention.
    Compactor,
    /// Every component in one process (`mode: singleBinary`).
    Tempo,
}

impl Component {
    /// Every component, in order.
    pub const ALL: [Self; 7] = [
        Self::Distributor,
        Self::Ingester,
        Self::Querier,
        Self::QueryFrontend,
        Self::Retriever,
        Self::Compactor,
        Self::Tempo,
    ];

    /// The components of a Tempo in `mode: distributed`, in order.
    pub const DISTRIBUTED: [Self; 6] = [
        Self::Distributor,
        Self::Ingester,
        Self::Querier,
        Self::QueryFrontend,
        Self::Retriever,
        Self::Compactor,
    ];

    /// The name in the document and in `status.components`: `queryFrontend`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Distributor => "distributor",
            Self::Ingester => "ingester",
            Self::Querier => "querier",
            Self::QueryFrontend => "queryFrontend",
            Self::Retriever => "retriever",
            Self::Compactor => "compactor",
            Self::Tempo => "tempo",
        }
    }

    /// The value of the runtime's `--target` flag: `query-frontend`; `all` for the single binary.
    pub const fn target(self) -> &'static str {
        match self {
            Self::Tempo => "all",
            other => other.kubernetes_name(),
        }
    }

    /// The name as a DNS label, for object names and the label `app.kubernetes.io/component`: `query-frontend`.
    pub const fn kubernetes_name(self) -> &'static str {
        match self {
            Self::QueryFrontend => "query-frontend",
            other => other.name(),
        }
    }

    /// Whether the component accepts spans from clients.
    pub const fn receives_spans(self) -> bool {
        matches!(self, Self::Distributor | Self::Tempo)
    }

    /// Whether the component answers the query API.
    pub const fn answers_queries(self) -> bool {
        matches!(self, Self::QueryFrontend | Self::Tempo)
    }

    /// Whether the component keeps a write-ahead log on disk, and so needs a volume and a stable name.
    pub const fn has_wal(self) -> bool {
        matches!(self, Self::Ingester | Self::Tempo)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no component's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no component is called {0:?}: there are distributor, ingester, querier, queryFrontend, retriever, compactor and tempo"
)]
pub struct UnknownComponent(pub String);

impl FromStr for Component {
    type Err = UnknownComponent;

    /// Takes the document's name as well as the Kubernetes one.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|component| name == component.name() || name == component.kubernetes_name())
            .ok_or_else(|| UnknownComponent(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for component in Component::ALL {
            assert_eq!(component.to_string().parse(), Ok(component));
            assert_eq!(component.kubernetes_name().parse(), Ok(component));
            let json = serde_json::to_string(&component).unwrap();
            assert_eq!(json, format!("\"{component}\""), "serde and Display agree");
        }
        assert_eq!("Ingester".parse::<Component>(), Err(UnknownComponent("Ingester".into())));
    }

    #[test]
    fn targets_are_the_runtimes() {
        assert_eq!(Component::QueryFrontend.target(), "query-frontend");
        assert_eq!(Component::Tempo.target(), "all");
        assert_eq!(Component::Tempo.kubernetes_name(), "tempo");
    }
}
