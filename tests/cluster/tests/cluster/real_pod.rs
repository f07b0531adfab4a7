//! A rendered Tempo in pods that really run.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::DeleteParams;
use kube::{Api, Client};
use tempoform_test_support::{ControlPlane, Exporter, Load, executable};
use tokio::net::TcpStream;

use crate::objects::{NAMESPACE, until};

const DOCUMENT: &str = include_str!("../../../../examples/quickstart/tempo.yaml");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/quickstart");
const SERVICE: &str = "tempo-quickstart";
const POD: &str = "tempo-quickstart-0";

/// What the manifest asks of the machine holds: another user, no right to write but to its volumes, probes, a Service.
#[tokio::test]
async fn takes_spans_through_its_service_and_keeps_them_when_its_pod_is_replaced() -> Result<()> {
    let Some(mut plane) = ControlPlane::with_real_node().await? else { return Ok(()) };
    let client = plane.client();
    let tempo = tempoform_api::load("test", DOCUMENT)?.pop().context("a document")?.validated;
    let image = tempo.components.first_key_value().context("a component")?.1.image.to_string();
    plane.import_image(&image, &executable("tempo")?).await?;
    plane.make_volume(NAMESPACE, &format!("data-{POD}"), "10Gi").await?;
    // The canary goes in and comes back through the API server.
    let applied = Command::new(executable("tempoform")?)
        .args(["apply", "-f", EXAMPLE, "--auto-approve", "--namespace", NAMESPACE])
        .env("KUBECONFIG", plane.kubeconfig())
        .output()?;
    let (out, err) = (String::from_utf8_lossy(&applied.stdout), String::from_utf8_lossy(&applied.stderr));
    ensure!(applied.status.success(), "{out}{err}");
    for line in [
        "ok   canary/write",
        "ok   canary/by-id",
        "Healthy.",
        "OTLP over gRPC  tempo-quickstart.default.svc:4317",
    ] {
        ensure!(out.contains(line), "{line}: {out}{err}");
    }
    let first = ready_pod(&client, None).await?;

    let service = Api::<Service>::default_namespaced(client.clone()).get(SERVICE).await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).context("an address of the Service")?;
    // Rules for its address come a little later than the pod is ready.
    let answers = async || Ok(TcpStream::connect((address.as_str(), 4317)).await.is_ok());
    until("the Service answers", answers).await?;
    let load = Load::new(91);
    let exporter = Exporter::new(&format!("{address}:4317"))?;
    for request in load.requests(0) {
        exporter.export(request).await?;
    }
    ensure!(spans(&address, &load).await? == load.spans(0).len(), "before");

    Api::<Pod>::default_namespaced(client.clone()).delete(POD, &DeleteParams::default()).await?;
    ready_pod(&client, Some(&first)).await?;
    until("the Service answers again", answers).await?;
    ensure!(spans(&address, &load).await? == load.spans(0).len(), "after");
    for (name, usage) in plane.usage()? {
        eprintln!("{name}: {} MiB, {:.1?} of CPU", usage.rss >> 20, usage.cpu);
    }
    plane.stop()
}

/// Waits for a ready pod that is not `other`, and gives its unique id.
async fn ready_pod(client: &Client, other: Option<&str>) -> Result<String> {
    let pods = Api::<Pod>::default_namespaced(client.clone());
    let uid = async || {
        let Some(pod) = pods.get_opt(POD).await? else { return Ok(None) };
        let mut conditions = pod.status.into_iter().flat_map(|status| status.conditions.unwrap_or_default());
        let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
        anyhow::Ok(pod.metadata.uid.filter(|uid| ready && Some(uid.as_str()) != other))
    };
    until("the pod is ready", async || Ok(uid().await?.is_some())).await?;
    uid().await?.context("the pod was ready, and is not any more")
}

/// How many spans of the load's first trace there are.
async fn spans(address: &str, load: &Load) -> Result<usize> {
    let url = format!("http://{address}:3200/api/traces/{}", load.trace_id(0));
    let answer = reqwest::get(&url).await?.error_for_status()?;
    let trace: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
    let resources = trace["batches"].as_array().into_iter().flatten();
    let scopes = resources.flat_map(|batch| batch["scopeSpans"].as_array().into_iter().flatten());
    Ok(scopes.map(|scope| scope["spans"].as_array().map_or(0, Vec::len)).sum())
}
