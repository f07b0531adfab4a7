use serde_json::{Value, json};
use tempoform_document::{ByteSize, GoDuration};

use super::*;
use crate::Component;
use crate::validated::{GcsCredentials, S3Credentials, Storage};

mod autoscaling;
mod bounds;
mod components;
mod exposure;
mod refusals;
mod replication;
mod storage;
mod targets;
mod tenants;

/// A valid Tempo with `patch` merged over its spec; `null` removes a field.
fn tempo(mode: &str, patch: Value) -> Tempo {
    let mut spec = json!({
        "mode": mode,
        "storage": { "trace": { "backend": "s3", "s3": { "bucket": "my-traces", "region": "eu-west-1" } } },
    });
    merge(&mut spec, patch);
    serde_json::from_value(json!({
        "apiVersion": crate::API_VERSION,
        "kind": crate::KIND,
        "metadata": { "name": "traces" },
        "spec": spec,
    }))
    .unwrap()
}

fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, patch) => *base = patch,
    }
}

#[track_caller]
fn single(patch: Value) -> ValidatedTempo {
    validate(&tempo("singleBinary", patch)).unwrap()
}

#[track_caller]
fn distributed(patch: Value) -> ValidatedTempo {
    validate(&tempo("distributed", patch)).unwrap()
}

/// The one problem that the patch makes, which must name path, the given words and a remedy.
#[track_caller]
fn refused(mode: &str, patch: Value, path: &str, words: &str) {
    let problems = validate(&tempo(mode, patch)).expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems}");
    let problem = &problems.problems[0];
    assert_eq!(problem.path, path, "{problem:?}");
    assert!(problem.message.contains(words), "{words:?} in {problem:?}");
    assert!(problem.help.as_deref().is_some_and(|help| !help.is_empty()), "a remedy in {problem:?}");
}

#[track_caller]
fn refused_by(target: Target, mode: &str, patch: Value, path: &str, words: &str) {
    let problems = validate_for(&tempo(mode, patch), target).expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems}");
    assert_eq!(problems.problems[0].path, path, "{problems}");
    assert!(problems.problems[0].message.contains(words), "{words:?} in {problems}");
}

fn s3(section: Value) -> Value {
    json!({ "storage": { "trace": { "s3": section } } })
}
