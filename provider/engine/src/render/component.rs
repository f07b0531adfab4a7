//! The components of a Tempo, by the names that documents, targets and people use for them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One part of a Tempo. The order of the variants is the order in which they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Component {
    /// All components in one process (`mode: singleBinary`).
    Tempo,
    /// Holds recent traces and writes blocks.
    Ingester,
    /// Reads blocks from object storage.
    Retriever,
    /// Receives spans and hands them to the ingesters.
    Distributor,
    /// Executes queries.
    Querier,
    /// Splits and queues queries; serves the query API.
    QueryFrontend,
    /// Merges blocks and deletes expired ones.
    Compactor,
}

impl Component {
    /// The components of `mode: distributed`, in start order.
    pub const DISTRIBUTED: [Self; 6] = [
        Self::Ingester,
        Self::Retriever,
        Self::Distributor,
        Self::Querier,
        Self::QueryFrontend,
        Self::Compactor,
    ];

    /// The name in documents and in `tempoform status`: `queryFrontend`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tempo => "tempo",
            Self::Ingester => "ingester",
            Self::Retriever => "retriever",
            Self::Distributor => "distributor",
            Self::Querier => "querier",
            Self::QueryFrontend => "queryFrontend",
            Self::Compactor => "compactor",
        }
    }

    /// The name in object names, labels and instance names, which allow no capitals: `query-frontend`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::QueryFrontend => "query-frontend",
            other => other.name(),
        }
    }

    /// The value of the runtime's `-target` flag.
    #[must_use]
    pub const fn target(self) -> &'static str {
        match self {
            Self::Tempo => "all",
            other => other.label(),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
