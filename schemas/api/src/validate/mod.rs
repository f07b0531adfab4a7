//! From the document as written to the resolved view, finding every problem on the way.
//!
//! Each step resolves its part of the spec with the defaults of [`defaults`](crate::defaults) and reports what is
//! wrong with it; a step that finds a problem goes on with a stand-in, so that one run finds them all.

mod autoscaling;
mod bounds;
mod components;
mod config;
mod effect;
mod endpoint;
mod exposure;
mod fragments;
mod images;
mod ingestion;
mod names;
mod observability;
mod quantity;
mod replication;
mod report;
mod runtime;
mod storage;
mod target;
mod tenants;
mod tls;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use tempoform_document::Problems;

use crate::Component;
use crate::defaults;
use crate::spec::{NetworkPolicySpec, Tempo, TempoSpec};
use crate::validated::{
    ComponentSettings, Ingestion, Local, NetworkPolicy, ServiceAccount, Storage, Target, Targets,
    ValidatedTempo,
};
use report::Report;

/// The longest `metadata.name`, so that the names of all objects, with component and zone, are DNS labels.
pub const MAX_NAME_LENGTH: usize = 30;

/// Checks a Tempo and fills in every default.
///
/// This is what can be said whatever the target; [`ValidatedTempo::check_target`] adds what only holds for one.
///
/// # Errors
/// Every problem, with its path from the document's root; positions are not known here (see [`load`](crate::load)).
pub fn validate(tempo: &Tempo) -> Result<ValidatedTempo, Problems> {
    let mut report = Report::default();
    let validated = resolve(tempo, &mut report);
    report.into_result(validated)
}

/// [`validate`], and then [`ValidatedTempo::check_target`].
#[cfg(test)]
pub(crate) fn validate_for(tempo: &Tempo, target: Target) -> Result<ValidatedTempo, Problems> {
    let validated = validate(tempo)?;
    validated.check_target(target)?;
    Ok(validated)
}

fn resolve(tempo: &Tempo, report: &mut Report) -> ValidatedTempo {
    let spec = &tempo.spec;
    let name = name(tempo, report);
    let local = local(tempo, report);
    let ingestion = ingestion::resolve(spec, report);
    let components = components::resolve(spec, &ingestion, local.listen_address, report);
    let tenancy = tenants::tenancy(spec.tenancy.as_ref(), report);
    let limits = tenants::limits(spec.limits.as_ref(), &tenancy, report);
    let blocks = bounds::blocks(spec.blocks.as_ref(), report);
    let retention = tenants::retention(spec.retention.as_ref(), &tenancy, blocks.max_duration, report);
    let replication = replication::resolve(spec, &components, report);
    let wal = replication::wal(spec.wal.as_ref(), &replication, report);
    let storage = storage::resolve(&spec.storage.trace, report);
    config::check(&spec.config, report);
    metadata(tempo, report);
    let ingress = exposure::ingress(spec.ingress.as_ref(), &ingestion, report);
    let gateway_api = exposure::gateway_api(spec.gateway_api.as_ref(), &ingestion, report);
    let targets = runtime(spec, &ingestion, &storage, &components, report);
    ValidatedTempo {
        service_account: service_account(spec, &name, report),
        name,
        namespace: tempo.metadata.namespace.clone(),
        labels: tempo.metadata.labels.clone().unwrap_or_default(),
        mode: spec.mode,
        storage,
        image_pull_policy: spec.image_pull_policy.unwrap_or_default(),
        image_pull_secrets: image_pull_secrets(tempo, report),
        cache: bounds::cache(spec.cache.as_ref(), &components, report),
        components,
        ingestion,
        limits,
        retention,
        tenancy,
        replication,
        wal,
        query: bounds::query(spec.query.as_ref(), report),
        blocks,
        observability: observability::resolve(spec.observability.as_ref(), report),
        network_policy: network_policy(spec.network_policy.as_ref()),
        ingress,
        gateway_api,
        config: spec.config.clone(),
        deletion_policy: spec.deletion_policy.unwrap_or_default(),
        local,
        targets,
        warnings: report.take_warnings(),
    }
}

fn name(tempo: &Tempo, report: &mut Report) -> String {
    let name = tempo.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        report.refuse("metadata.name", "the name is missing", "name the Tempo, for example: name: traces");
    } else {
        report.check("metadata.name", names::dns_label(&name, MAX_NAME_LENGTH));
    }
    if let Some(namespace) = &tempo.metadata.namespace {
        report.check("metadata.namespace", names::dns_label(namespace, names::DNS_LABEL_LENGTH));
    }
    name
}

fn metadata(tempo: &Tempo, report: &mut Report) {
    if let Some(labels) = &tempo.metadata.labels {
        names::labels("metadata.labels", labels, report);
    }
    effect::of_metadata(tempo, report);
}

