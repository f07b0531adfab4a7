use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use tempoform_api::{Storage, ValidatedTempo};
use tempoform_engine::health::{self, ObjectStoreAccount, Outcome, Report};
use tempoform_engine::object::Instance;

use super::DIFFERENT;
use super::health::to_text;
use super::running::{self, Running};
use crate::args::{Format, Status};
use crate::documents::{self, Purpose};
use crate::failure::Failure;
use crate::output;

const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(3);

/// The answer of `tempoform status -o json`. Fields are added, never renamed or removed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusDocument {
    name: String,
    target: String,
    /// On this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_directory: Option<String>,
    /// In a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    components: Vec<ComponentStatus>,
    storage: StorageStatus,
    health: Report,
    /// What readers of object storage spent there since they started; absent if not known.
    object_store: Option<ObjectStoreAccount>,
}

#[derive(Serialize)]
struct ComponentStatus {
    name: String,
    instance: String,
    pid: Option<u32>,
    ready: bool,
    endpoints: BTreeMap<String, String>,
    restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
struct StorageStatus {
    backend: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
}

pub(crate) async fn run(args: &Status) -> Result<ExitCode, Failure> {
    let declared = documents::load_one(&args.files, Purpose::Name)?;
    let tempo = &declared.document.validated;
    let running = running::open(&declared, &args.destination).await?;
    let instances = running.target().endpoints().await?;
    let report = health::check(&instances, &running::health_options(tempo)).await;
    let account = match instances.is_empty() {
        true => None,
        false => health::object_store_account(&instances, ACCOUNT_TIMEOUT)
            .await
            .inspect_err(|reason| output::note(&format!("note: object-store account: {reason}")))
            .ok(),
    };
    let status = StatusDocument {
        name: tempo.name.clone(),
        target: running.target().name().to_owned(),
        state_directory: match &running {
            Running::Local(target) => Some(target.directory().path().display().to_string()),
            Running::Cluster(_) => None,
        },
        namespace: match &running {
            Running::Local(_) => None,
            Running::Cluster(target) => Some(target.namespace().to_owned()),
        },
        components: instances.into_iter().map(|instance| component(instance, &report, &running)).collect(),
        storage: storage(tempo, &running),
        health: report,
        object_store: account,
    };
    match args.output {
        Format::Json => output::json(&status)?,
        Format::Text => output::data(&table(&status))?,
    }
    let different = args.detailed_exitcode && !status.health.healthy;
    Ok(if different { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

fn component(instance: Instance, report: &Report, running: &Running) -> ComponentStatus {
    let Instance { name, instance, pid, mut endpoints, tls: _, restarts, mut note } = instance;
    match running {
        Running::Local(_) => note = note.map(|note| format!("last ended: {note}")),
        // They are this command's own way in, and end with it.
        Running::Cluster(_) => endpoints.clear(),
    }
    let check = format!("ready/{instance}");
    let ready = report.checks.iter().any(|c| c.name == check && c.outcome == Outcome::Pass);
    ComponentStatus { name, instance, pid, ready, endpoints, restarts, note }
}

fn storage(tempo: &ValidatedTempo, running: &Running) -> StorageStatus {
    let folder = match running {
        Running::Local(target) => target.directory().path(),
        Running::Cluster(_) => Path::new(running::POD_DATA),
    };
    let path = match &tempo.storage {
        Storage::Local(local) => Some(
            folder.join(local.path.as_deref().unwrap_or(tempoform_api::BLOCKS_FOLDER)).display().to_string(),
        ),
        Storage::S3(_) | Storage::Gcs(_) | Storage::Azure(_) => None,
    };
    let backend = match &tempo.storage {
        Storage::Local(_) => "local",
        Storage::S3(_) => "s3",
        Storage::Gcs(_) => "gcs",
        Storage::Azure(_) => "azure",
    };
    StorageStatus { backend, path, bucket: tempo.storage.bucket().map(str::to_owned) }
}

fn table(status: &StatusDocument) -> String {
    let StatusDocument {
        name,
        target,
        state_directory,
        namespace,
        components,
        storage,
        health,
        object_store,
    } = status;
    let place = match (state_directory, namespace) {
        (Some(folder), _) => format!(", state in {folder}"),
        (None, Some(namespace)) => format!(", namespace {namespace}"),
        (None, None) => String::new(),
    };
    let mut text = format!("{name} on target {target}{place}\n\n");
    let width = components.iter().map(|c| c.instance.len()).max().unwrap_or(0).max("INSTANCE".len());
    text.push_str(&format!("{:<width$}  READY  {:>8}  RESTARTS  ENDPOINTS\n", "INSTANCE", "PID"));
    for ComponentStatus { name: _, instance, pid, ready, endpoints, restarts, note } in components {
        let ready = if *ready { "yes" } else { "no" };
        let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let endpoints: Vec<String> =
            endpoints.iter().map(|(key, address)| format!("{key}={address}")).collect();
        let endpoints = endpoints.join(" ");
        text.push_str(&format!("{instance:<width$}  {ready:<5}  {pid:>8}  {restarts:>8}  {endpoints}\n"));
        if let Some(note) = note {
            text.push_str(&format!("{:<width$}  {note}\n", ""));
        }
    }
    let place = storage.path.as_deref().or(storage.bucket.as_deref()).unwrap_or_default();
    text.push_str(&format!("\nStorage: {} {place}\n", storage.backend));
    if let Some(ObjectStoreAccount { requests, bytes, wait_ms, cache_hits, cache_bytes }) = object_store {
        text.push_str(&format!(
            "Object store, read since start: {requests} requests, {bytes} bytes, {wait_ms} ms waited; \
             {cache_hits} cache hits, {cache_bytes} bytes\n"
        ));
    }
    text.push('\n');
    text.push_str(&to_text(health));
    text
}
