use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::fallback::Fallback;
use crate::{FallbackLimits, Overrides};

/// Where a limit of a tenant was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitOrigin {
    /// `overrides.defaults`, or the default of the key itself.
    Default,
    /// The entry `*`, for tenants without one of their own.
    Wildcard,
    /// The tenant's own entry.
    Tenant,
}

/// A limit that holds, and where it was set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveLimit {
    /// As in the configuration.
    pub value: Value,
    /// Where it was set.
    pub origin: LimitOrigin,
    /// The setting that it is taken from, where that is another than the limit's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<&'static str>,
}

/// The limits that hold for one tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectiveLimits {
    /// The tenant.
    pub tenant: String,
    /// By section and key, as in the configuration.
    pub limits: BTreeMap<String, BTreeMap<String, EffectiveLimit>>,
}

/// What is set for all tenants, and what for single ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetLimits<'a> {
    /// What holds for tenants without an entry, and for what an entry leaves out.
    pub defaults: Value,
    /// What the entries of tenants set, and nothing else.
    pub overrides: &'a BTreeMap<String, Value>,
}

impl Overrides {
    /// The limits that hold for tenant `name`, and where each was set.
    pub fn effective(&self, name: &str, elsewhere: &FallbackLimits) -> EffectiveLimits {
        let (entry, origin) = match self.tenants.entry(name) {
            Some((entry, false)) => (entry, LimitOrigin::Tenant),
            Some((entry, true)) => (entry, LimitOrigin::Wildcard),
            None => (&Value::Null, LimitOrigin::Default),
        };
        let limit = |section: &str, key: &str, value: &Value| {
            let is_set = entry.get(section).is_some_and(|section| section.get(key).is_some());
            let origin = if is_set { origin } else { LimitOrigin::Default };
            match elsewhere.instead_of(section, key, value) {
                Some(Fallback { setting, value, .. }) => EffectiveLimit {
                    value: value.clone(),
                    origin: LimitOrigin::Default,
                    setting: Some(setting),
                },
                None => EffectiveLimit { value: value.clone(), origin, setting: None },
            }
        };
        let limits = serde_json::to_value(self.for_tenant(name)).unwrap_or_default();
        let sections = limits.as_object().into_iter().flatten().map(|(section, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            let keys = keys.map(|(key, value)| (key.clone(), limit(section, key, value))).collect();
            (section.clone(), keys)
        });
        EffectiveLimits { tenant: name.to_owned(), limits: sections.collect() }
    }

    /// What is set for all tenants, and what for single ones.
    pub fn set_limits(&self, elsewhere: &FallbackLimits) -> SetLimits<'_> {
        let mut defaults = serde_json::to_value(&self.defaults).unwrap_or_default();
        for (section, keys) in defaults.as_object_mut().into_iter().flatten() {
            for (key, value) in keys.as_object_mut().into_iter().flatten() {
                if let Some(fallback) = elsewhere.instead_of(section, key, value) {
                    *value = fallback.value.clone();
                }
            }
        }
        SetLimits { defaults, overrides: self.tenants.entries() }
    }
}

impl EffectiveLimits {
    /// The limits as an entry of the file of tenants' limits could set them, with where each was set as a comment.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        for (section, limits) in &self.limits {
            text.push_str(&format!("{section}:\n"));
            for (key, EffectiveLimit { value, origin, setting }) in limits {
                let origin = match origin {
                    LimitOrigin::Default => "default",
                    LimitOrigin::Wildcard => "wildcard",
                    LimitOrigin::Tenant => "tenant",
                };
                // JSON is YAML.
                let setting = setting.map_or(String::new(), |setting| format!(", by {setting}"));
                text.push_str(&format!("  {key}: {value} # {origin}{setting}\n"));
            }
        }
        text
    }
}