/// Whose runtime it is decides what it can honour. On this machine it is always ours.
fn runtime(
    spec: &TempoSpec,
    ingestion: &Ingestion,
    storage: &Storage,
    components: &BTreeMap<Component, ComponentSettings>,
    report: &mut Report,
) -> Targets {
    images::refuse_mixture(spec, components, report);
    let upstream = images::are_upstream(components);
    effect::of_runtime(spec, upstream, report);
    let mut ours = Report::default();
    runtime::check(spec, ingestion, storage, components, &mut ours);
    let mut problems = ours.take_problems().problems;
    if !upstream {
        report.absorb(std::mem::take(&mut problems));
    }
    Targets {
        local_problems: problems,
        local_warnings: effect::of_target(spec, Target::Local),
        kubernetes_warnings: effect::of_target(spec, Target::Kubernetes),
    }
}

fn network_policy(spec: Option<&NetworkPolicySpec>) -> Option<NetworkPolicy> {
    let spec = spec.cloned().unwrap_or_default();
    spec.enabled.unwrap_or(true).then_some(NetworkPolicy { extra_egress: spec.extra_egress })
}

fn service_account(spec: &TempoSpec, tempo: &str, report: &mut Report) -> ServiceAccount {
    let path = "spec.serviceAccount";
    let given = spec.service_account.clone().unwrap_or_default();
    let create = given.create.unwrap_or(given.name.is_none());
    names::annotations(&format!("{path}.annotations"), &given.annotations, report);
    match &given.name {
        Some(name) => report.check(format!("{path}.name"), names::dns_name(name)),
        None if !create => report.refuse(
            format!("{path}.create"),
            "an account that is not created must be there, and none is named",
            "name it in serviceAccount.name, or leave create out",
        ),
        None => {}
    }
    if !create {
        warn_of_foreign_account(spec, !given.annotations.is_empty(), report);
    }
    ServiceAccount {
        create,
        name: given.name.unwrap_or_else(|| defaults::service_account_name(tempo)),
        annotations: given.annotations,
    }
}

/// Nobody writes on an account that is somebody else's.
fn warn_of_foreign_account(spec: &TempoSpec, annotated: bool, report: &mut Report) {
    if annotated {
        report.warn(
            "spec.serviceAccount.annotations",
            "they have no effect: the account is not created with the Tempo",
            "annotate the account where it is made, or set create: true",
        );
    }
    let trace = &spec.storage.trace;
    let s3 = trace.s3.as_ref().and_then(|s3| s3.credentials.as_ref()?.workload_identity.as_ref());
    let gcs = trace.gcs.as_ref().and_then(|gcs| gcs.credentials.as_ref()?.workload_identity.as_ref());
    let azure = trace.azure.as_ref().and_then(|azure| azure.credentials.as_ref()?.workload_identity.as_ref());
    let named = [
        ("s3", s3.is_some_and(|identity| identity.role_arn.is_some())),
        ("gcs", gcs.is_some_and(|identity| identity.service_account_email.is_some())),
        ("azure", azure.is_some()),
    ];
    for (section, _) in named.into_iter().filter(|(_, named)| *named) {
        report.warn(
            format!("spec.storage.trace.{section}.credentials.workloadIdentity"),
            "the identity must be written on the service account, which is not created with the Tempo",
            "annotate the account where it is made, or set serviceAccount.create: true",
        );
    }
}

fn image_pull_secrets(tempo: &Tempo, report: &mut Report) -> Vec<String> {
    let named = tempo.spec.image_pull_secrets.iter().enumerate().map(|(index, secret)| {
        report.check(format!("spec.imagePullSecrets[{index}].name"), names::dns_name(&secret.name));
        secret.name.clone()
    });
    named.collect()
}

fn local(tempo: &Tempo, report: &mut Report) -> Local {
    let spec = tempo.spec.local.as_ref();
    let address = spec.and_then(|spec| spec.listen_address.as_deref());
    let state_directory = spec.and_then(|spec| spec.state_directory.clone());
    if state_directory.as_deref() == Some("") {
        report.refuse(
            "spec.local.stateDirectory",
            "the path is empty",
            "name a folder, or leave the field out",
        );
    }
    Local {
        state_directory,
        listen_address: listen_address("spec.local.listenAddress", address, report)
            .unwrap_or(defaults::LISTEN_ADDRESS),
    }
}

/// An IP address to listen on; a name could mean several.
fn listen_address(path: &str, text: Option<&str>, report: &mut Report) -> Option<IpAddr> {
    let text = text?;
    let address = text.parse().ok();
    if address.is_none() {
        report.refuse(
            path,
            format!("{text:?} is not an IP address"),
            "write 127.0.0.1 for this machine only, 0.0.0.0 for all its interfaces, or one interface's address",
        );
    }
    address
}
