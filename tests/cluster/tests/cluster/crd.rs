//! The custom resource's definition, and what the API server refuses by it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempoform_engine::render;
use tempoform_test_support::ControlPlane;

use crate::documents;
use crate::objects::{Run, apply, install, make_namespaces};

/// The documents by which the rules are tested without a server, too.
fn cases(of: &str) -> Result<Vec<Value>> {
    let cases: Value =
        serde_saphyr::from_str(include_str!("../../../../schemas/api/src/crd/tests/cel.yaml"))?;
    Ok(cases[of].as_array().context("a list of cases")?.clone())
}

fn document(case: &Value) -> Value {
    json!({
        "apiVersion": tempoform_api::API_VERSION,
        "kind": tempoform_api::KIND,
        "metadata": { "name": case["name"].as_str().unwrap_or("traces") },
        "spec": case["spec"],
    })
}

/// The messages of all rules below `schema`.
fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    found.extend(rules.filter_map(|rule| rule["message"].as_str()).map(str::to_owned));
    let inner = schema["properties"].as_object().into_iter().flat_map(|properties| properties.values());
    for schema in inner.chain(schema.get("items")).chain(schema.get("additionalProperties")) {
        messages(schema, found);
    }
}

#[tokio::test]
async fn each_rule_refuses_what_it_says_and_nothing_else() -> Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client();
    // This is where the cost of the rules is estimated, which only an API server does.
    install(&client, &tempoform_api::crd()).await?;

    let mut rules = BTreeSet::new();
    let definition = serde_json::to_value(tempoform_api::crd())?;
    messages(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut rules);
    ensure!(rules.len() > 20, "{rules:?}");
    for case in cases("refused")? {
        let words = case["words"].as_str().context("words of the rule")?;
        let refusal = apply(&client, &document(&case), Run::Dry).await.expect_err(words).to_string();
        ensure!(refusal.contains(words), "{words:?} in {refusal}");
        rules.retain(|message| !refusal.contains(message.as_str()));
    }
    assert_eq!(rules, BTreeSet::new(), "no case was refused with these");
    for case in cases("accepted")? {
        apply(&client, &document(&case), Run::Dry).await.with_context(|| case.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn documents_are_stored_as_they_are_written() -> Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let client = plane.client();
    install(&client, &tempoform_api::crd()).await?;
    let documents = documents::all()?;
    let resources: Vec<_> =
        documents.iter().map(|named| render::tempo_resource(&named.document.tempo).value).collect();
    make_namespaces(&client, &resources).await?;
    for (named, resource) in documents.iter().zip(&resources) {
        let stored = apply(&client, resource, Run::Real).await;
        let stored = stored.with_context(|| named.file.display().to_string())?;
        assert_eq!(stored["spec"], resource["spec"], "{}", named.file.display());
    }
    let mut unknown = resources[0].clone();
    unknown["spec"]["storag"] = json!({});
    let refusal =
        apply(&client, &unknown, Run::Dry).await.expect_err("a field that there is not").to_string();
    ensure!(refusal.contains("storag"), "{refusal}");
    Ok(())
}
