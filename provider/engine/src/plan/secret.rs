//! Values that must not be seen in a plan, a state file or a log.

use serde_json::Value;

use super::FieldPath;

/// What is shown in place of a secret.
pub const MASK: &str = "(secret)";

/// Keys that name a place, not a secret, although they end like one.
const REFERENCES: [&str; 6] = [
    "secretname",
    "secretref",
    "secretkeyref",
    "credentialssecret",
    "tokenfile",
    "automountserviceaccounttoken",
];
const SECRET_ENDINGS: [&str; 9] = [
    "password",
    "secretkey",
    "secretaccesskey",
    "accesskey",
    "accountkey",
    "token",
    "apikey",
    "privatekey",
    "connectionstring",
];

/// Whether a field of this name holds a secret: `secret_key`, `password`, `storage_account_key`, …
pub fn is_secret_key(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    !REFERENCES.contains(&plain.as_str()) && SECRET_ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

/// Whether the value at `path` of an object is to be hidden.
pub(super) fn is_secret(path: &FieldPath) -> bool {
    path.keys().any(|key| key == "stringData") || path.last_key().is_some_and(is_secret_key)
}

/// The value with every secret text in it replaced by [`MASK`]. Environment references
/// (`${NAME}`) stay: they tell where a secret comes from.
pub fn mask(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, inner)| {
                    let hidden = is_secret_key(key) && is_inline(inner);
                    (key.clone(), if hidden { Value::from(MASK) } else { mask(inner) })
                })
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(mask).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether a value is a secret itself, and not a reference to one.
pub(super) fn is_inline(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let is_reference = text.starts_with("${") && text.ends_with('}');
            !text.is_empty() && !is_reference
        }
        Value::Number(_) => true,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_known_by_name() {
        for key in ["secret_key", "access_key", "password", "storage_account_key", "bearer_token", "apiKey"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in
            ["secretName", "tokenFile", "credentialsSecret", "key", "bucket", "automountServiceAccountToken"]
        {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn references_stay_visible() {
        let masked =
            mask(&json!({"s3": {"secret_key": "hunter2", "access_key": "${AWS_KEY}", "bucket": "b"}}));
        assert_eq!(masked, json!({"s3": {"secret_key": MASK, "access_key": "${AWS_KEY}", "bucket": "b"}}));
    }
}
