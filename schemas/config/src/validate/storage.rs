use tempoform_document::Problem;

use super::missing;
use crate::{Backend, Config, S3SseType, Target, Trace};

/// Checks the backend's section and the log's folder, where this process uses them.
pub(super) fn validate(config: &Config) -> Vec<Problem> {
    let trace = &config.storage.trace;
    let mut problems = Vec::new();
    let uses = |role| config.target.runs(role);
    if uses(Target::Ingester) || uses(Target::Retriever) || uses(Target::Compactor) {
        problems.extend(backend(trace));
    }
    if uses(Target::Ingester) && trace.wal.path.is_empty() {
        let help = "name a folder on a disk that outlives the process";
        problems.push(missing("storage.trace.wal.path", "for the write-ahead log", help));
    }
    problems
}

fn backend(trace: &Trace) -> Vec<Problem> {
    match trace.backend {
        None => {
            vec![missing("storage.trace.backend", "for blocks", "write local, s3, gcs or azure")]
        }
        Some(Backend::Local) => {
            required(&[("storage.trace.local.path", &trace.local.path, "name a folder")], "local")
        }
        Some(Backend::S3) => s3(trace),
        Some(Backend::Gcs) => {
            required(&[("storage.trace.gcs.bucket_name", &trace.gcs.bucket_name, "name a bucket")], "gcs")
        }
        Some(Backend::Azure) => azure(trace),
    }
}

fn required(keys: &[(&str, &str, &str)], backend: &str) -> Vec<Problem> {
    let empty = keys.iter().filter(|(_, value, _)| value.is_empty());
    empty.map(|(path, _, help)| missing(path, &format!("with backend: {backend}"), help)).collect()
}

fn s3(trace: &Trace) -> Vec<Problem> {
    let s3 = &trace.s3;
    let mut problems = required(&[("storage.trace.s3.bucket", &s3.bucket, "name a bucket")], "s3");
    if s3.access_key.is_empty() != s3.secret_key.is_empty() {
        let (key, other) = if s3.access_key.is_empty() {
            ("storage.trace.s3.access_key", "secret_key")
        } else {
            ("storage.trace.s3.secret_key", "access_key")
        };
        let help = "give both keys, or neither to use the machine's own identity";
        problems.push(missing(key, &format!("with {other}"), help));
    }
    if s3.insecure && s3.endpoint.starts_with("https://") {
        let message = format!("insecure: true contradicts the endpoint {:?}", s3.endpoint);
        let help = "the scheme of the endpoint decides; remove insecure";
        problems.push(Problem::new("storage.trace.s3.insecure", message).help(help));
    }
    if let Some(sse) = s3.sse.as_ref().filter(|sse| sse.kind == S3SseType::S3 && !sse.kms_key_id.is_empty()) {
        let message = format!("key {:?} is not used with type: SSE-S3", sse.kms_key_id);
        problems.push(Problem::new("storage.trace.s3.sse.kms_key_id", message).help("write type: SSE-KMS"));
    }
    problems
}

fn azure(trace: &Trace) -> Vec<Problem> {
    let azure = &trace.azure;
    let account = ("storage.trace.azure.storage_account_name", azure.storage_account_name.as_str());
    let container = ("storage.trace.azure.container_name", azure.container_name.as_str());
    let mut problems = required(
        &[(account.0, account.1, "name a storage account"), (container.0, container.1, "name a container")],
        "azure",
    );
    let identities = [
        ("storage_account_key", !azure.storage_account_key.is_empty()),
        ("use_managed_identity", azure.use_managed_identity),
        ("use_federated_token", azure.use_federated_token),
    ];
    let given: Vec<&str> = identities.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    if let [first, second, ..] = given.as_slice() {
        let message = format!("cannot be used together with {first}");
        let path = format!("storage.trace.azure.{second}");
        problems.push(Problem::new(path, message).help("give one way to sign in"));
    }
    problems
}
