//! Rendered text becomes a typed object at once, and an unknown field is refused, so that a mistake in a template
//! fails a test here and not an API server there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Manifest, RenderError, engine};

/// Renders a template and reads it as an object of type `T`.
pub(crate) fn render<T>(template: &'static str, values: &impl Serialize) -> Result<Manifest, RenderError>
where
    T: Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned,
{
    parse::<T>(engine::render_value(template, values)?).map_err(|message| RenderError::Object {
        template,
        kind: T::KIND,
        message,
    })
}

/// Reads a value as an object of type `T`.
///
/// # Errors
/// Says which field `T` does not have or cannot take.
pub(crate) fn parse<T>(source: Value) -> Result<Manifest, String>
where
    T: Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned,
{
    if (&source["apiVersion"], &source["kind"]) != (&T::API_VERSION.into(), &T::KIND.into()) {
        return Err(format!("it is not a {} of {}", T::KIND, T::API_VERSION));
    }
    let object: T = T::deserialize(&source).map_err(|e| e.to_string())?;
    let value = serde_json::to_value(&object).map_err(|e| e.to_string())?;
    if let Some(path) = lost(&source, &value) {
        return Err(format!("there is no field {path}"));
    }
    let metadata = object.metadata();
    Ok(Manifest {
        api_version: T::API_VERSION.to_owned(),
        kind: T::KIND.to_owned(),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone().ok_or("it has no name")?,
        value,
    })
}

/// The first path of `source` that did not survive the typed round trip. The generated types skip unknown fields
/// in silence; comparing is how they are noticed.
fn lost(source: &Value, typed: &Value) -> Option<String> {
    match (source, typed) {
        (Value::Object(source), Value::Object(typed)) => source
            .iter()
            .filter(|(_, value)| !value.is_null())
            .find_map(|(key, value)| match typed.get(key) {
                None => Some(key.clone()),
                Some(typed) => lost(value, typed).map(|rest| join(key, &rest)),
            }),
        (Value::Array(source), Value::Array(typed)) if source.len() == typed.len() => {
            source.iter().zip(typed).enumerate().find_map(|(index, (source, typed))| {
                lost(source, typed).map(|rest| join(&format!("[{index}]"), &rest))
            })
        }
        (source, typed) if source == typed => None,
        _ => Some(String::new()),
    }
}

fn join(head: &str, rest: &str) -> String {
    match rest {
        "" => head.to_owned(),
        rest if rest.starts_with('[') => format!("{head}{rest}"),
        rest => format!("{head}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_are_named() {
        let service = |ports: Value| {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "b"},
                   "spec": {"ports": ports}})
        };
        let good = parse::<Service>(service(json!([{"port": 1, "targetPort": "http"}]))).unwrap();
        assert_eq!(
            (good.kind.as_str(), good.name.as_str(), good.namespace.as_deref()),
            ("Service", "a", Some("b"))
        );
        let bad = parse::<Service>(service(json!([{"port": 1}, {"port": 2, "targetport": 3}]))).unwrap_err();
        assert_eq!(bad, "there is no field spec.ports[1].targetport");
        assert!(parse::<Service>(service(json!([{"port": "1"}]))).is_err());
        assert!(parse::<Service>(json!({"apiVersion": "v1", "kind": "Service", "metadata": {}})).is_err());
    }
}
