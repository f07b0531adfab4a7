//! From the document as written to the resolved view, finding every problem on the way.
//!
//! Each step resolves its part of the spec with the defaults of [`defaults`](crate::defaults) and reports what is
//! wrong with it; a step that finds a problem goes on with a stand-in, so that one run finds them all.

mod bounds;
mod components;
mod endpoint;
mod ingestion;
mod names;
mod observability;
mod quantity;
mod replication;
mod report;
mod storage;
mod target;
mod tenants;
mod tls;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use tempoform_document::Problems;

use crate::defaults;
use crate::spec::{ServiceAccountSpec, Tempo};
#[cfg(test)]
use crate::validated::Target;
use crate::validated::{Local, ServiceAccount, ValidatedTempo};
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
    ValidatedTempo {
        service_account: service_account(spec.service_account.as_ref(), &name, report),
        name,
        namespace: tempo.metadata.namespace.clone(),
        labels: tempo.metadata.labels.clone().unwrap_or_default(),
        annotations: tempo.metadata.annotations.clone().unwrap_or_default(),
        mode: spec.mode,
        storage: storage::resolve(&spec.storage.trace, report),
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
        config: spec.config.clone(),
        deletion_policy: spec.deletion_policy.unwrap_or_default(),
        local,
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

fn service_account(spec: Option<&ServiceAccountSpec>, tempo: &str, report: &mut Report) -> ServiceAccount {
    let given = spec.and_then(|spec| spec.name.clone());
    if let Some(name) = &given {
        report.check("spec.serviceAccount.name", names::dns_name(name));
    }
    ServiceAccount {
        create: spec.and_then(|spec| spec.create).unwrap_or(given.is_none()),
        name: given.unwrap_or_else(|| defaults::service_account_name(tempo)),
        annotations: spec.map(|spec| spec.annotations.clone()).unwrap_or_default(),
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
