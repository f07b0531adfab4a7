use serde::Serialize;
use serde_json::Value;

use crate::{Config, Target};

/// What holds for limits whose own value says "look elsewhere": 0, or an empty list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FallbackLimits(Vec<Fallback>);

/// A limit's value elsewhere in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fallback {
    section: &'static str,
    key: &'static str,
    /// The setting that it is taken from.
    pub(crate) setting: &'static str,
    pub(crate) value: Value,
}

impl Config {
    /// What holds for limits that are not set in `overrides`, as far as this process runs who goes by it: the settings of other
    /// components may be others in their configurations.
    pub fn fallback_limits(&self) -> FallbackLimits {
        let compaction = &self.compactor.compaction;
        let fallback = |roles: &[Target], section, key, setting, value| {
            let is_here = roles.iter().any(|role| self.target.runs(*role));
            is_here.then_some(Fallback { section, key, setting, value })
        };
        let all = [
            fallback(
                &[Target::Compactor],
                "compaction",
                "block_retention",
                "compactor.compaction.block_retention",
                json(&compaction.block_retention),
            ),
            fallback(
                &[Target::Compactor],
                "compaction",
                "compaction_window",
                "compactor.compaction.compaction_window",
                json(&compaction.compaction_window),
            ),
            fallback(
                &[Target::QueryFrontend],
                "read",
                "max_search_duration",
                "query_frontend.search.max_duration",
                json(&self.query_frontend.search.max_duration),
            ),
            fallback(
                &[Target::Distributor],
                "ingestion",
                "max_attribute_bytes",
                "distributor.max_attribute_bytes",
                json(&self.distributor.max_attribute_bytes),
            ),
            fallback(
                &[Target::Ingester, Target::Compactor],
                "storage",
                "parquet_dedicated_columns",
                "storage.trace.block.parquet_dedicated_columns",
                json(&self.storage.trace.block.parquet_dedicated_columns),
            ),
        ];
        FallbackLimits(all.into_iter().flatten().collect())
    }
}

impl FallbackLimits {
    /// What holds instead of `value`, if that says so.
    pub(crate) fn instead_of(&self, section: &str, key: &str, value: &Value) -> Option<&Fallback> {
        let is_unset = match value {
            Value::Number(number) => number.as_u64() == Some(0),
            Value::String(duration) => duration == "0s",
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        self.0.iter().find(|fallback| is_unset && fallback.section == section && fallback.key == key)
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_components_elsewhere_are_not_told() {
        let settings = |target| -> Vec<&str> {
            let FallbackLimits(limits) = Config { target, ..Config::default() }.fallback_limits();
            limits.iter().map(|limit| limit.setting).collect()
        };
        assert_eq!(settings(Target::All).len(), 5);
        assert_eq!(settings(Target::Distributor), ["distributor.max_attribute_bytes"]);
        assert_eq!(settings(Target::Querier), [""; 0]);
        assert_eq!(settings(Target::Ingester), ["storage.trace.block.parquet_dedicated_columns"]);
    }
}
