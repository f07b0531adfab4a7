//! What is refused, and how it is said.

use serde_json::{Value, json};
use tempoform_api::Target;
use tempoform_engine::render::{self, RenderError};

use crate::support::tempo;

const SINGLE: &str = "
apiVersion: tempoform.io/v1alpha1
kind: Tempo
metadata: { name: a }
spec:
  mode: singleBinary
  storage: { trace: { backend: local } }
";

fn problems(spec: &str) -> Vec<(String, String)> {
    let tempo = tempo(&format!("{SINGLE}{spec}"));
    let RenderError::Config(problems) = render::manifests(&tempo).unwrap_err() else {
        panic!("another error")
    };
    let Err(RenderError::Config(local)) = render::local(&tempo) else {
        panic!("processes are rendered all the same")
    };
    let paths =
        |problems: &tempoform_api::Problems| problems.iter().map(|p| p.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&problems), paths(&local), "both targets see the same");
    problems.problems.into_iter().map(|p| (p.path, p.message)).collect()
}

#[test]
fn an_unknown_key_is_named_in_the_document() {
    let found = problems("  config: { ingester: { max_block_byte: 1 } }\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "spec.config.ingester.max_block_byte");
}

#[test]
fn every_problem_is_told_at_once() {
    let found = problems(
        "  config: { querier: { max_concurrent_queries: many }, ingestr: {}, compactor: { compaction: { compaction_window: 0s } } }\n",
    );
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert!(paths.contains(&"spec.config.querier.max_concurrent_queries"), "{found:?}");
    assert!(paths.contains(&"spec.config.ingestr"), "{found:?}");
}

#[test]
fn a_value_that_contradicts_ours_is_told_with_both_fields() {
    let found = problems("  config: { storage: { trace: { blocklist_poll: 10m } } }\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "spec.config");
    assert!(found[0].1.contains("ingester.complete_block_timeout"), "{found:?}");
}

#[test]
fn variables_may_stand_for_numbers() {
    let tempo =
        tempo(&format!("{SINGLE}  config: {{ querier: {{ max_concurrent_queries: '${{QUERIES}}' }} }}\n"));
    render::manifests(&tempo).unwrap();
}

fn pod_refusal(pod_template: &str) -> String {
    let tempo = tempo(&format!("{SINGLE}  tempo: {{ podTemplate: {pod_template} }}\n"));
    render::manifests(&tempo).unwrap_err().to_string()
}

#[test]
fn a_pod_template_that_clashes_is_refused() {
    let volume = pod_refusal("{ volumes: [{ name: config, emptyDir: {} }] }");
    assert!(
        volume.starts_with("spec.tempo.podTemplate.volumes: there are two volumes called \"config\""),
        "{volume}"
    );
    let mount = pod_refusal("{ volumeMounts: [{ name: nowhere, mountPath: /x }] }");
    assert!(mount.contains("mounts volume \"nowhere\", which there is not"), "{mount}");
    let path = pod_refusal(
        "{ volumes: [{ name: x, emptyDir: {} }], volumeMounts: [{ name: x, mountPath: /conf }] }",
    );
    assert!(path.starts_with("spec.tempo.podTemplate.volumeMounts"), "{path}");
}

#[test]
fn keys_without_effect_are_told_where_they_stand() {
    let tempo =
        tempo(&format!("{SINGLE}  config: {{ query_frontend: {{ mcp_server: {{ enabled: true }} }} }}\n"));
    for target in [Target::Kubernetes, Target::Local] {
        let warnings = render::warnings(&tempo, target).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].path, "spec.config.query_frontend.mcp_server");
        assert!(warnings[0].message.contains("no MCP server"), "{warnings:?}");
    }
}

/// The keys that hold secrets are listed in `schemas/api`, which does not know this schema.
#[test]
fn no_key_that_holds_a_secret_takes_one_in_clear() {
    fn secrets(path: &[&str], schema: &Value, found: &mut Vec<Vec<String>>) {
        if schema["format"] == "password" {
            found.push(path.iter().map(|step| (*step).to_owned()).collect());
        }
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            secrets(&[path, &[key.as_str()]].concat(), schema, found);
        }
    }
    let mut found = Vec::new();
    secrets(&[], &tempoform_config::Config::json_schema(), &mut found);
    assert!(found.len() >= 3, "{found:?}");
    for path in found {
        let config = path.iter().rev().fold(json!("hunter2"), |inner, key| json!({ key.as_str(): inner }));
        let problems = tempoform_api::load("test", &format!("{SINGLE}  config: {config}\n")).unwrap_err();
        assert!(problems.to_string().contains("in clear"), "{path:?}: {problems}");
    }
}
