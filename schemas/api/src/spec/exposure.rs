//! `spec.ingress` and `spec.gatewayApi`: ways in from outside of the cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An `Ingress` for each way in that is named (Kubernetes). Nobody is asked who they are: whoever reaches the controller gets in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct IngressSpec {
    /// To the query API. Default path: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<IngressRouteSpec>,
    /// To the receiver of OTLP over HTTP. Default path: `/v1/traces`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<IngressRouteSpec>,
    /// To the receiver of OTLP over gRPC. Default path: that of its service. Most controllers must be told by an annotation that the backend speaks gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<IngressRouteSpec>,
}

/// One `Ingress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct IngressRouteSpec {
    /// The host name that clients call; `*.` may stand before it.
    pub host: String,
    /// The paths that begin with this one, by whole parts, are let in, and passed on as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The controller's class. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Annotations, by which controllers are told the rest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The certificate that the controller shows. Default: the controller's own, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTlsSpec>,
}

/// The certificate of an `Ingress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct IngressTlsSpec {
    /// A secret of type `kubernetes.io/tls`, with entries `tls.crt` and `tls.key`.
    pub secret_name: String,
}

/// An `HTTPRoute`, or for gRPC a `GRPCRoute`, of the Gateway API for each way in that is named (Kubernetes). Nobody is asked who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayApiSpec {
    /// The gateways that the routes attach to.
    #[schemars(length(min = 1, max = 32))]
    pub parent_refs: Vec<ParentRefSpec>,
    /// To the query API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<GatewayRouteSpec>,
    /// To the receiver of OTLP over HTTP: its path `/v1/traces` alone, so that it may share host names with the query API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<GatewayRouteSpec>,
    /// To the receiver of OTLP over gRPC. It needs host names that the other two do not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<GatewayRouteSpec>,
}

/// A `Gateway`, or one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ParentRefSpec {
    /// The gateway's name.
    pub name: String,
    /// Its namespace. Default: that of the Tempo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The listener. Default: each that takes the host names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayRouteSpec {
    /// The host names that clients call; `*.` may stand before them.
    #[schemars(length(min = 1, max = 16))]
    pub hostnames: Vec<String>,
}
