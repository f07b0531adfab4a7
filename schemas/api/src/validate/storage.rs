//! Storage: the backend's section, its address and its credentials.

mod credentials;

use super::endpoint::Endpoint;
use super::report::Report;
use super::{names, tls};
use crate::defaults;
use crate::spec::{
    AzureSpec, Backend, ClientTlsSpec, GcsSpec, LocalStorageSpec, S3Spec, TlsVersion, TraceStorageSpec,
};
use crate::validated::{AzureStorage, ClientTls, GcsStorage, LocalStorage, S3Storage, Storage};

const PATH: &str = "spec.storage.trace";

pub(super) fn resolve(spec: &TraceStorageSpec, report: &mut Report) -> Storage {
    refuse_other_sections(spec, report);
    let resolved = match spec.backend {
        Backend::Local => Some(Storage::Local(local(spec.local.as_ref(), report))),
        Backend::S3 => spec.s3.as_ref().map(|s3| Storage::S3(resolve_s3(s3, report))),
        Backend::Gcs => spec.gcs.as_ref().map(|gcs| Storage::Gcs(resolve_gcs(gcs, report))),
        Backend::Azure => spec.azure.as_ref().map(|azure| Storage::Azure(resolve_azure(azure, report))),
    };
    resolved.unwrap_or_else(|| {
        refuse_missing_section(spec.backend, report);
        Storage::Local(LocalStorage { path: None })
    })
}

fn refuse_missing_section(backend: Backend, report: &mut Report) {
    let section = defaults::section(backend);
    let example = match backend {
        Backend::Azure => "{container: traces, account: myaccount}",
        _ => "{bucket: my-traces}",
    };
    report.refuse(
        format!("{PATH}.backend"),
        format!("backend {section} needs the section {section}"),
        format!("add {PATH}.{section}, for example {example}"),
    );
}

fn refuse_other_sections(spec: &TraceStorageSpec, report: &mut Report) {
    let TraceStorageSpec { backend, s3, gcs, azure, local } = spec;
    let present = [
        (Backend::S3, s3.is_some()),
        (Backend::Gcs, gcs.is_some()),
        (Backend::Azure, azure.is_some()),
        (Backend::Local, local.is_some()),
    ];
    for (other, _) in present.into_iter().filter(|(other, present)| *present && other != backend) {
        let (section, backend) = (defaults::section(other), defaults::section(*backend));
        report.refuse(
            format!("{PATH}.{section}"),
            format!("the section {section} has no effect with backend {backend}"),
            format!("remove it, or set backend: {section}"),
        );
    }
}

fn local(spec: Option<&LocalStorageSpec>, report: &mut Report) -> LocalStorage {
    let path = spec.and_then(|spec| spec.path.clone());
    if path.as_deref() == Some("") {
        report.refuse(
            format!("{PATH}.local.path"),
            "the path is empty",
            "name a folder, or leave the field out",
        );
    }
    LocalStorage { path }
}

fn resolve_s3(spec: &S3Spec, report: &mut Report) -> S3Storage {
    let path = format!("{PATH}.s3");
    report.check(format!("{path}.bucket"), names::s3_bucket(&spec.bucket));
    let endpoint = endpoint(&path, spec.endpoint.as_deref(), report);
    if spec.endpoint.is_none() && spec.region.is_none() {
        report.refuse(
            format!("{path}.region"),
            "the region is missing",
            "name the bucket's region, for example eu-west-1, or the endpoint of a store that is not Amazon's",
        );
    }
    let region = spec.region.clone().unwrap_or_else(|| defaults::S3_REGION.to_owned());
    let host = endpoint.as_ref().map(Endpoint::host);
    S3Storage {
        bucket: spec.bucket.clone(),
        insecure: insecure(&path, endpoint.as_ref(), spec.insecure, report),
        force_path_style: spec.force_path_style.unwrap_or_else(|| defaults::force_path_style(host)),
        endpoint: endpoint.map_or_else(|| defaults::s3_endpoint(&region), |endpoint| endpoint.authority),
        region,
        prefix: prefix(&path, spec.prefix.as_deref(), report),
        tls: tls::client(&format!("{path}.tls"), spec.tls.as_ref(), report),
        credentials: credentials::s3(&format!("{path}.credentials"), spec.credentials.as_ref(), report),
    }
}

fn resolve_gcs(spec: &GcsSpec, report: &mut Report) -> GcsStorage {
    let path = format!("{PATH}.gcs");
    report.check(format!("{path}.bucket"), names::gcs_bucket(&spec.bucket));
    let endpoint = endpoint(&path, spec.endpoint.as_deref(), report);
    let insecure = insecure(&path, endpoint.as_ref(), spec.insecure, report);
    GcsStorage {
        bucket: spec.bucket.clone(),
        prefix: prefix(&path, spec.prefix.as_deref(), report),
        endpoint: endpoint.map(|endpoint| endpoint.url(insecure)),
        insecure,
        tls: only_authorities(&path, spec.tls.as_ref(), report),
        credentials: credentials::gcs(&format!("{path}.credentials"), spec.credentials.as_ref(), report),
    }
}

