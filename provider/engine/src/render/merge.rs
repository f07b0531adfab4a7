//! Laying the user's own values over ours.

use serde_json::Value;

/// Maps are merged, lists and scalars replaced; `null` removes what is there. The user wins.
pub(crate) fn deep(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(key);
                } else {
                    deep(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_merge_lists_replace_and_null_removes() {
        let mut base = json!({"a": {"b": 1, "c": [1, 2], "d": 5}, "e": 2});
        deep(&mut base, &json!({"a": {"b": 3, "c": [9], "d": null, "n": {"m": 1}}, "e": {"f": 1}}));
        assert_eq!(base, json!({"a": {"b": 3, "c": [9], "n": {"m": 1}}, "e": {"f": 1}}));
    }
}
