//! Schemas of pieces that are passed on without being looked into.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An object with any content.
pub(crate) fn free_form_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of Kubernetes objects such as containers and volumes, of which only the name is known.
pub(crate) fn named_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": { "name": { "type": "string", "minLength": 1 } },
            "x-kubernetes-preserve-unknown-fields": true,
        },
    })
}
