//! `spec.tenancy`: whether there are tenants, and which.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether there are tenants, and which.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TenancySpec {
    /// Whether every request must name its tenant in the header `X-Scope-OrgID`. Default: true when tenants are listed, else false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The tenants by name: no other is served, except by images of Grafana Tempo. When none is listed, any tenant is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub tenants: Vec<TenantSpec>,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantSpec {
    /// The name by which this document speaks of the tenant.
    #[schemars(length(min = 1, max = 150))]
    pub name: String,
    /// What requests carry in `X-Scope-OrgID`, and the tenant's folder in the bucket. Default: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 150))]
    pub id: Option<String>,
}
