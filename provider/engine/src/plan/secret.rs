//! Values that must not be seen in a plan, a state file or a log.

use serde_json::Value;

use super::FieldPath;

/// What is shown in place of a secret.
pub const MASK: &str = "(secret)";
/// How a sealed value begins.
const SEAL: &str = "(secret ";

/// Keys that name a place, not a secret, although they end like one.
const REFERENCES: [&str; 6] = [
    "secretname",
    "secretref",
    "secretkeyref",
    "credentialssecret",
    "tokenfile",
    "automountserviceaccounttoken",
];
const SECRET_ENDINGS: [&str; 18] = [
    "password",
    "passwd",
    "pgpass",
    "passphrase",
    "secret",
    "secretkey",
    "secretaccesskey",
    "accesskey",
    "accountkey",
    "sharedkey",
    "token",
    "apikey",
    "privatekey",
    "connectionstring",
    "credential",
    "credentials",
    "authorization",
    HEADERS,
];
/// Headers of requests: their names tell nothing about which of them is a secret.
const HEADERS: &str = "headers";
/// The environment of a process, in which any variable may hold anything.
const ENVIRONMENT: &str = "environment";

/// Whether a field of this name holds a secret: `secret_key`, `password`, `storage_account_key`, …
pub fn is_secret_key(key: &str) -> bool {
    let plain = plain(key);
    !REFERENCES.contains(&plain.as_str()) && SECRET_ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

fn plain(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

/// Whether `value`, at `path` of an object, is to be hidden.
pub(super) fn is_hidden(path: &FieldPath, value: &Value) -> bool {
    let sealed = value.as_str().is_some_and(|text| text.starts_with(SEAL));
    sealed || (is_secret(path) && is_inline(value))
}

fn is_secret(path: &FieldPath) -> bool {
    let keys: Vec<&str> = path.keys().collect();
    path.starts_with(&[ENVIRONMENT])
        // A variable of a container.
        || keys.ends_with(&["env", "value"])
        || keys.contains(&"stringData")
        || keys.iter().any(|key| plain(key).ends_with(HEADERS))
        || path.last_key().is_some_and(is_secret_key)
}

/// What is recorded of a secret: two secrets are told apart by their digests, and neither is seen.
pub fn seal(digest: &str) -> Value {
    format!("{SEAL}{digest})").into()
}

/// The value with every secret in it sealed. Environment references (`${NAME}`) stay: they tell where a
/// secret comes from.
pub fn mask(value: &Value, digest: &dyn Fn(&str) -> String) -> Value {
    masked(value, false, digest)
}

fn masked(value: &Value, below_headers: bool, digest: &dyn Fn(&str) -> String) -> Value {
    let one = |key: &String, inner: &Value| match inner {
        Value::String(text) if is_inline(inner) && (below_headers || is_secret_key(key)) => {
            seal(&digest(text))
        }
        Value::Number(number) if is_secret_key(key) => seal(&digest(&number.to_string())),
        inner => masked(inner, below_headers || plain(key).ends_with(HEADERS), digest),
    };
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, inner)| (key.clone(), one(key, inner))).collect())
        }
        Value::Array(list) => {
            Value::Array(list.iter().map(|inner| masked(inner, below_headers, digest)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether a value is a secret itself, and not a reference to one.
fn is_inline(value: &Value) -> bool {
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
        for key in [
            "secret_key",
            "access_key",
            "password",
            "storage_account_key",
            "bearer_token",
            "apiKey",
            "CLIENT_SECRET",
            "DB_PASSWD",
            "PGPASS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in
            ["secretName", "tokenFile", "credentialsSecret", "key", "bucket", "automountServiceAccountToken"]
        {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn references_stay_visible_and_secrets_are_told_apart() {
        let length = |text: &str| text.len().to_string();
        let masked = mask(
            &json!({
                "s3": {"secret_key": "hunter2", "access_key": "${AWS_KEY}", "bucket": "b"},
                "headers": {"x-team": "blue"},
            }),
            &length,
        );
        assert_eq!(
            masked,
            json!({
                "s3": {"secret_key": seal("7"), "access_key": "${AWS_KEY}", "bucket": "b"},
                "headers": {"x-team": seal("4")},
            })
        );
    }

    #[test]
    fn what_is_sealed_is_hidden_wherever_it_stands() {
        let at = |key: &str| FieldPath::default().key(key);
        assert!(is_hidden(&at("anything"), &seal("7")));
        assert!(is_hidden(&at("environment").key("RUST_LOG"), &json!("debug")));
        assert!(!is_hidden(&at("environment").key("AWS_KEY"), &json!("${AWS_KEY}")));
        assert!(!is_hidden(&at("anything"), &json!("7")));
    }
}
