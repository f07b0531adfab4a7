//! What is rendered, before a real API server.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempoform_engine::render;
use tempoform_test_support::ControlPlane;

use crate::documents;
use crate::objects::{Run, apply, install, make_namespaces, open_definition};

/// Kinds that other operators define, with their plural names. Their definitions are not here: these objects are only
/// known to be taken as objects, with metadata as it must be.
const KINDS_OF_OTHERS: [(&str, &str); 5] = [
    ("ServiceMonitor", "servicemonitors"),
    ("PrometheusRule", "prometheusrules"),
    ("GrafanaDatasource", "grafanadatasources"),
    ("HTTPRoute", "httproutes"),
    ("GRPCRoute", "grpcroutes"),
];

/// Quantities of the documents that Kubernetes writes in another way.
const QUANTITIES: [(&str, &str); 1] = [("1.5", "1500m")];

#[tokio::test]
async fn every_rendered_object_is_taken_whole() -> Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client();
    let mut rendered = Vec::new();
    for named in documents::all()? {
        for manifest in render::manifests(&named.document.validated)? {
            rendered.push((named.file.clone(), manifest));
        }
    }
    make_namespaces(&client, rendered.iter().map(|(_, manifest)| &manifest.value)).await?;
    for (kind, plural) in KINDS_OF_OTHERS {
        let of_kind = rendered.iter().find(|(_, manifest)| manifest.kind == kind);
        let (_, manifest) = of_kind.with_context(|| format!("no document renders a {kind}"))?;
        install(&client, &open_definition(&manifest.value, plural)?).await?;
    }

    let (mut problems, mut kinds) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for (file, manifest) in &rendered {
        *kinds.entry(&manifest.kind).or_default() += 1;
        let problem = match apply(&client, &manifest.value, Run::Dry).await {
            Err(error) => Some(error.to_string()),
            Ok(taken) => lost("", &manifest.value, &taken),
        };
        problems.extend(problem.map(|problem| format!("{}: {manifest}: {problem}", file.display())));
    }
    eprintln!("{} objects: {kinds:?}", rendered.len());
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// The first of the fields that were sent and are not, or not so, in the answer.
fn lost(path: &str, sent: &Value, taken: &Value) -> Option<String> {
    match (sent, taken) {
        (Value::Object(sent), Value::Object(taken)) => sent.iter().find_map(|(key, sent)| {
            lost(&format!("{path}.{key}"), sent, taken.get(key).unwrap_or(&Value::Null))
        }),
        (Value::Array(sent), Value::Array(taken)) if sent.len() == taken.len() => {
            let items = sent.iter().zip(taken).enumerate();
            items
                .into_iter()
                .find_map(|(index, (sent, taken))| lost(&format!("{path}[{index}]"), sent, taken))
        }
        _ if sent == taken => None,
        // What is empty is not kept, as it means the same as nothing.
        (Value::String(text), Value::Null) if text.is_empty() => None,
        // Quantities are written anew, in Kubernetes' own way.
        _ if QUANTITIES
            .contains(&(sent.as_str().unwrap_or_default(), taken.as_str().unwrap_or_default())) =>
        {
            None
        }
        _ => Some(format!("{path} was sent as {sent} and is {taken}")),
    }
}
