use serde_json::{Map, Value};

use super::*;

mod cel;

/// Every schema in `schema`, with its path.
fn walk<'a>(
    path: &str,
    schema: &'a Map<String, Value>,
    visit: &mut impl FnMut(&str, &'a Map<String, Value>),
) {
    visit(path, schema);
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), property.as_object().expect("a schema is an object"), visit);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key).and_then(Value::as_object) {
            walk(&format!("{path}.{key}"), inner, visit);
        }
    }
}

fn schema() -> Value {
    let definition = serde_json::to_value(crd()).unwrap();
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
}

fn violations(mut check: impl FnMut(&Map<String, Value>) -> bool) -> Vec<String> {
    let schema = schema();
    let mut paths = Vec::new();
    walk("", schema.as_object().unwrap(), &mut |path, schema| {
        if check(schema) {
            paths.push(path.to_owned());
        }
    });
    paths
}

const NONE: Vec<String> = Vec::new();

#[test]
fn every_schema_has_a_type_or_says_why_not() {
    let untyped = violations(|schema| {
        !schema.contains_key("type")
            && schema.get("x-kubernetes-int-or-string") != Some(&Value::Bool(true))
            && schema.get("x-kubernetes-preserve-unknown-fields") != Some(&Value::Bool(true))
    });
    assert_eq!(untyped, NONE);
}

#[test]
fn schema_is_structural() {
    assert_eq!(violations(|schema| schema.contains_key("$ref")), NONE);
    assert_eq!(
        violations(|schema| schema.contains_key("properties") && schema.contains_key("additionalProperties")),
        NONE
    );
    assert_eq!(
        violations(|schema| schema.get("additionalProperties").is_some_and(Value::is_boolean)),
        NONE,
        "the API server prunes what is not named by itself"
    );
    assert_eq!(violations(|schema| schema.get("type").is_some_and(Value::is_array)), NONE);
    for unsupported in
        ["definitions", "$defs", "patternProperties", "propertyNames", "const", "if", "uniqueItems"]
    {
        assert_eq!(violations(|schema| schema.contains_key(unsupported)), NONE, "{unsupported}");
    }
    // Inside of these, a structural schema must not have types, except for int-or-string.
    assert_eq!(
        violations(|schema| {
            ["anyOf", "oneOf", "allOf", "not"].iter().any(|key| schema.contains_key(*key))
                && schema.get("x-kubernetes-int-or-string") != Some(&Value::Bool(true))
        }),
        NONE
    );
}

#[test]
fn the_api_server_fills_in_nothing() {
    assert_eq!(violations(|schema| schema.contains_key("default")), NONE);
    assert_eq!(violations(|schema| schema.contains_key("nullable")), NONE);
}

#[test]
fn formats_are_known_to_kubernetes() {
    let unknown = violations(|schema| {
        let format = schema.get("format").and_then(Value::as_str);
        format.is_some_and(|format| !["int32", "int64", "double", "date-time"].contains(&format))
    });
    assert_eq!(unknown, NONE);
}

#[test]
fn list_maps_have_their_keys_required() {
    let wrong = violations(|schema| {
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        let required = schema.get("items").and_then(|items| items.get("required")).and_then(Value::as_array);
        keys.is_some_and(|keys| {
            !required.is_some_and(|required| keys.iter().all(|key| required.contains(key)))
        })
    });
    assert_eq!(wrong, NONE);
}

#[test]
fn every_field_of_ours_is_described() {
    const KUBERNETES: [&str; 12] = [
        "affinity",
        "behavior",
        "conditions",
        "envFrom",
        "extraEgress",
        "extraEnv",
        "imagePullSecrets",
        "instanceSelector",
        "resources",
        "securityContext",
        "tolerations",
        "topologySpreadConstraints",
    ];
    let schema = schema();
    let mut silent = Vec::new();
    walk("", schema.as_object().unwrap(), &mut |path, schema| {
        let kubernetes = KUBERNETES.iter().any(|name| path.contains(&format!(".{name}.")));
        let field = !path.ends_with(".items") && !path.ends_with(".additionalProperties") && !path.is_empty();
        let raw = path.ends_with(".items.name");
        if field && !kubernetes && !raw && !schema.contains_key("description") {
            silent.push(path.to_owned());
        }
    });
    assert_eq!(silent, NONE);
}

#[test]
fn fits_into_a_client_side_apply_too() {
    // kubectl keeps the whole definition in an annotation, and those end at 256 KiB in sum.
    let json = serde_json::to_string(&crd()).unwrap();
    assert!(json.len() < 200 * 1024, "{} bytes", json.len());
}

#[test]
fn yaml_is_the_same_definition() {
    let read = tempoform_document::Document::parse_all("crd.yaml", &crd_yaml()).unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].value(), &serde_json::to_value(crd()).unwrap());
}

/// The whole definition; `cargo insta accept` after a change that is meant.
#[test]
fn golden() {
    insta::assert_snapshot!(crd_yaml());
}
