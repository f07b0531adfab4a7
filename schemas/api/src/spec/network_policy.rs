//! `spec.networkPolicy`: which traffic to and from the pods is allowed.

use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which traffic to and from the pods is allowed (Kubernetes). The policies let in spans, queries, scrapes and the
/// other components, and let out DNS, the other components, the object store and the receiver of our own traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Whether a `NetworkPolicy` is created for each component. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Where the pods may connect to besides, as in a `NetworkPolicy`: what sidecars need, a proxy on the way to the store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub extra_egress: Vec<NetworkPolicyEgressRule>,
}
