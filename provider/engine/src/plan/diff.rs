use serde_json::{Map, Value};

use super::FieldPath;
use super::meaning::{is_document, is_nothing, same};
use super::secret::{MASK, is_hidden, mask};

/// One field that differs. Secrets are already masked.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldDiff {
    /// Which field.
    pub path: FieldPath,
    /// Its value now; absent if it is not set.
    pub before: Option<Value>,
    /// Its declared value; absent if it is not declared.
    pub after: Option<Value>,
    /// What else is to be said: that a value changes which is not shown.
    pub note: Option<String>,
}

/// Every field in which two values differ by meaning, in the order of their paths.
///
/// Texts of files (`*.yaml`, `*.json`) are compared as what stands in them. Objects are compared by key; lists of objects that all have a distinct `name` by that name;
/// other lists by position.
pub fn diff(before: &Value, after: &Value) -> Vec<FieldDiff> {
    let mut found = Vec::new();
    compare(&FieldPath::default(), Some(before), Some(after), &mut found);
    found
}

/// Every field of a value that appears.
pub(super) fn added(value: &Value) -> Vec<FieldDiff> {
    let mut found = Vec::new();
    compare(&FieldPath::default(), None, Some(value), &mut found);
    found
}

/// Every field of a value that disappears.
pub(super) fn removed(value: &Value) -> Vec<FieldDiff> {
    let mut found = Vec::new();
    compare(&FieldPath::default(), Some(value), None, &mut found);
    found
}

fn compare(path: &FieldPath, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<FieldDiff>) {
    let (b, a) = (before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null));
    if same(path, b, a) {
        return;
    }
    if let (Some(b), Some(a)) = (embedded(path, b), embedded(path, a)) {
        return compare(path, Some(&b), Some(&a), found);
    }
    match (b, a) {
        (Value::Object(b), Value::Object(a)) => compare_maps(path, b, a, found),
        (Value::Object(b), Value::Null) => compare_maps(path, b, &Map::new(), found),
        (Value::Null, Value::Object(a)) => compare_maps(path, &Map::new(), a, found),
        (Value::Array(b), Value::Array(a)) => compare_lists(path, b, a, found),
        (Value::Array(b), Value::Null) => compare_lists(path, b, &[], found),
        (Value::Null, Value::Array(a)) => compare_lists(path, &[], a, found),
        _ => found.push(leaf(path, before, after)),
    }
}

/// A document that stands in a field as text, such as a configuration in a config map: its fields are what people think in.
fn embedded(path: &FieldPath, value: &Value) -> Option<Value> {
    match value {
        Value::Null if path.last_key().is_some_and(is_document) => Some(Value::Null),
        Value::String(text) if path.last_key().is_some_and(is_document) => {
            serde_saphyr::from_str::<Value>(text).ok().filter(Value::is_object)
        }
        _ => None,
    }
}

fn compare_maps(
    path: &FieldPath,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Vec<FieldDiff>,
) {
    let mut keys: Vec<&String> =
        before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))).collect();
    keys.sort_unstable();
    for key in keys {
        compare(&path.key(key), before.get(key), after.get(key), found);
    }
}

fn compare_lists(path: &FieldPath, before: &[Value], after: &[Value], found: &mut Vec<FieldDiff>) {
    let (Some(b_names), Some(a_names)) = (names(before), names(after)) else {
        for index in 0..before.len().max(after.len()) {
            compare(&path.index(index), before.get(index), after.get(index), found);
        }
        return;
    };
    for (name, value) in b_names.iter().zip(before) {
        let counterpart = a_names.iter().position(|other| other == name).and_then(|at| after.get(at));
        compare(&path.named(name), Some(value), counterpart, found);
    }
    for (name, value) in a_names.iter().zip(after) {
        if !b_names.contains(name) {
            compare(&path.named(name), None, Some(value), found);
        }
    }
}

/// The names of a list's elements, if each has one and no two the same.
fn names(list: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> = list.iter().map(|value| value.get("name")?.as_str()).collect::<Option<_>>()?;
    let distinct = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    distinct.then_some(names)
}

fn leaf(path: &FieldPath, before: Option<&Value>, after: Option<&Value>) -> FieldDiff {
    let is_file = path.last_key().is_some_and(is_document);
    let visible = |value: &Value| match value {
        value if is_hidden(path, value) => Value::from(MASK),
        // A whole file, which could not be read and so not be masked.
        // A field that turns from a text into a map is shown whole.
        Value::Object(_) | Value::Array(_) => mask(value, &|_| "hidden".to_owned()),
        Value::String(text) if is_file => Value::from(format!("(text of {} bytes)", text.len())),
        value => value.clone(),
    };
    let present = |value: Option<&Value>| value.filter(|value| !is_nothing(value)).map(visible);
    let (before, after) = (present(before), present(after));
    let changed_secret = before.is_some() && before == after;
    let note = changed_secret.then(|| "its value changes, and is not shown".to_owned());
    FieldDiff { path: path.clone(), before, after, note }
}
