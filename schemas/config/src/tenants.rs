use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempoform_document::{Problem, Problems, path};

use crate::{Limits, Overrides, compatibility, load, validate};

/// Name of the entry for tenants that have none of their own.
const WILDCARD: &str = "*";

/// The limits of single tenants, from the file `overrides.per_tenant_override_config`:
///
/// ```yaml
/// overrides:
///   team-a: { compaction: { block_retention: 720h } }
///   "*": { ingestion: { rate_limit_bytes: 5MB } }
/// ```
///
/// An entry, `*` too, takes every key it does not name from `overrides.defaults`. This differs from Tempo on
/// purpose: there a key left out becomes zero, so that a tenant with only a retention has a rate limit of
/// zero and every span of it is refused (grafana/tempo#7238, #4996).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantOverrides {
    limits: Arc<BTreeMap<String, Limits>>,
    /// What entries set, and nothing else.
    entries: Arc<BTreeMap<String, Value>>,
    warnings: Problems,
}

/// The file, for the check of its form.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TenantFile {
    /// Limits by tenant.
    overrides: BTreeMap<String, Limits>,
}

impl TenantOverrides {
    /// Reads a file of tenants' limits; what an entry leaves out is taken from `defaults`. An empty file has
    /// no entries.
    ///
    /// # Errors
    /// Every problem: unknown keys, wrong types, names that are no tenant's, limits without sense.
    pub fn load(text: &str, source_name: impl Into<String>, defaults: &Limits) -> Result<Self, Problems> {
        let mut problems = Problems::new(source_name);
        let Some(mut document) = load::the_document(text, &mut problems) else {
            return problems.into_result(Self::default());
        };
        let notes = compatibility::adapt_tenants(&mut document, &mut problems);
        if let Err(more) = document.decode::<TenantFile>() {
            problems.extend(more);
        }
        let problems_of_form = problems.len();
        let defaults = serde_json::to_value(defaults).unwrap_or_default();
        let (mut limits, mut entries) = (BTreeMap::new(), BTreeMap::new());
        for (name, entry) in document.value()["overrides"].as_object().into_iter().flatten() {
            let at = path::child("overrides", name);
            problems.extend(wrong_name(name, &at).map(|problem| document.locate(problem)));
            if problems_of_form > 0 {
                continue;
            }
            let mut whole = defaults.clone();
            overlay(&mut whole, entry);
            entries.insert(name.clone(), entry.clone());
            match serde_json::from_value::<Limits>(whole) {
                Ok(entry) => {
                    let wrong = validate::limits(&entry, &at);
                    problems.extend(wrong.into_iter().map(|problem| document.locate(problem)));
                    limits.insert(name.clone(), entry);
                }
                Err(error) => problems.push(document.locate(Problem::new(at, error.to_string()))),
            }
        }
        let mut warnings = document.problems();
        warnings.extend(notes);
        problems.into_result(Self { limits: Arc::new(limits), entries: Arc::new(entries), warnings })
    }

    /// The limits of tenant `name`: of its own entry, else of `*`; none if there is neither.
    pub fn get(&self, name: &str) -> Option<&Limits> {
        self.limits.get(name).or_else(|| self.limits.get(WILDCARD))
    }

    /// The tenants with an entry of their own, and their limits, sorted by name; `*` is among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Limits)> {
        self.limits.iter().map(|(name, limits)| (name.as_str(), limits))
    }

    /// What the entries set, and nothing else, sorted by name; `*` is among them.
    pub(crate) fn entries(&self) -> &BTreeMap<String, Value> {
        &self.entries
    }

    /// What the entry that holds for tenant `name` sets, and whether it is `*`'s instead of its own.
    pub(crate) fn entry(&self, name: &str) -> Option<(&Value, bool)> {
        match self.entries.get(name) {
            Some(own) => Some((own, false)),
            None => self.entries.get(WILDCARD).map(|of_all| (of_all, true)),
        }
    }

    /// Keys of the file that have no effect, with the reason.
    pub fn warnings(&self) -> &Problems {
        &self.warnings
    }
}

impl Overrides {
    /// The limits that hold for tenant `name`.
    pub fn for_tenant(&self, name: &str) -> &Limits {
        self.tenants.get(name).unwrap_or(&self.defaults)
    }

    /// Puts in place what a file of tenants' limits says, read from `text`.
    ///
    /// # Errors
    /// As [`TenantOverrides::load`]; the limits in place stay then.
    pub fn reload_tenants(&mut self, text: &str, source_name: impl Into<String>) -> Result<(), Problems> {
        self.tenants = TenantOverrides::load(text, source_name, &self.defaults)?;
        Ok(())
    }
}

/// Puts `over` on top of `under`, key by key; lists and scalars are replaced.
fn overlay(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                overlay(under.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

fn wrong_name(name: &str, at: &str) -> Option<Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
    let is_name = (1..=150).contains(&name.len()) && name != "." && name != ".." && name.chars().all(plain);
    (!is_name).then(|| {
        Problem::new(at, "is not the name of a tenant").help(
            "names have 1 to 150 letters, digits and ! - _ . * ' ( ); \"*\" stands for all other tenants",
        )
    })
}

#[cfg(test)]
mod tests;
