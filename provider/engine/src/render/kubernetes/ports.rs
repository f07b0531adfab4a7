//! The ports of a component's pods and services.

use serde::Serialize;
use tempoform_api::{Component, ValidatedTempo};

use crate::render::config::Process;

/// Where members gossip.
pub(super) const GOSSIP: u16 = 7946;

/// A port of a pod; services refer to it by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Port {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) protocol: &'static str,
    /// What meshes and gateways may take it for.
    pub(super) app_protocol: Option<&'static str>,
}

const fn tcp(name: &'static str, port: u16, app_protocol: Option<&'static str>) -> Port {
    Port { name, port, protocol: "TCP", app_protocol }
}

/// The ports that clients and other components use.
pub(super) fn service(tempo: &ValidatedTempo, process: &Process<'_>) -> Vec<Port> {
    let ports = process.settings.ports;
    let mut all = vec![tcp("http", ports.http, None), tcp("grpc", ports.grpc, Some("grpc"))];
    all.extend(receivers(tempo, process));
    all
}

/// The ports that spans come in by.
fn receivers(tempo: &ValidatedTempo, process: &Process<'_>) -> Vec<Port> {
    if !process.component.receives_spans() {
        return vec![];
    }
    let ingestion = &tempo.ingestion;
    let grpc =
        ingestion.otlp_grpc.as_ref().map(|r| tcp("otlp-grpc", r.port, r.tls.is_none().then_some("grpc")));
    let http =
        ingestion.otlp_http.as_ref().map(|r| tcp("otlp-http", r.port, r.tls.is_none().then_some("http")));
    grpc.into_iter().chain(http).collect()
}

/// Every port of the pod.
pub(super) fn pod(tempo: &ValidatedTempo, process: &Process<'_>) -> Vec<Port> {
    let protocol = process.flavour.gossip_protocol();
    let mut all = service(tempo, process);
    all.push(Port { name: "gossip", port: GOSSIP, protocol, app_protocol: None });
    all
}

/// The ports that anyone in the cluster may reach: the receivers, the query API, and the metrics where they are
/// scraped by somebody whom the document does not name.
pub(super) fn public(tempo: &ValidatedTempo, process: &Process<'_>) -> Vec<Port> {
    let queries = process.component.answers_queries();
    let scraped = tempo.observability.service_monitors.is_some();
    let mut all = service(tempo, process);
    all.retain(|port| match port.name {
        "http" => queries || scraped,
        "grpc" => queries,
        _ => true,
    });
    all
}

/// The service port of a component's HTTP API.
pub(super) fn http(tempo: &ValidatedTempo, component: Component) -> u16 {
    tempo.component(component).map_or(tempoform_api::HTTP_PORT, |settings| settings.ports.http)
}
