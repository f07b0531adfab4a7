//! Equality by meaning: `1Gi` is `1024Mi`, `60s` is `1m`, an absent list is an empty one.

use serde_json::Value;

use super::FieldPath;

/// Maps of free text, where nothing has a meaning that we know.
const OPAQUE: [&str; 12] = [
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "data",
    "stringData",
    "env",
    "environment",
    "args",
    "command",
    "name",
    "value",
];
/// Keys under or at which Kubernetes has quantities.
const QUANTITIES: [&str; 7] = ["limits", "requests", "capacity", "cpu", "memory", "storage", "sizeLimit"];

/// Whether two values at `path` say the same.
pub(super) fn same(path: &FieldPath, before: &Value, after: &Value) -> bool {
    if before == after || (is_nothing(before) && is_nothing(after)) {
        return true;
    }
    if let (Value::Number(a), Value::Number(b)) = (before, after) {
        return a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64();
    }
    let keys: Vec<&str> = path.keys().collect();
    // Inside of a document that is a field's text, what is around it says nothing.
    let start = keys.iter().rposition(|key| is_document(key)).map_or(0, |document| document + 1);
    if keys[start..].iter().any(|key| OPAQUE.contains(key)) {
        return false;
    }
    same_duration(before, after) || (start == 0 && is_quantity(&keys) && same_quantity(before, after))
}

/// Whether a field of this name holds a file with structured text.
pub(super) fn is_document(key: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| key.ends_with(ending))
}

/// Null and empty containers are what a server gives back for a field that was never set.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn is_quantity(keys: &[&str]) -> bool {
    keys.iter().any(|key| QUANTITIES.contains(key))
}

fn same_duration(before: &Value, after: &Value) -> bool {
    match (before.as_str().and_then(duration_nanos), after.as_str().and_then(duration_nanos)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn same_quantity(before: &Value, after: &Value) -> bool {
    match (quantity_millis(before), quantity_millis(after)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Which of two quantities of Kubernetes is larger; `None` when one of them is none.
pub fn quantity_order(one: &Value, other: &Value) -> Option<std::cmp::Ordering> {
    Some(quantity_millis(one)?.cmp(&quantity_millis(other)?))
}

/// Nanoseconds of a Go duration: `1h30m`, `1.5s`, `200ms`.
fn duration_nanos(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let nanos: i128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(decimal_times(number, nanos)?)?;
        rest = tail;
    }
    Some(sign * total)
}

/// Thousandths of a Kubernetes quantity: `1`, `500m`, `1Gi`, `1e3`, `0.5`.
fn quantity_millis(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor: i128 = match suffix {
        "" => 1_000,
        "m" => 1,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        _ => {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            1_000_i128.checked_mul(10_i128.checked_pow(exponent)?)?
        }
    };
    decimal_times(number, factor)
}

/// A decimal number times a factor, exact down to the factor's last place.
fn decimal_times(number: &str, factor: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(dotted: &str) -> FieldPath {
        dotted.split('.').fold(FieldPath::default(), |path, key| path.key(key))
    }

    #[test]
    fn durations_are_compared_by_length() {
        let at = path("config.ingester.max_block_duration");
        assert!(same(&at, &json!("1m"), &json!("60s")));
        assert!(same(&at, &json!("1h30m0s"), &json!("1.5h")));
        assert!(!same(&at, &json!("1m"), &json!("61s")));
        assert!(!same(&at, &json!("1m"), &json!("")));
        assert!(!same(&at, &json!("s"), &json!("0s")));
    }

    #[test]
    fn quantities_are_compared_where_kubernetes_has_them() {
        let memory = path("spec.resources.limits.memory");
        assert!(same(&memory, &json!("1Gi"), &json!("1024Mi")));
        assert!(same(&memory, &json!("1Gi"), &json!(1_073_741_824_u64)));
        assert!(same(&path("resources.requests.cpu"), &json!("0.5"), &json!("500m")));
        assert!(!same(&memory, &json!("1G"), &json!("1Gi")));
        assert!(!same(&path("config.instance_id"), &json!("1000"), &json!("1k")));
    }

    #[test]
    fn free_text_is_compared_as_text() {
        assert!(!same(&path("metadata.labels.step"), &json!("1m"), &json!("60s")));
        assert!(!same(&path("env.STEP"), &json!("1m"), &json!("60s")));
    }

    #[test]
    fn nothing_is_nothing() {
        assert!(same(&path("spec.tolerations"), &Value::Null, &json!([])));
        assert!(!same(&path("spec.replicas"), &Value::Null, &json!(0)));
        assert!(same(&path("x"), &json!(1), &json!(1.0)));
        assert!(!same(&path("x"), &json!(1), &json!(2.0)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(a in "\\PC{0,24}", b in "[0-9.]{0,6}[a-zA-Zµ]{0,3}") {
            let at = path("limits.memory");
            let _ = same(&at, &json!(a), &json!(b));
            proptest::prop_assert!(same(&at, &json!(b), &json!(b)));
        }
    }
}
