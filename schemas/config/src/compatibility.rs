//! Keys of Grafana Tempo 2 and 3 that are called something else here, or mean nothing here.
//!
//! A Tempo file loads as it is: older names are moved to the present ones, and what has no effect is taken
//! out with a reason, before the strict check.

mod ignored;
mod renamed;

use serde_json::Value;
use tempoform_document::{Document, Problem, Problems, path};

pub(crate) use ignored::{IGNORED, IGNORED_LIMITS, Ignored};

/// Adapts a configuration file. Conflicts go to `problems`; the answer has a note on each key taken out.
pub(crate) fn adapt_config(document: &mut Document, problems: &mut Problems) -> Vec<Problem> {
    drop_nulls(document);
    for (from, to) in renamed::RENAMED {
        rename(document, from, to, problems);
    }
    for (from, to) in renamed::RENAMED_COMPACTION {
        for key in renamed::COMPACTION_KEYS {
            rename(document, &path::child(from, key), &path::child(to, key), problems);
        }
    }
    for (from, to) in renamed::RENAMED_LIMITS {
        let (from, to) = (path::child("overrides", from), format!("overrides.defaults.{to}"));
        rename(document, &from, &to, problems);
    }
    let mut notes = take_out(document, "", IGNORED);
    notes.extend(take_out(document, "overrides", IGNORED_LIMITS));
    notes.extend(take_out(document, "overrides.defaults", IGNORED_LIMITS));
    notes
}

/// Adapts a file of tenants' limits in the same way.
pub(crate) fn adapt_tenants(document: &mut Document, problems: &mut Problems) -> Vec<Problem> {
    drop_nulls(document);
    let tenants: Vec<String> = match document.get("overrides") {
        Some(Value::Object(tenants)) => tenants.keys().map(|name| path::child("overrides", name)).collect(),
        _ => Vec::new(),
    };
    let mut notes = Vec::new();
    for tenant in tenants {
        for (from, to) in renamed::RENAMED_LIMITS {
            rename(document, &path::child(&tenant, from), &format!("{tenant}.{to}"), problems);
        }
        notes.extend(take_out(document, &tenant, IGNORED_LIMITS));
    }
    notes
}

/// A key without value means its default, as in Tempo. Receivers are the exception: there it means "on".
fn drop_nulls(document: &mut Document) {
    let mut nulls = Vec::new();
    collect_nulls(document.value(), "", &mut nulls);
    for null in nulls.iter().filter(|path| !is_receiver(path)) {
        document.remove(null);
    }
}

/// Whether `path` is a receiver, or a protocol of one.
fn is_receiver(path: &str) -> bool {
    let Some(below) = path.strip_prefix("distributor.receivers.") else { return false };
    let steps: Vec<&str> = below.split('.').collect();
    matches!(steps[..], [_] | [_, "protocols", _])
}

fn collect_nulls(value: &Value, at: &str, nulls: &mut Vec<String>) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        let at = path::child(at, key);
        if value.is_null() {
            nulls.push(at);
        } else {
            collect_nulls(value, &at, nulls);
        }
    }
}

fn rename(document: &mut Document, from: &str, to: &str, problems: &mut Problems) {
    let Some(old) = document.get(from) else { return };
    if document.get(to) == Some(old) {
        document.remove(from);
    } else if !document.rename(from, to) {
        let message = format!("is another name of {to}, which has a different value");
        problems.push(document.locate(Problem::new(from, message).help("remove one of them")));
        document.remove(from);
    }
}

fn take_out(document: &mut Document, parent: &str, table: &[Ignored]) -> Vec<Problem> {
    let mut notes = Vec::new();
    for Ignored { section, keys, why } in table {
        let section = match (parent, *section) {
            (parent, "") => parent.to_owned(),
            ("", section) => section.to_owned(),
            (parent, section) => format!("{parent}.{section}"),
        };
        for key in present(document, &section, keys) {
            let at = path::child(&section, &key);
            notes.push(document.locate(Problem::new(&*at, format!("has no effect: {why}"))));
            document.remove(&at);
        }
    }
    notes
}

/// The keys of the mapping at `section` that match one of `patterns`.
fn present(document: &Document, section: &str, patterns: &[&str]) -> Vec<String> {
    let matches = |key: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == *pattern,
        })
    };
    match document.get(section) {
        Some(Value::Object(map)) => map.keys().filter(|key| matches(key)).cloned().collect(),
        _ => Vec::new(),
    }
}
