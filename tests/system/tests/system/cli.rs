//! The quickstart, from plan to destroy, as the README tells it.

use anyhow::{Context as _, Result, ensure};
use tempoform_test_support::{Cli, Exporter, Load};

use crate::durability::spans_of;

#[tokio::test]
async fn the_quickstart_from_plan_to_destroy() -> Result<()> {
    let cli = Cli::example("quickstart")?;
    let plan = cli.expect(2, "plan", &["--detailed-exitcode"])?;
    ensure!(plan.contains("2 to create, 0 to change, 0 to destroy"), "{plan}");

    let applied = cli.run("apply", &["--auto-approve"])?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&applied.stdout), String::from_utf8_lossy(&applied.stderr));
    ensure!(applied.status.success(), "{said}");
    for told in ["canary", "127.0.0.1:4317", "127.0.0.1:4318", "127.0.0.1:3200", "/api/"] {
        ensure!(said.contains(told), "apply does not tell {told:?}:\n{said}");
    }
    cli.expect(0, "plan", &["--detailed-exitcode"]).context("a second plan has no changes")?;

    let status = cli.status()?;
    let instance = &status["components"][0];
    ensure!(instance["name"] == "tempo" && instance["ready"] == true, "{status:#}");
    ensure!(instance["endpoints"]["otlpGrpc"] == "127.0.0.1:4317", "{status:#}");
    ensure!(status["storage"]["backend"] == "local", "{status:#}");
    cli.expect(0, "health", &[])?;

    let load = Load::new(31);
    for request in load.requests(0) {
        Exporter::new("127.0.0.1:4317")?.export(request).await?;
    }
    let found = spans_of("http://127.0.0.1:3200", load.trace_id(0)).await?;
    ensure!(found as u64 == load.spans_per_trace(), "{found} spans");

    // Data stays unless told otherwise.
    cli.expect(0, "destroy", &["--auto-approve"])?;
    ensure!(reqwest::get("http://127.0.0.1:3200/ready").await.is_err(), "it still listens");
    cli.expect(0, "apply", &["--auto-approve"])?;
    let found = spans_of("http://127.0.0.1:3200", load.trace_id(0)).await?;
    ensure!(found as u64 == load.spans_per_trace(), "{found} spans after destroy and apply");
    cli.expect(0, "destroy", &["--auto-approve", "--delete-data"])?;
    cli.expect(0, "apply", &["--auto-approve"])?;
    ensure!(spans_of("http://127.0.0.1:3200", load.trace_id(0)).await? == 0, "the data was to be deleted");
    Ok(())
}

#[test]
fn an_occupied_port_is_said_plainly_and_the_next_apply_finishes() -> Result<()> {
    let cli = Cli::example("quickstart")?;
    let occupied = std::net::TcpListener::bind("127.0.0.1:3200")?;
    let refused = cli.run("apply", &["--auto-approve"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1), "{said}");
    ensure!(said.contains("3200"), "{said}");
    drop(occupied);
    cli.expect(0, "apply", &["--auto-approve"])?;
    Ok(())
}

#[test]
fn every_problem_of_a_document_is_told_with_its_line() -> Result<()> {
    let cli = Cli::document(
        "apiVersion: tempoform.io/v1alpha1\nkind: Tempo\nmetadata:\n  name: wrong\nspec:\n  mode: distributed\n  storage:\n    trace:\n      backend: local\n  ingester:\n    replicass: 3\n  querier:\n    replicas: many\n",
    )?;
    let refused = cli.run("validate", &[])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1), "{said}");
    ensure!(
        said.contains(":11:") && said.contains("replicas"),
        "the unknown key, with a suggestion:\n{said}"
    );
    ensure!(said.contains(":13:") && said.contains("spec.querier.replicas"), "the wrong type:\n{said}");
    Ok(())
}
