//! The command line with a cluster.

use std::process::{Command, Output};

use anyhow::Result;
use tempoform_test_support::{ControlPlane, executable};

const DOCUMENT: &str = r"
apiVersion: tempoform.io/v1alpha1
kind: Tempo
metadata:
  name: shop
spec:
  mode: singleBinary
  storage:
    trace:
      backend: local
";

/// A folder with the document, and what a command says.
struct Shell<'a> {
    folder: tempfile::TempDir,
    plane: &'a ControlPlane,
}

impl Shell<'_> {
    fn run(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let (command, rest) = arguments.split_first().unwrap_or((&"help", &[]));
        let Output { status, stdout, stderr } = Command::new(executable("tempoform")?)
            .current_dir(self.folder.path())
            .args([command, "-f", "tempo.yaml"])
            .args(rest)
            .env("KUBECONFIG", self.plane.kubeconfig())
            .output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((status.code().unwrap_or(-1), text(stdout), text(stderr)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_planned_applied_and_destroyed_by_commands() -> Result<()> {
    let Some(mut plane) = ControlPlane::with_nodes(&["a"]).await? else { return Ok(()) };
    let shell = Shell { folder: tempfile::tempdir()?, plane: &plane };
    std::fs::write(shell.folder.path().join("tempo.yaml"), DOCUMENT)?;

    let (code, out, err) = shell.run(&["plan", "--target", "kubernetes", "--detailed-exitcode"])?;
    assert_eq!(code, 2, "{out}{err}");
    assert!(out.contains("will change shop on target \"test\""), "{out}");
    assert!(out.contains("+ StatefulSet/default/tempo-shop (tempo) will be created"), "{out}");
    assert!(!out.contains("metadata."), "what is in the headline is not repeated: {out}");

    // Nothing runs in these pods, so that the canary finds nobody; all else is applied.
    let (code, out, err) = shell.run(&["apply", "-n", "tracing", "--auto-approve"])?;
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains("created, 0 changed, 0 destroyed."), "{err}");
    assert!(err.contains("everything is applied, and it is not healthy"), "{err}");
    assert!(err.contains("logs -f tempo.yaml --namespace tracing"), "advice says where: {err}");
    let (code, out, err) = shell.run(&["plan", "-n", "tracing", "--detailed-exitcode"])?;
    assert_eq!((code, out.starts_with("No changes.")), (0, true), "{out}{err}");
    let (code, out, _) = shell.run(&["status", "-n", "tracing", "-o", "json", "--detailed-exitcode"])?;
    let status: serde_json::Value = serde_json::from_str(&out)?;
    assert_eq!(
        (code, &status["namespace"], &status["components"][0]["instance"]),
        (2, &"tracing".into(), &"tempo-shop-0".into())
    );

    let (code, out, err) = shell.run(&["destroy", "-n", "tracing", "--auto-approve"])?;
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("left: PersistentVolumeClaim/tracing/data-tempo-shop-0"), "{err}");
    let (code, _, err) = shell.run(&["destroy", "-n", "tracing", "--auto-approve"])?;
    assert!(
        code == 0 && err.contains("is not applied in namespace \"tracing\" of context \"test\""),
        "{err}"
    );

    let (code, _, err) = shell.run(&["plan", "--context", "elsewhere"])?;
    assert!(
        code == 1 && err.contains("has no context \"elsewhere\"") && err.contains("it has test"),
        "{err}"
    );
    let (code, _, err) = shell.run(&["plan", "--kubeconfig", "missing"])?;
    assert!(code == 1 && err.contains("cannot read the kubeconfig missing"), "{err}");
    let shell = shell.folder;
    plane.stop_api_server();
    let shell = Shell { folder: shell, plane: &plane };
    let (code, _, err) = shell.run(&["plan", "--target", "kubernetes"])?;
    assert!(code == 1 && err.contains("cannot be reached") && err.contains("`kubectl version`"), "{err}");
    plane.stop()
}
