use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::Config;

/// How much of a configuration is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum YamlMode {
    /// All of it.
    #[default]
    Full,
    /// What differs from the defaults (`mode=diff`).
    Diff,
    /// The defaults themselves (`mode=defaults`).
    Defaults,
}

/// A `mode` that `/status/config` does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mode {0:?} is not known; use diff, defaults, or none for everything")]
pub struct UnknownMode(String);

impl FromStr for YamlMode {
    type Err = UnknownMode;

    fn from_str(mode: &str) -> Result<Self, UnknownMode> {
        match mode {
            "" => Ok(Self::Full),
            "diff" => Ok(Self::Diff),
            "defaults" => Ok(Self::Defaults),
            other => Err(UnknownMode(other.to_owned())),
        }
    }
}

impl Config {
    /// The configuration as YAML, secrets masked, as `/status/config` shows it.
    pub fn to_yaml(&self, mode: YamlMode) -> String {
        match mode {
            YamlMode::Full => yaml(self),
            YamlMode::Defaults => yaml(&Self::default()),
            YamlMode::Diff => {
                let (ours, defaults) = (json(self), json(&Self::default()));
                yaml(&difference(&ours, &defaults).unwrap_or_else(|| Value::Object(Map::new())))
            }
        }
    }
}

fn json(config: &Config) -> Value {
    serde_json::to_value(config).expect("a configuration has text keys and finite numbers only")
}

fn yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(value).expect("a configuration has text keys and no aliases")
}

/// What `ours` has other than `theirs`; none if nothing.
fn difference(ours: &Value, theirs: &Value) -> Option<Value> {
    let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) else {
        return (ours != theirs).then(|| ours.clone());
    };
    let differs = |(key, value): (&String, &Value)| {
        let difference = difference(value, theirs.get(key).unwrap_or(&Value::Null))?;
        Some((key.clone(), difference))
    };
    let map: Map<String, Value> = ours.iter().filter_map(differs).collect();
    (!map.is_empty()).then_some(Value::Object(map))
}