fn resolve_azure(spec: &AzureSpec, report: &mut Report) -> AzureStorage {
    let path = format!("{PATH}.azure");
    report.check(format!("{path}.container"), names::azure_container(&spec.container));
    report.check(format!("{path}.account"), names::azure_account(&spec.account));
    let endpoint = endpoint(&path, spec.endpoint.as_deref(), report);
    let insecure = insecure(&path, endpoint.as_ref(), spec.insecure, report);
    AzureStorage {
        container: spec.container.clone(),
        account: spec.account.clone(),
        prefix: prefix(&path, spec.prefix.as_deref(), report),
        endpoint_suffix: azure_suffix(&path, spec, report),
        endpoint: endpoint.map(|endpoint| endpoint.url(insecure)),
        insecure,
        tls: only_authorities(&path, spec.tls.as_ref(), report),
        credentials: credentials::azure(&format!("{path}.credentials"), spec.credentials.as_ref(), report),
    }
}

/// The clients of these stores can be told whom to trust, and nothing else.
fn only_authorities(path: &str, spec: Option<&ClientTlsSpec>, report: &mut Report) -> ClientTls {
    let path = format!("{path}.tls");
    let spec = spec.cloned().unwrap_or_default();
    let given = [
        ("serverName", spec.server_name.is_some()),
        ("insecureSkipVerify", spec.insecure_skip_verify == Some(true)),
        ("minVersion", spec.min_version.is_some_and(|version| version != TlsVersion::default())),
    ];
    for (field, _) in given.into_iter().filter(|(_, given)| *given) {
        report.refuse(
            format!("{path}.{field}"),
            "for this kind of storage only the trusted authorities can be set",
            "remove it, and name the authority of the store's certificate in ca",
        );
    }
    ClientTls {
        ca: spec.ca.as_ref().and_then(|ca| tls::ca_bundle(&format!("{path}.ca"), ca, report)),
        ..ClientTls::default()
    }
}

fn azure_suffix(path: &str, spec: &AzureSpec, report: &mut Report) -> String {
    let Some(suffix) = &spec.endpoint_suffix else { return defaults::AZURE_ENDPOINT_SUFFIX.to_owned() };
    if spec.endpoint.is_some() {
        report.refuse(
            format!("{path}.endpointSuffix"),
            "the suffix has no effect beside endpoint",
            "keep one of them",
        );
    }
    if Endpoint::parse(suffix).map_or(true, |endpoint| endpoint.plain.is_some()) {
        report.refuse(
            format!("{path}.endpointSuffix"),
            format!("{suffix:?} is not the end of a host name"),
            "write for example blob.core.usgovcloudapi.net; a URL goes into endpoint",
        );
    }
    suffix.clone()
}

fn endpoint(path: &str, text: Option<&str>, report: &mut Report) -> Option<Endpoint> {
    let parsed = Endpoint::parse(text?);
    let path = format!("{path}.endpoint");
    parsed.map_err(|refusal| report.check(path, Err(refusal))).ok()
}

/// The scheme and `insecure` must not contradict each other.
fn insecure(path: &str, endpoint: Option<&Endpoint>, given: Option<bool>, report: &mut Report) -> bool {
    let plain = endpoint.and_then(|endpoint| endpoint.plain);
    if let (Some(plain), Some(insecure)) = (plain, given)
        && plain != insecure
    {
        let scheme = if plain { "http" } else { "https" };
        report.refuse(
            format!("{path}.insecure"),
            format!("insecure: {insecure} contradicts the endpoint's scheme {scheme}"),
            "leave insecure out: the scheme decides",
        );
    }
    if endpoint.is_none() && given == Some(true) {
        report.refuse(
            format!("{path}.insecure"),
            "the cloud's own endpoint is only reached by TLS",
            "leave insecure out, or name an endpoint",
        );
    }
    plain.or(given).unwrap_or(false)
}

/// A folder within the bucket, without slashes at its ends.
fn prefix(path: &str, prefix: Option<&str>, report: &mut Report) -> String {
    let trimmed = prefix.unwrap_or_default().trim_matches('/');
    let bad =
        |part: &str| part.is_empty() || part == "." || part == ".." || part.chars().any(char::is_control);
    if !trimmed.is_empty() && trimmed.split('/').any(bad) {
        report.refuse(
            format!("{path}.prefix"),
            format!("{trimmed:?} is not a folder within the bucket"),
            "write names with single slashes between them: team-a/traces",
        );
    }
    trimmed.to_owned()
}
