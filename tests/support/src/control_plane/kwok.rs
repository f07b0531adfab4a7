//! Nodes that only seem to be: KWOK says of them, and of the pods that the scheduler gives them, that they are ready.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::{Api, Client};

use super::program::Program;
use super::{ControlPlane, flag};
use crate::skipped;

/// The label by which pods are spread over zones.
const ZONE: &str = "topology.kubernetes.io/zone";
const STAGES: &str = include_str!("stages.yaml");

impl ControlPlane {
    /// Starts one with a node in each of `zones`, where pods turn ready without running, and claims of volumes get
    /// volumes that hold nothing; `None`, and said so, where KWOK is not installed, or as in [`start`](Self::start).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn with_nodes(zones: &[&str]) -> Result<Option<Self>> {
        let Some(kwok) = std::env::var_os("TEMPOFORM_TEST_KWOK").map(PathBuf::from) else {
            skipped("no nodes (TEMPOFORM_TEST_KWOK is not set)");
            return Ok(None);
        };
        let Some(mut plane) = Self::start().await? else { return Ok(None) };
        plane.nodes.push(plane.start_scheduler()?);
        let mut kwok = start_kwok(&kwok, plane.folder.path(), plane.kubeconfig())?;
        for (number, zone) in zones.iter().enumerate() {
            make_node(&plane.client, &format!("node-{number}"), zone).await?;
        }
        plane.wait_for_nodes(&mut kwok).await?;
        plane.nodes.push(kwok);
        Ok(Some(plane))
    }
}

fn start_kwok(executable: &Path, folder: &Path, kubeconfig: &Path) -> Result<Program> {
    let stages = folder.join("stages.yaml");
    std::fs::write(&stages, STAGES)?;
    let arguments = [
        flag("kubeconfig", kubeconfig.display()),
        flag("config", stages.display()),
        flag("manage-all-nodes", true),
        // Renewed while KWOK runs; without a lease a node counts as lost.
        flag("node-lease-duration-seconds", 40),
    ];
    Program::spawn(&mut Command::new(executable), "kwok", folder, &arguments)
}

async fn make_node(client: &Client, name: &str, zone: &str) -> Result<()> {
    let mut node = Node::default();
    node.metadata.name = Some(name.to_owned());
    let labels = [(ZONE, zone), ("kubernetes.io/hostname", name), ("kubernetes.io/os", "linux")];
    node.metadata.labels = Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    Api::all(client.clone()).create(&PostParams::default(), &node).await?;
    Ok(())
}
