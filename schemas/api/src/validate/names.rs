//! Names by the rules of those who read them: Kubernetes, the object stores, Tempo.

use std::collections::BTreeMap;

use tempoform_document::path;

use super::report::{Refusal, Report};

/// Length of a DNS label (RFC 1123).
pub(super) const DNS_LABEL_LENGTH: usize = 63;
const DNS_NAME_LENGTH: usize = 253;
const TENANT_LENGTH: usize = 150;

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Lower-case letters, digits and dashes, with a letter or digit at both ends.
fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| is_alphanumeric(*first) && is_alphanumeric(*last))
        && bytes.iter().all(|byte| is_alphanumeric(*byte) || *byte == b'-')
}

/// A DNS label of at most `max` characters, for names that become part of other names.
pub(super) fn dns_label(name: &str, max: usize) -> Result<(), Refusal> {
    if !is_dns_label(name) {
        return Err(Refusal::new(
            format!("{name:?} is not a DNS label"),
            format!(
                "use lower-case letters, digits and dashes, with a letter or digit at both ends{}",
                like(name)
            ),
        ));
    }
    if name.len() > max {
        return Err(Refusal::new(
            format!("{name:?} has {} characters", name.len()),
            format!("use at most {max}, so that the names made of it are not too long"),
        ));
    }
    Ok(())
}

/// `: my-name` if the name can be mended.
fn like(name: &str) -> String {
    let mended: String =
        name.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    match mended.trim_matches('-') {
        "" => String::new(),
        mended => format!(", for example {mended}"),
    }
}

/// The name of a Kubernetes object such as a secret: DNS labels with dots between them.
pub(super) fn dns_name(name: &str) -> Result<(), Refusal> {
    let labels = name.split('.').all(is_dns_label);
    if labels && name.len() <= DNS_NAME_LENGTH {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{name:?} is not the name of a Kubernetes object"),
        format!("use lower-case letters, digits, dashes and dots, at most {DNS_NAME_LENGTH}{}", like(name)),
    ))
}

/// An entry of a secret or config map.
pub(super) fn data_key(key: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !key.is_empty() && key.len() <= DNS_NAME_LENGTH && key.bytes().all(allowed) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{key:?} is not the name of an entry of a secret or config map"),
        "use letters, digits, dashes, underscores and dots",
    ))
}

/// The name, not the value, of an environment variable.
pub(super) fn env_name(name: &str) -> Result<(), Refusal> {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    // The text is not repeated: somebody may have written the key itself here.
    Err(Refusal::new(
        "this is not the name of an environment variable",
        "write the name of the variable that holds the value, not the value: AWS_SECRET_ACCESS_KEY",
    ))
}

/// The name of a variable that the document sets beside its value, by Kubernetes' rules.
pub(super) fn variable(name: &str) -> Result<(), Refusal> {
    let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{name:?} is not the name of an environment variable"),
        "use letters, digits, underscores, dashes and dots, not beginning with a digit",
    ))
}

/// What can be in `X-Scope-OrgID` and be a folder's name.
pub(super) fn tenant(id: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
    let good =
        !id.is_empty() && id.len() <= TENANT_LENGTH && id != "." && id != ".." && id.bytes().all(allowed);
    if good {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{id:?} cannot be a tenant's id"),
        format!("use letters, digits and !-_.*'(), at most {TENANT_LENGTH}, and not . or .. alone"),
    ))
}

/// The name of an S3 bucket.
pub(super) fn s3_bucket(bucket: &str) -> Result<(), Refusal> {
    let is_address = bucket.parse::<std::net::Ipv4Addr>().is_ok();
    let good = (3..=63).contains(&bucket.len()) && bucket.split('.').all(is_dns_label) && !is_address;
    if good {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{bucket:?} cannot be an S3 bucket"),
        "use 3 to 63 lower-case letters, digits, dashes and dots; the bucket alone, without s3:// and without a path (see prefix)",
    ))
}

/// The name of a Google Cloud Storage bucket.
pub(super) fn gcs_bucket(bucket: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| is_alphanumeric(byte) || b"-_.".contains(&byte);
    let bytes = bucket.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    let good = ends.is_some_and(|(first, last)| is_alphanumeric(*first) && is_alphanumeric(*last))
        && bytes.iter().all(|byte| allowed(*byte))
        && bucket.split('.').all(|part| (1..=63).contains(&part.len()))
        && (3..=222).contains(&bucket.len());
    if good {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{bucket:?} cannot be a Google Cloud Storage bucket"),
        "use 3 to 63 lower-case letters, digits, dashes, underscores and dots; the bucket alone, without gs:// and without a path (see prefix)",
    ))
}

/// The name of an Azure Blob Storage container.
pub(super) fn azure_container(container: &str) -> Result<(), Refusal> {
    if (3..=63).contains(&container.len()) && is_dns_label(container) && !container.contains("--") {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{container:?} cannot be an Azure container"),
        "use 3 to 63 lower-case letters and digits, with single dashes between them",
    ))
}

/// The name of an Azure storage account.
pub(super) fn azure_account(account: &str) -> Result<(), Refusal> {
    if (3..=24).contains(&account.len()) && account.bytes().all(is_alphanumeric) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{account:?} cannot be an Azure storage account"),
        "use 3 to 24 lower-case letters and digits: the account's name, not its host name",
    ))
}

/// A label's value that says something, as zones are.
pub(super) fn label_value(value: &str) -> Result<(), Refusal> {
    let bytes = value.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    let good = ends
        .is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && value.len() <= DNS_LABEL_LENGTH;
    if good {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{value:?} cannot be the value of a label"),
        "use at most 63 letters, digits, dashes, underscores and dots, with a letter or digit at both ends",
    ))
}

/// Labels of objects: Kubernetes takes an empty value, too.
pub(super) fn labels(at: &str, labels: &BTreeMap<String, String>, report: &mut Report) {
    for (key, value) in labels {
        let at = path::child(at, key);
        report.check(&at, label_key(key));
        if !value.is_empty() {
            report.check(&at, label_value(value));
        }
    }
}

/// Annotations of objects, whose values are free.
pub(super) fn annotations(at: &str, annotations: &BTreeMap<String, String>, report: &mut Report) {
    for key in annotations.keys() {
        report.check(path::child(at, key), label_key(key));
    }
}

/// The key of a label or an annotation: `team`, `example.com/team`.
pub(super) fn label_key(key: &str) -> Result<(), Refusal> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_none_or(|prefix| dns_name(prefix).is_ok()) && label_value(name).is_ok() {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{key:?} cannot be the key of a label or an annotation"),
        "use letters, digits, dashes, underscores and dots, at most 63, with a letter or digit at both ends; a domain and a slash may stand before",
    ))
}

/// A container image's reference: not empty, no blanks, not a URL.
pub(super) fn image(reference: &str) -> Result<(), Refusal> {
    let plain = reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte));
    if !reference.is_empty() && plain && !reference.contains("://") {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{reference:?} is not an image"),
        "write registry/repository:tag, for example docker.io/grafana/tempo:2.10.5",
    ))
}
