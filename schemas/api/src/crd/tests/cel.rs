//! The CEL rules, evaluated.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::schema;
use crate::spec::Tempo;
use crate::validate::validate_for;
use crate::validated::Target;

/// `cel.yaml`.
#[derive(Deserialize)]
struct Cases {
    refused: Vec<Case>,
    accepted: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Words of the rule that refuses it.
    #[serde(default)]
    words: String,
    name: Option<String>,
    spec: Value,
}

impl Case {
    fn document(&self) -> Value {
        let name = self.name.as_deref().unwrap_or("traces");
        json!({ "apiVersion": crate::API_VERSION, "kind": crate::KIND, "metadata": { "name": name }, "spec": self.spec })
    }
}

fn cases() -> Cases {
    serde_saphyr::from_str(include_str!("cel.yaml")).unwrap()
}

fn messages(schema: &Value, document: &Value) -> BTreeSet<String> {
    match kube_cel::validate(schema, document, None) {
        Ok(()) => BTreeSet::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

#[test]
fn rules_refuse_what_they_say() {
    let schema = schema();
    for case in cases().refused {
        let (words, document) = (&case.words, case.document());
        let messages = messages(&schema, &document);
        assert!(
            !words.is_empty() && messages.iter().any(|message| message.contains(words)),
            "{words:?} in {messages:?} for {document}"
        );
    }
}

#[test]
fn every_rule_has_its_case() {
    let schema = schema();
    let told: BTreeSet<_> =
        cases().refused.iter().flat_map(|case| messages(&schema, &case.document())).collect();
    let mut rules = BTreeSet::new();
    super::walk("", schema.as_object().unwrap(), &mut |_, schema| {
        let validations = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        for rule in validations.into_iter().flatten() {
            rules.insert(rule["message"].as_str().unwrap().to_owned());
        }
    });
    assert_eq!(rules.difference(&told).cloned().collect::<Vec<_>>(), super::NONE);
}

#[test]
fn validation_refuses_whatever_the_rules_refuse() {
    for case in cases().refused {
        let tempo: Tempo = serde_json::from_value(case.document()).unwrap();
        assert!(validate_for(&tempo, Target::Kubernetes).is_err(), "{}", case.words);
    }
}

#[test]
fn valid_documents_pass() {
    let schema = schema();
    for case in cases().accepted {
        let document = case.document();
        assert_eq!(messages(&schema, &document), BTreeSet::new(), "{document}");
        let tempo: Tempo = serde_json::from_value(document).unwrap();
        validate_for(&tempo, Target::Kubernetes).unwrap();
    }
}
