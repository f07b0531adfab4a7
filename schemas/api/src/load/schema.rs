//! The JSON schema that documents are checked against: that of the CRD, closed.
//!
//! Kubernetes' own types leave their schemas open, and their deserializers skip what they do not know; here a
//! field that nobody would read is an error wherever it stands.

use std::sync::OnceLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::crd::crd;
use crate::{API_VERSION, KIND};

/// The schema of a whole document.
pub(super) fn document() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(build)
}

fn build() -> Value {
    let definition = serde_json::to_value(crd()).expect("a definition is plain data");
    let own = |name: &str| {
        let pointer = format!("/spec/versions/0/schema/openAPIV3Schema/properties/{name}");
        definition.pointer(&pointer).cloned().unwrap_or(Value::Bool(true))
    };
    let mut schema = json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "const": API_VERSION },
            "kind": { "const": KIND },
            "metadata": metadata(),
            "spec": own("spec"),
            "status": true,
        },
    });
    close(&mut schema);
    schema
}

fn metadata() -> Value {
    let mut generator = schemars::generate::SchemaSettings::openapi3()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let mut metadata = generator.root_schema_for::<ObjectMeta>().to_value();
    if let Some(fields) = metadata.pointer_mut("/properties/creationTimestamp").and_then(Value::as_object_mut)
    {
        // `null` is what Kubernetes' own tools write for an object that does not exist yet.
        fields.remove("type");
    }
    metadata
}

/// Forbids what a schema does not name, wherever it names anything.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let open = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            let named = fields.get("properties").is_some_and(Value::is_object);
            if named && !open && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            for (key, inner) in fields.iter_mut() {
                match (key.as_str(), inner) {
                    ("properties", Value::Object(properties)) => properties.values_mut().for_each(close),
                    ("items" | "additionalProperties", inner) => close(inner),
                    _ => {}
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
