//! Puts a derived schema into the form that the Kubernetes API server accepts.

use serde_json::{Map, Value, json};

use super::rules;

/// Formats that the API server knows, of those that can occur. Others make it warn on every apply.
const KNOWN_FORMATS: [&str; 6] = ["int32", "int64", "float", "double", "date-time", "byte"];

/// Fields of ours that hold Kubernetes' own types, whose descriptions are left to Kubernetes' documentation.
const KUBERNETES_TYPES: [&str; 12] = [
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

/// Rewrites every schema of a serialized `CustomResourceDefinition`.
pub(super) fn rewrite(mut definition: Value) -> Value {
    let versions = definition.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
    for version in versions.into_iter().flatten() {
        if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
            rewrite_schema(schema);
            schema["x-kubernetes-validations"] = rules::root();
        }
    }
    definition
}

fn rewrite_schema(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    // Defaults are ours to apply, not the API server's: the stored document stays as its author wrote it.
    schema.remove("default");
    // Absent and null are the same to us, and server-side apply treats null as a value.
    schema.remove("nullable");
    close_object(schema);
    drop_unknown_format(schema);
    name_both_types(schema);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, property) in properties.iter_mut() {
            rewrite_schema(property);
            if KUBERNETES_TYPES.contains(&name.as_str()) {
                drop_inner_descriptions(property);
            }
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            rewrite_schema(inner);
        }
    }
}

/// A structural schema says what an object has, or of what kind its values are, never both; what it does not
/// name is pruned, and reported when the client asks for strict validation.
fn close_object(schema: &mut Map<String, Value>) {
    if schema.get("additionalProperties").is_some_and(Value::is_boolean) {
        schema.remove("additionalProperties");
    }
}

/// What a format says about unsigned numbers becomes a bound.
fn drop_unknown_format(schema: &mut Map<String, Value>) {
    let Some(format) = schema.get("format").and_then(Value::as_str) else { return };
    if KNOWN_FORMATS.contains(&format) {
        return;
    }
    let most = match format {
        "uint16" => Some(u32::from(u16::MAX)),
        "uint32" => Some(u32::MAX),
        _ => None,
    };
    schema.remove("format");
    if let Some(most) = most {
        schema.entry("maximum").or_insert_with(|| most.into());
    }
}

/// The one form in which a structural schema may have types inside of `anyOf`.
fn name_both_types(schema: &mut Map<String, Value>) {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        schema.insert("anyOf".to_owned(), json!([{ "type": "integer" }, { "type": "string" }]));
    }
}

/// Removes the descriptions below a schema, not its own.
fn drop_inner_descriptions(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    for (key, inner) in schema.iter_mut() {
        match (key.as_str(), inner) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(drop_descriptions),
            ("items" | "additionalProperties", inner) => drop_descriptions(inner),
            _ => {}
        }
    }
}

fn drop_descriptions(schema: &mut Value) {
    drop_inner_descriptions(schema);
    if let Value::Object(schema) = schema {
        schema.remove("description");
    }
}
