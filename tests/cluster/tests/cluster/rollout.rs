//! What is rendered, on nodes where pods turn ready: all of it comes up, and a change rolls out.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use tempoform_engine::render::{self, Manifest};
use tempoform_test_support::ControlPlane;

use crate::objects::{Run, apply, make_namespaces, until};

const DOCUMENT: &str = include_str!("../../../../examples/distributed-s3/tempo.yaml");
const ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];
const NAMESPACE: &str = "tracing";

/// The objects that Kubernetes itself knows, of a document.
fn manifests(document: &str) -> Result<Vec<Manifest>> {
    let mut documents = tempoform_api::load("test", document)?;
    let tempo = documents.pop().context("a document")?.validated;
    let mut manifests = render::manifests(&tempo)?;
    manifests.retain(|manifest| !manifest.api_version.contains("coreos.com/"));
    manifests.retain(|manifest| !manifest.api_version.contains("grafana."));
    Ok(manifests)
}

#[tokio::test]
async fn everything_comes_up_and_a_change_replaces_the_pods_it_concerns() -> Result<()> {
    let Some(plane) = ControlPlane::with_nodes(&ZONES).await? else { return Ok(()) };
    let client = plane.client();
    let first = manifests(DOCUMENT)?;
    make_namespaces(&client, first.iter().map(|manifest| &manifest.value)).await?;
    roll_out(&client, &first).await?;
    let before = pods(&client).await?;
    let ingesters = before.iter().filter(|(name, ..)| name.contains("-ingester-")).count();
    assert_eq!((before.len(), ingesters), (3 + 6 + 3 + 2 + 3 + 2, 6), "{before:?}");
    let zones: BTreeSet<_> = before.iter().map(|(_, _, node)| node.as_str()).collect();
    assert_eq!(zones.len(), ZONES.len(), "pods are on all nodes");

    // Each ingester and distributor reads this from a file that stands in its pod's hash.
    let second = manifests(&DOCUMENT.replace("rateLimitBytes: 20MB", "rateLimitBytes: 21MB"))?;
    roll_out(&client, &second).await?;
    let after = pods(&client).await?;
    assert_eq!(after.len(), before.len());
    for (name, uid, _) in &before {
        let kept = after.iter().any(|(_, other, _)| other == uid);
        let concerned = name.contains("-ingester-") || name.contains("-distributor-");
        assert_eq!(kept, !concerned, "{name}");
    }
    Ok(())
}

/// Applies everything and waits as `kubectl rollout status` does.
async fn roll_out(client: &Client, manifests: &[Manifest]) -> Result<()> {
    for manifest in manifests {
        apply(client, &manifest.value, Run::Real).await.with_context(|| manifest.to_string())?;
    }
    for manifest in manifests {
        let name = manifest.name.as_str();
        until(&format!("{manifest} is rolled out"), async || match manifest.kind.as_str() {
            "Deployment" => deployment_is_rolled_out(client, name).await,
            "StatefulSet" => stateful_set_is_rolled_out(client, name).await,
            _ => Ok(true),
        })
        .await?;
    }
    Ok(())
}

async fn deployment_is_rolled_out(client: &Client, name: &str) -> Result<bool> {
    let deployment = Api::<Deployment>::namespaced(client.clone(), NAMESPACE).get(name).await?;
    let (spec, status) = (deployment.spec.unwrap_or_default(), deployment.status.unwrap_or_default());
    let all = |count: Option<i32>| count.unwrap_or(0) == spec.replicas.unwrap_or(1);
    Ok(status.observed_generation == deployment.metadata.generation
        && [status.updated_replicas, status.available_replicas, status.replicas].into_iter().all(all))
}

async fn stateful_set_is_rolled_out(client: &Client, name: &str) -> Result<bool> {
    let set = Api::<StatefulSet>::namespaced(client.clone(), NAMESPACE).get(name).await?;
    let (spec, status) = (set.spec.unwrap_or_default(), set.status.unwrap_or_default());
    let all = |count: Option<i32>| count.unwrap_or(0) == spec.replicas.unwrap_or(1);
    Ok(status.observed_generation == set.metadata.generation
        && status.current_revision == status.update_revision
        && [status.updated_replicas, status.available_replicas].into_iter().all(all))
}

/// Name, unique id and node of every pod.
async fn pods(client: &Client) -> Result<Vec<(String, String, String)>> {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE).list(&ListParams::default()).await?;
    let pod = |pod: Pod| {
        let (metadata, spec) = (pod.metadata, pod.spec.unwrap_or_default());
        let (name, uid) = (metadata.name.context("a name")?, metadata.uid.context("an id")?);
        Ok((name, uid, spec.node_name.context("a node")?))
    };
    pods.items.into_iter().map(pod).collect()
}
