//! What a pod template of the document's own can get wrong in a way that only an API server or a kubelet would notice.

use std::collections::BTreeSet;

use serde_json::Value;
use tempoform_api::Component;

use crate::render::{Manifest, RenderError};

/// Checks the pod of a rendered workload.
///
/// # Errors
/// Names the field of the document that clashes with what is rendered.
pub(super) fn check(component: Component, workload: &Manifest) -> Result<(), RenderError> {
    let pod = &workload.value["spec"]["template"]["spec"];
    let claims =
        list(&workload.value["spec"]["volumeClaimTemplates"]).map(|claim| &claim["metadata"]["name"]);
    let volumes: Vec<&Value> = list(&pod["volumes"]).map(|volume| &volume["name"]).chain(claims).collect();
    let containers: Vec<&Value> = list(&pod["containers"]).chain(list(&pod["initContainers"])).collect();
    let wrong = |field: &str, message: String| {
        Err(RenderError::Override { path: format!("spec.{component}.podTemplate.{field}"), message })
    };
    if let Some(name) = twice(volumes.iter().copied()) {
        return wrong("volumes", format!("there are two volumes called {name}; choose another name"));
    }
    if let Some(name) = twice(containers.iter().map(|container| &container["name"])) {
        return wrong("sidecars", format!("there are two containers called {name}; choose another name"));
    }
    for container in containers {
        let mounts: Vec<&Value> = list(&container["volumeMounts"]).collect();
        if let Some(mount) = mounts.iter().find(|mount| !volumes.contains(&&mount["name"])) {
            let (container, volume) = (&container["name"], &mount["name"]);
            return wrong(
                "volumes",
                format!("container {container} mounts volume {volume}, which there is not; add it"),
            );
        }
        if let Some(path) = twice(mounts.iter().map(|mount| &mount["mountPath"])) {
            let container = &container["name"];
            return wrong("volumeMounts", format!("container {container} mounts two volumes at {path}"));
        }
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn twice<'a>(values: impl Iterator<Item = &'a Value>) -> Option<String> {
    let mut seen = BTreeSet::new();
    values.map(Value::to_string).find(|name| !seen.insert(name.clone()))
}
