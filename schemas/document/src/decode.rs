use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::path::{self, Step};
use crate::{Document, Problem, Problems, explain};

/// What becomes of a plain scalar such as `1e5` or `true` where a text belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scalars {
    /// It is a problem, as in Kubernetes.
    #[default]
    Strict,
    /// It is taken as it is written, as Go programs do: a secret `1e5` stays `1e5`.
    AsWritten,
}

impl Document {
    /// Makes a `T` of the document, after checking it against the JSON schema of `T`.
    ///
    /// # Errors
    /// Everything that is wrong, with positions: unknown keys, missing ones, wrong types and values.
    pub fn decode<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Problems> {
        self.decode_with(Scalars::Strict)
    }

    /// The same, with a choice of what plain scalars become where a text belongs.
    ///
    /// # Errors
    /// As [`Document::decode`].
    pub fn decode_with<T: DeserializeOwned + JsonSchema>(&self, scalars: Scalars) -> Result<T, Problems> {
        let schema = schema_of::<T>();
        let value = match scalars {
            Scalars::Strict => self.value().clone(),
            Scalars::AsWritten => self.with_texts_as_written(&schema),
        };
        self.check_value(&value, &schema).into_result(())?;
        serde_path_to_error::deserialize(value).map_err(|error| self.refused_by_type(&error))
    }

    /// Checks the document against a JSON schema; every problem has its position.
    pub fn check(&self, schema: &Value) -> Problems {
        self.check_value(self.value(), schema)
    }

    fn check_value(&self, value: &Value, schema: &Value) -> Problems {
        let mut problems = self.problems();
        match jsonschema::validator_for(schema) {
            Ok(validator) => {
                let found = validator.iter_errors(value).flat_map(|error| explain::explain(&error, schema));
                problems.extend(found.map(|problem| self.locate(problem)));
            }
            Err(error) => {
                problems
                    .push(Problem::new("", format!("the schema to check against is not usable: {error}")));
            }
        }
        problems.sort();
        problems
    }

    /// The document's value with plain scalars turned into texts wherever the schema wants a text.
    fn with_texts_as_written(&self, schema: &Value) -> Value {
        let Ok(validator) = jsonschema::validator_for(schema) else { return self.value().clone() };
        let mut value = self.value().clone();
        for error in validator.iter_errors(self.value()) {
            self.take_as_written(&error, &mut value);
        }
        value
    }

    fn take_as_written(&self, error: &ValidationError<'_>, value: &mut Value) {
        if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } =
            error.kind()
        {
            context.iter().flatten().for_each(|inner| self.take_as_written(inner, value));
        }
        if !wants_text(error) {
            return;
        }
        let steps = explain::steps_of(error.instance_path());
        if let Some(scalar) = value.pointer_mut(error.instance_path().as_str()) {
            let written = self.written(&steps).map_or_else(|| scalar.to_string(), str::to_owned);
            *scalar = Value::String(written);
        }
    }

    /// What the schema could not see, such as an overflow; the first such thing only.
    fn refused_by_type(&self, error: &serde_path_to_error::Error<serde_json::Error>) -> Problems {
        use serde_path_to_error::Segment;
        let steps = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.as_str().into())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let mut problems = self.problems();
        problems.push(self.locate(Problem::new(path::join(steps), error.inner().to_string())));
        problems
    }
}

/// Whether a number, true or false stands where only a text may be.
fn wants_text(error: &ValidationError<'_>) -> bool {
    let text = match error.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => kind.to_string() == "string",
        ValidationErrorKind::Type { kind: TypeKind::Multiple(kinds) } => {
            kinds.iter().all(|kind| ["string", "null"].contains(&kind.as_str()))
        }
        _ => false,
    };
    text && matches!(error.instance().as_ref(), Value::Number(_) | Value::Bool(_))
}

/// The JSON schema of `T`, with the ranges that schemars leaves to the `format`.
fn schema_of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    bound_integers(&mut schema);
    schema
}

fn bound_integers(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let range = match map.get("format").and_then(Value::as_str) {
                Some("uint32") => Some((0, i64::from(u32::MAX))),
                Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
                _ => None,
            };
            if let Some((least, most)) = range {
                map.entry("minimum").or_insert_with(|| least.into());
                map.entry("maximum").or_insert_with(|| most.into());
            }
            map.values_mut().for_each(bound_integers);
        }
        Value::Array(list) => list.iter_mut().for_each(bound_integers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
