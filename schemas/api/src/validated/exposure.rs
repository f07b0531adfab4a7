//! Ways in from outside of the cluster.

use std::collections::BTreeMap;

use serde::Serialize;

/// What can be reached from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Entrance {
    /// The query API.
    Query,
    /// The receiver of OTLP over HTTP.
    OtlpHttp,
    /// The receiver of OTLP over gRPC.
    OtlpGrpc,
}

impl Entrance {
    /// Every entrance, in order.
    pub const ALL: [Self; 3] = [Self::Query, Self::OtlpHttp, Self::OtlpGrpc];

    /// The name in the document: `otlpHttp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::OtlpHttp => "otlpHttp",
            Self::OtlpGrpc => "otlpGrpc",
        }
    }
}

/// An `Ingress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// The host name, perhaps with `*.` before it.
    pub host: String,
    /// The paths that begin with it are let in.
    pub path: String,
    /// The controller's class; `None`: the cluster's.
    pub class_name: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The secret with the certificate; `None`: the controller's own certificate, or none.
    pub tls_secret: Option<String>,
}

/// Routes of the Gateway API. At least one is there, and has a host name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApi {
    /// What the routes attach to; at least one.
    pub parents: Vec<GatewayParent>,
    /// The host names of each route.
    pub routes: BTreeMap<Entrance, Vec<String>>,
}

/// A gateway, or one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayParent {
    /// Its name.
    pub name: String,
    /// Its namespace; `None`: the Tempo's.
    pub namespace: Option<String>,
    /// The listener; `None`: any.
    pub section_name: Option<String>,
}