impl SetLimits<'_> {
    /// As YAML.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("limits have text keys and no aliases")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Config;

    const FILE: &str = "overrides:\n  team-a: {compaction: {block_retention: 720h}}\n  legacy: {ingestion_rate_limit_bytes: 7}\n  '*': {global: {max_bytes_per_trace: 2}}\n";

    fn overrides() -> Overrides {
        let mut overrides = Overrides::default();
        overrides.reload_tenants(FILE, "tenants.yaml").unwrap();
        overrides
    }

    fn elsewhere() -> FallbackLimits {
        Config::default().fallback_limits()
    }

    #[test]
    fn what_is_set_elsewhere_is_shown_with_the_setting() {
        let overrides = overrides();
        let shown = overrides.effective("other", &elsewhere());
        let of = |section: &str, key: &str| {
            let EffectiveLimit { value, origin, setting } = shown.limits[section][key].clone();
            assert_eq!(origin, LimitOrigin::Default, "{key}");
            (value, setting.unwrap_or_default())
        };
        assert_eq!(
            of("compaction", "block_retention"),
            (json!("336h"), "compactor.compaction.block_retention")
        );
        assert_eq!(
            of("compaction", "compaction_window"),
            (json!("1h"), "compactor.compaction.compaction_window")
        );
        assert_eq!(of("read", "max_search_duration"), (json!("168h"), "query_frontend.search.max_duration"));
        assert_eq!(of("ingestion", "max_attribute_bytes"), (json!(2048), "distributor.max_attribute_bytes"));
        let yaml = shown.to_yaml();
        assert!(
            yaml.contains(
                "  compaction_window: \"1h\" # default, by compactor.compaction.compaction_window\n"
            ),
            "{yaml}"
        );
        // 0 blocks is any number of them, and nothing else.
        let any = &shown.limits["read"]["max_blocks_per_tag_values_query"];
        assert_eq!((&any.value, any.setting), (&json!(0), None));
        assert_eq!(overrides.set_limits(&elsewhere()).defaults["compaction"]["block_retention"], "336h");
    }

    /// Ask 7: a tenant with only a retention keeps its rates.
    #[test]
    fn each_limit_tells_where_it_was_set() {
        let of = |tenant: &str, section: &str, key: &str| {
            let limit = overrides().effective(tenant, &elsewhere()).limits[section][key].clone();
            (limit.value, limit.origin)
        };
        assert_eq!(of("team-a", "compaction", "block_retention"), (json!("720h"), LimitOrigin::Tenant));
        assert_eq!(of("team-a", "ingestion", "rate_limit_bytes"), (json!(30_000_000), LimitOrigin::Default));
        assert_eq!(of("team-a", "global", "max_bytes_per_trace"), (json!(5_000_000), LimitOrigin::Default));
        assert_eq!(of("other", "global", "max_bytes_per_trace"), (json!(2), LimitOrigin::Wildcard));
        assert_eq!(of("legacy", "ingestion", "rate_limit_bytes"), (json!(7), LimitOrigin::Tenant));
    }

    #[test]
    fn what_is_shown_can_be_written_as_an_entry() {
        let overrides = overrides();
        let shown = overrides.effective("team-a", &elsewhere()).to_yaml();
        assert!(shown.contains("  block_retention: \"720h\" # tenant\n"), "{shown}");
        let entry: String = shown.lines().map(|line| format!("    {line}\n")).collect();
        let mut again = Overrides::default();
        again.reload_tenants(&format!("overrides:\n  team-a:\n{entry}"), "again.yaml").unwrap();
        let values = |overrides: &Overrides| {
            let sections = overrides.effective("team-a", &elsewhere()).limits.into_iter();
            let of_section = |limits: BTreeMap<_, EffectiveLimit>| {
                limits.into_iter().map(|(key, limit)| (key, limit.value)).collect::<Vec<_>>()
            };
            sections.map(|(section, limits)| (section, of_section(limits))).collect::<Vec<_>>()
        };
        assert_eq!(values(&again), values(&overrides));
    }

    #[test]
    fn entries_are_listed_with_what_they_set_only() {
        let overrides = overrides();
        let elsewhere = elsewhere();
        let listed = overrides.set_limits(&elsewhere);
        assert_eq!(listed.overrides["team-a"], json!({"compaction": {"block_retention": "720h"}}));
        let names: Vec<_> = listed.overrides.keys().collect();
        assert_eq!(names, ["*", "legacy", "team-a"]);
        assert!(listed.to_yaml().contains("rate_limit_bytes: 30000000"), "{}", listed.to_yaml());
    }
}
