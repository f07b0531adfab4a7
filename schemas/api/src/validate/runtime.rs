//! What our own runtime cannot honour of what Grafana Tempo can. A document for images of Grafana Tempo may say it, and
//! is then refused on this machine, where the runtime is always ours.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use crate::Component;
use crate::spec::{TempoSpec, TlsVersion};
use crate::validated::{ComponentSettings, Ingestion, Storage};

pub(super) fn check(
    spec: &TempoSpec,
    ingestion: &Ingestion,
    storage: &Storage,
    components: &BTreeMap<Component, ComponentSettings>,
    report: &mut Report,
) {
    refuse_newest_tls_only(ingestion, report);
    if let Storage::S3(_) = storage {
        check_s3(spec, report);
    }
    for settings in components.values().filter(|settings| !settings.extra_args.is_empty()) {
        report.refuse(
            format!("spec.{}.extraArgs", settings.component),
            "our runtime takes no further flags, and would not start",
            "write the setting into spec.config: -server.log-level=debug is server: {log_level: debug}",
        );
    }
}

const BOTH_VERSIONS: &str =
    "our runtime always speaks TLS 1.2 and 1.3, so that 1.3 alone cannot be asked for";

fn refuse_newest_tls_only(ingestion: &Ingestion, report: &mut Report) {
    let receivers = [&ingestion.otlp_grpc, &ingestion.otlp_http];
    let certificates = receivers.into_iter().flatten().filter_map(|receiver| receiver.tls.as_ref());
    let newest = certificates.filter(|tls| tls.min_version == TlsVersion::V1_3);
    // Both receivers may have their certificate from the component's block.
    let paths: BTreeSet<&str> = newest.map(|tls| tls.path.as_str()).collect();
    for path in paths {
        report.refuse(format!("{path}.minVersion"), BOTH_VERSIONS, "write \"1.2\", or leave it out");
    }
}

fn check_s3(spec: &TempoSpec, report: &mut Report) {
    let path = "spec.storage.trace.s3";
    let Some(s3) = &spec.storage.trace.s3 else { return };
    let tls = s3.tls.clone().unwrap_or_default();
    if tls.min_version == Some(TlsVersion::V1_3) {
        report.refuse(format!("{path}.tls.minVersion"), BOTH_VERSIONS, "write \"1.2\", or leave it out");
    }
    if tls.server_name.is_some() {
        report.refuse(
            format!("{path}.tls.serverName"),
            "our runtime expects the endpoint's host in the store's certificate",
            "leave it out, and call the store by the name in its certificate",
        );
    }
    if s3.force_path_style == Some(false) && s3.endpoint.is_some() {
        report.refuse(
            format!("{path}.forcePathStyle"),
            "our runtime puts the bucket into the path wherever an endpoint is named",
            "leave it out, or leave the endpoint out for a bucket of Amazon's",
        );
    }
}
