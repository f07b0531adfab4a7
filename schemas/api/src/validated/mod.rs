//! The resolved view of a Tempo: every default filled in, every name and number checked.
//!
//! The renderer and the planner work from here; nothing downstream reads the raw spec. An `Option` that is
//! left means that the thing itself is optional (no disk cache, no TLS), never that a default is missing.

mod component;
mod exposure;
mod settings;
mod storage;
mod tls;

pub use component::{
    Autoscaling, ComponentSettings, Image, LocalListen, Persistence, PinnedPorts, PodTemplate, Ports,
    Scheduling,
};
pub use exposure::{Entrance, GatewayApi, GatewayParent, Ingress};
pub use settings::{
    Blocks, Cache, Datasource, DedicatedColumn, Ingestion, IngestionLimits, Limits, Local, Monitoring,
    NetworkPolicy, Observability, Query, QueryLimits, Receiver, Replication, Retention, SelfTracing,
    ServiceAccount, Tenancy, Tenant, TenantLimits, Wal, Zone,
};
pub use storage::{
    AzureCredentials, AzureStorage, GcsCredentials, GcsStorage, LocalStorage, S3Credentials, S3Storage,
    Storage,
};
pub use tls::{CaBundle, Certificate, ClientTls, ServerTls};

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tempoform_document::Problem;

use crate::Component;
use crate::spec::{DeletionPolicy, ImagePullPolicy, Mode};
use tempoform_document::GoDuration;

/// A Tempo whose document has been checked, with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidatedTempo {
    /// `metadata.name`: a DNS label of at most [`MAX_NAME_LENGTH`](crate::MAX_NAME_LENGTH) characters.
    pub name: String,
    /// `metadata.namespace`, if the document says one.
    pub namespace: Option<String>,
    /// `metadata.labels`, for every object.
    pub labels: BTreeMap<String, String>,
    /// How the components are spread over processes.
    pub mode: Mode,
    /// Where traces are kept.
    pub storage: Storage,
    /// The components that run, in order. Never empty.
    pub components: BTreeMap<Component, ComponentSettings>,
    /// When images are pulled.
    pub image_pull_policy: ImagePullPolicy,
    /// Names of the secrets with the registry's credentials.
    pub image_pull_secrets: Vec<String>,
    /// The service account under which the pods run.
    pub service_account: ServiceAccount,
    /// By which protocols spans come in. At least one is there.
    pub ingestion: Ingestion,
    /// How much may come in and be asked for.
    pub limits: Limits,
    /// How long traces are kept.
    pub retention: Retention,
    /// Whether there are tenants, and which.
    pub tenancy: Tenancy,
    /// Copies and zones of recent traces.
    pub replication: Replication,
    /// What an acknowledged write means.
    pub wal: Wal,
    /// What each retriever keeps at hand.
    pub cache: Cache,
    /// Bounds of the query API.
    pub query: Query,
    /// When blocks are cut, and their columns.
    pub blocks: Blocks,
    /// Monitoring of the Tempo itself.
    pub observability: Observability,
    /// The network policies; `None`: none is created.
    pub network_policy: Option<NetworkPolicy>,
    /// Ways in from outside by an Ingress controller.
    pub ingress: BTreeMap<Entrance, Ingress>,
    /// Ways in from outside by a gateway; `None`: there are none.
    pub gateway_api: Option<GatewayApi>,
    /// What is merged over the rendered runtime configuration.
    pub config: Map<String, Value>,
    /// What becomes of the data on removal.
    pub deletion_policy: DeletionPolicy,
    /// Settings for this machine.
    pub local: Local,
    /// What is allowed but deserves a word; shown with the plan.
    #[serde(skip)]
    pub warnings: Vec<Problem>,
    /// What holds for one target only.
    #[serde(skip)]
    pub(crate) targets: Targets,
}

/// What has been found out about the document as far as it is to run on one of the targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Targets {
    /// What images of Grafana Tempo could do, but this machine, where they mean nothing, cannot.
    pub(crate) local_problems: Vec<Problem>,
    pub(crate) local_warnings: Vec<Problem>,
    pub(crate) kubernetes_warnings: Vec<Problem>,
}

impl ValidatedTempo {
    /// What `target` takes no notice of, beside [`Self::warnings`], which hold for both.
    pub fn target_warnings(&self, target: Target) -> &[Problem] {
        match target {
            Target::Kubernetes => &self.targets.kubernetes_warnings,
            Target::Local => &self.targets.local_warnings,
        }
    }

    /// The settings of a component, if it runs in this mode.
    pub fn component(&self, component: Component) -> Option<&ComponentSettings> {
        self.components.get(&component)
    }

    /// Every component that takes in spans: distributor or single binary.
    pub fn receiver(&self) -> Option<&ComponentSettings> {
        self.components.values().find(|settings| settings.component.receives_spans())
    }

    /// The component that answers the query API: query frontend or single binary.
    pub fn query_api(&self) -> Option<&ComponentSettings> {
        self.components.values().find(|settings| settings.component.answers_queries())
    }

    /// By tenant id, the complete settings of each tenant that differs from the global ones. Complete, because
    /// an entry of Tempo's overrides file replaces the defaults instead of inheriting from them.
    pub fn tenant_overrides(&self) -> BTreeMap<&str, TenantOverrides<'_>> {
        let ids = self.limits.per_tenant.keys().chain(self.retention.per_tenant.keys());
        ids.map(|id| (id.as_str(), self.settings_of_tenant(id))).collect()
    }

    fn settings_of_tenant(&self, id: &str) -> TenantOverrides<'_> {
        TenantOverrides {
            limits: self.limits.per_tenant.get(id).unwrap_or(&self.limits.global),
            retention: self.retention.per_tenant.get(id).copied().unwrap_or(self.retention.global),
        }
    }
}

/// Everything that holds for one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantOverrides<'a> {
    /// Its limits.
    pub limits: &'a TenantLimits,
    /// How long its traces are kept.
    pub retention: GoDuration,
}

/// Where a Tempo is to run. Some of a document only makes sense on one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A cluster, applied or rendered to files.
    Kubernetes,
    /// Supervised processes on this machine.
    Local,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "kubernetes",
            Self::Local => "local",
        })
    }
}
