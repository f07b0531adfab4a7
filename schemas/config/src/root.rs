use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tempoform_document::GoDuration;

use crate::{
    Compactor, Distributor, Ingester, IngesterClient, Memberlist, Memory, Origin, Overrides, Querier,
    QueryFrontend, Retriever, Server, Storage,
};

/// The whole configuration of one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which components this process runs; the command line's `--target` wins. Default `all`.
    pub target: Target,
    /// Path put in front of every `/api/…` route, such as `/tempo`. Default empty.
    pub http_api_prefix: String,
    /// Whether requests name their tenant (`X-Scope-OrgID`); otherwise all belong to `single-tenant`.
    /// Default false.
    pub multitenancy_enabled: bool,
    /// Tenants that are served, if multitenancy is enabled; none listed means any. Default none.
    pub multitenancy_allowed_tenants: Vec<String>,
    /// How long `/ready` says no before the process begins to stop, so that load balancers notice.
    /// Default 0s.
    pub shutdown_delay: GoDuration,
    /// The listeners and the log.
    pub server: Server,
    /// Takes spans in.
    pub distributor: Distributor,
    /// How distributors and queriers call ingesters, and queriers retrievers.
    pub ingester_client: IngesterClient,
    /// Keeps recent spans and cuts blocks.
    pub ingester: Ingester,
    /// Answers queries from ingesters and retrievers.
    pub querier: Querier,
    /// The query API's front: limits, queueing, merging.
    pub query_frontend: QueryFrontend,
    /// Reads blocks from object storage.
    pub retriever: Retriever,
    /// Merges blocks and applies retention.
    pub compactor: Compactor,
    /// Where blocks and the write-ahead log are.
    pub storage: Storage,
    /// Limits, for all tenants and for single ones.
    pub overrides: Overrides,
    /// How processes find each other.
    pub memberlist: Memberlist,
    /// The process's memory ceiling.
    pub memory: Memory,
    /// Where this was read from; no key of the file.
    #[serde(skip)]
    pub origin: Origin,
}

/// A component, or all of them in one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Every component in one process.
    #[default]
    All,
    /// Takes spans in.
    Distributor,
    /// Keeps recent spans and cuts blocks.
    Ingester,
    /// Answers queries from ingesters and retrievers.
    Querier,
    /// The query API's front.
    QueryFrontend,
    /// Reads blocks from object storage.
    Retriever,
    /// Merges blocks and applies retention.
    Compactor,
}

/// A name that is no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target {0:?} is not known; targets are {names}", names = Target::ALL.map(Target::as_str).join(", "))]
pub struct UnknownTarget(String);

impl Target {
    /// Every target.
    pub const ALL: [Self; 7] = [
        Self::All,
        Self::Distributor,
        Self::Ingester,
        Self::Querier,
        Self::QueryFrontend,
        Self::Retriever,
        Self::Compactor,
    ];

    /// The name, as the configuration file and the command line have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Distributor => "distributor",
            Self::Ingester => "ingester",
            Self::Querier => "querier",
            Self::QueryFrontend => "query-frontend",
            Self::Retriever => "retriever",
            Self::Compactor => "compactor",
        }
    }

    /// Whether a process with this target runs component `role`.
    pub fn runs(self, role: Self) -> bool {
        self == role || self == Self::All
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Self, UnknownTarget> {
        let found = Self::ALL.into_iter().find(|target| target.as_str() == name);
        found.ok_or_else(|| UnknownTarget(name.to_owned()))
    }
}
