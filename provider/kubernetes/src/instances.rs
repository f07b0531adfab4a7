//! Pods as instances of components, with their ports on this machine.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt as _};
use tempoform_api::Component;
use tempoform_engine::object::Instance;
use tempoform_engine::target::TargetError;

use crate::failure::explain;
use crate::forward::Forward;
use crate::inventory::Place;
use crate::{logs, pods};

/// The pods of a Tempo, those that have ended or are going left out.
pub(crate) async fn pods_of(client: &Client, place: &Place) -> Result<Vec<Pod>, TargetError> {
    let labels = format!("app.kubernetes.io/instance={},app.kubernetes.io/managed-by=tempoform", place.tempo);
    let listed = pods::list(client, &place.namespace, &labels).await;
    let mut listed = listed.map_err(|error| explain("cannot list the pods", error))?;
    listed.retain(|pod| pod.metadata.deletion_timestamp.is_none() && !pods::has_ended(pod));
    Ok(listed)
}

/// A pod as an instance. Its ports are reachable for as long as the forwards live.
pub(crate) async fn instance(
    client: &Client,
    place: &Place,
    pod: &Pod,
) -> Result<(Instance, Vec<Forward>), TargetError> {
    let name = pod.name_any();
    let spec = pod.spec.as_ref();
    let container = spec.and_then(|spec| spec.containers.iter().find(|c| c.name == logs::CONTAINER));
    let is_running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    let (mut endpoints, mut forwards) = (BTreeMap::new(), Vec::new());
    for port in container.into_iter().flat_map(|c| c.ports.iter().flatten()).filter(|_| is_running) {
        let Some(key) = port.name.as_deref().and_then(endpoint) else { continue };
        let Ok(number) = u16::try_from(port.container_port) else { continue };
        let forward = Forward::new(client.clone(), &place.namespace, &name, number).await;
        let forward = forward
            .map_err(|error| TargetError::new("cannot listen on a port of this machine").caused_by(error))?;
        endpoints.insert(key.to_owned(), forward.address.to_string());
        forwards.push(forward);
    }
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let restarts: i32 = statuses.into_iter().flatten().map(|container| container.restart_count).sum();
    let note = pods::trouble(pod).map(|trouble| match trouble {
        pods::Trouble::Waiting(reason) | pods::Trouble::Failed { reason, .. } => reason,
    });
    let instance = Instance {
        name: component(pod),
        instance: name,
        pid: None,
        endpoints,
        tls: BTreeMap::new(),
        restarts: u32::try_from(restarts).unwrap_or(0),
        note,
    };
    Ok((instance, forwards))
}

/// The component of a pod as the document names it.
pub(crate) fn component(pod: &Pod) -> String {
    let label = pod.labels().get("app.kubernetes.io/component").map_or("", String::as_str);
    let component = Component::ALL.into_iter().find(|component| component.kubernetes_name() == label);
    component.map_or_else(|| label.to_owned(), |component| component.name().to_owned())
}

/// The endpoint that a named port is.
fn endpoint(port: &str) -> Option<&'static str> {
    match port {
        "http" => Some("http"),
        "grpc" => Some("grpc"),
        "otlp-grpc" => Some("otlpGrpc"),
        "otlp-http" => Some("otlpHttp"),
        _ => None,
    }
}
