use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::Config;
use crate::compatibility::{IGNORED, IGNORED_LIMITS, Ignored};

impl Config {
    /// The JSON schema (draft 2020-12) of a configuration file, for editors and documentation. Keys of
    /// Tempo that have no effect are in it as deprecated, with the reason; older names of settings are read
    /// too, but not in it.
    pub fn json_schema() -> Value {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Self>().to_value();
        add_ignored(&mut schema, "", IGNORED);
        add_ignored(&mut schema, "overrides.defaults", IGNORED_LIMITS);
        schema
    }
}

fn add_ignored(schema: &mut Value, parent: &str, table: &[Ignored]) {
    for Ignored { section, keys, why } in table {
        let mut steps = parent.split('.').chain(section.split('.')).filter(|step| !step.is_empty());
        let Some(place) = steps.try_fold(&mut *schema, property) else { continue };
        for key in *keys {
            let about = json!({ "deprecated": true, "description": format!("Has no effect: {why}.") });
            match key.strip_suffix('*') {
                Some(prefix) => place["patternProperties"][format!("^{prefix}")] = about,
                None => place["properties"][*key] = about,
            }
        }
    }
}

/// The schema of a property; inside the alternative that is a mapping where the property may be missing.
fn property<'s>(schema: &'s mut Value, name: &str) -> Option<&'s mut Value> {
    let schema = schema.get_mut("properties")?.get_mut(name)?;
    if schema.get("anyOf").is_none() {
        return Some(schema);
    }
    schema
        .get_mut("anyOf")?
        .as_array_mut()?
        .iter_mut()
        .find(|alternative| alternative.get("properties").is_some())
}
