use serde::Serialize;
use serde_json::Value;

use crate::Config;

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
    /// What holds for limits that are not set in `overrides`, in this process.
    pub fn fallback_limits(&self) -> FallbackLimits {
        let compaction = &self.compactor.compaction;
        let fallback = |section, key, setting, value| Fallback { section, key, setting, value };
        FallbackLimits(vec![
            fallback(
                "compaction",
                "block_retention",
                "compactor.compaction.block_retention",
                json(&compaction.block_retention),
            ),
            fallback(
                "compaction",
                "compaction_window",
                "compactor.compaction.compaction_window",
                json(&compaction.compaction_window),
            ),
            fallback(
                "read",
                "max_search_duration",
                "query_frontend.search.max_duration",
                json(&self.query_frontend.search.max_duration),
            ),
            fallback(
                "ingestion",
                "max_attribute_bytes",
                "distributor.max_attribute_bytes",
                json(&self.distributor.max_attribute_bytes),
            ),
            fallback(
                "storage",
                "parquet_dedicated_columns",
                "storage.trace.block.parquet_dedicated_columns",
                json(&self.storage.trace.block.parquet_dedicated_columns),
            ),
        ])
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
