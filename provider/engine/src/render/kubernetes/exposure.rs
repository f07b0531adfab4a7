//! Ways in from outside: Ingress objects, and routes of the Gateway API.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::Ingress as IngressObject;
use serde::Serialize;
use tempoform_api::{ComponentSettings, Entrance, GatewayApi, GatewayParent, Ingress, ValidatedTempo};

use super::meta::Meta;
use crate::render::custom::{GRPCRoute, HTTPRoute};
use crate::render::names::Names;
use crate::render::{Manifest, RenderError, typed};

pub(super) fn manifests(tempo: &ValidatedTempo) -> Result<Vec<Manifest>, RenderError> {
    let mut all = Vec::new();
    for (entrance, ingress) in &tempo.ingress {
        all.extend(Backend::of(tempo, *entrance).map(|to| render_ingress(to, ingress)).transpose()?);
    }
    if let Some(gateway) = &tempo.gateway_api {
        for (entrance, hostnames) in &gateway.routes {
            let to = Backend::of(tempo, *entrance);
            all.extend(to.map(|to| render_route(to, *entrance, gateway, hostnames)).transpose()?);
        }
    }
    Ok(all)
}

/// The port of a service that an entrance leads to.
struct Backend<'a> {
    /// Names and labels of what leads there.
    meta: Meta<'a>,
    service: String,
    port_name: &'static str,
    port: u16,
}

impl<'a> Backend<'a> {
    /// `None` if nothing listens, which is refused before.
    fn of(tempo: &'a ValidatedTempo, entrance: Entrance) -> Option<Self> {
        type Port = fn(&ComponentSettings) -> Option<u16>;
        let (settings, suffix, port_name, port): (_, _, _, Port) = match entrance {
            Entrance::Query => (tempo.query_api()?, "query", "http", |it| Some(it.ports.http)),
            Entrance::OtlpHttp => (tempo.receiver()?, "otlp-http", "otlp-http", |it| it.ports.otlp_http),
            Entrance::OtlpGrpc => (tempo.receiver()?, "otlp-grpc", "otlp-grpc", |it| it.ports.otlp_grpc),
        };
        let names = Names::new(&tempo.name);
        Some(Self {
            meta: Meta::new(tempo, settings.component.kubernetes_name(), names.with(suffix)),
            service: names.component(settings.component),
            port_name,
            port: port(settings)?,
        })
    }
}

fn render_ingress(to: Backend<'_>, ingress: &Ingress) -> Result<Manifest, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        host: &'a str,
        path: &'a str,
        class_name: Option<&'a str>,
        annotations: &'a BTreeMap<String, String>,
        tls_secret: Option<&'a str>,
        service: String,
        port_name: &'static str,
    }
    let Ingress { host, path, class_name, annotations, tls_secret } = ingress;
    typed::render::<IngressObject>(
        "kubernetes/exposure/ingress.yaml",
        &Values {
            meta: to.meta,
            host,
            path,
            class_name: class_name.as_deref(),
            annotations,
            tls_secret: tls_secret.as_deref(),
            service: to.service,
            port_name: to.port_name,
        },
    )
}

fn render_route(
    to: Backend<'_>,
    entrance: Entrance,
    gateway: &GatewayApi,
    hostnames: &[String],
) -> Result<Manifest, RenderError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Values<'a> {
        #[serde(flatten)]
        meta: Meta<'a>,
        parents: &'a [GatewayParent],
        hostnames: &'a [String],
        /// The one path that is passed on; `None`: all are.
        exact_path: Option<&'static str>,
        service: String,
        port: u16,
    }
    let values = Values {
        meta: to.meta,
        parents: &gateway.parents,
        hostnames,
        // The only path that the receiver has, so that the query API may be at the same host.
        exact_path: (entrance == Entrance::OtlpHttp).then_some("/v1/traces"),
        service: to.service,
        port: to.port,
    };
    match entrance {
        Entrance::Query | Entrance::OtlpHttp => {
            typed::render::<HTTPRoute>("kubernetes/exposure/httproute.yaml", &values)
        }
        Entrance::OtlpGrpc => typed::render::<GRPCRoute>("kubernetes/exposure/grpcroute.yaml", &values),
    }
}
