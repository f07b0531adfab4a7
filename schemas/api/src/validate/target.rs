//! What only one of the targets can do.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

use tempoform_document::Problems;

use super::report::Report;
use crate::spec::Mode;
use crate::validated::{
    AzureCredentials, CaBundle, Certificate, ClientTls, GcsCredentials, S3Credentials, ServerTls, Storage,
    Target, ValidatedTempo,
};

/// Where a pod's own volume is mounted.
const DATA_FOLDER: &str = "/var/tempo";

impl ValidatedTempo {
    /// Checks what depends on where the Tempo is to run.
    ///
    /// # Errors
    /// Every setting that `target` cannot honour.
    pub fn check_target(&self, target: Target) -> Result<(), Problems> {
        let mut report = Report::default();
        match target {
            Target::Kubernetes => check_kubernetes(self, &mut report),
            Target::Local => {
                report.absorb(self.targets.local_problems.iter().cloned());
                check_local(self, &mut report);
            }
        }
        check_references(self, target, &mut report);
        report.into_result(())
    }
}

fn check_kubernetes(tempo: &ValidatedTempo, report: &mut Report) {
    let Storage::Local(local) = &tempo.storage else { return };
    if tempo.mode == Mode::Distributed {
        report.refuse(
            "spec.storage.trace.backend",
            "on Kubernetes the components do not share a disk, so backend local cannot be distributed",
            "use s3, gcs or azure, set mode: singleBinary, or run it on this machine (target local)",
        );
    }
    if let Some(path) = local.path.as_deref() {
        check_pod_path(path, tempo, report);
    }
}

/// The root of a pod's file system is read-only, and gone with the pod.
fn check_pod_path(path: &str, tempo: &ValidatedTempo, report: &mut Report) {
    let field = "spec.storage.trace.local.path";
    if !path.starts_with('/') {
        report.refuse(
            field,
            format!("{path:?} is not an absolute path in the pod"),
            "write for example /var/tempo/blocks, or leave the field out",
        );
        return;
    }
    let settings = tempo.components.values().find(|settings| settings.component.has_wal());
    let mounts = settings.map(|settings| settings.pod_template.volume_mounts.as_slice()).unwrap_or_default();
    let writable = mounts.iter().filter(|mount| mount.get("readOnly") != Some(&true.into()));
    let mounted = writable.filter_map(|mount| mount.get("mountPath").and_then(serde_json::Value::as_str));
    let folders = std::iter::once(DATA_FOLDER).chain(mounted);
    if !folders.into_iter().any(|folder| Path::new(path).starts_with(folder)) || path.contains("/../") {
        report.refuse(
            field,
            format!("{path:?} is on no volume of the pod, whose own file system is read-only"),
            "write a folder below /var/tempo, or mount a volume there by spec.tempo.podTemplate",
        );
    }
}

/// Two processes cannot listen on one port.
fn check_local(tempo: &ValidatedTempo, report: &mut Report) {
    let mut owners: HashMap<u16, Vec<(IpAddr, String)>> = HashMap::new();
    for settings in tempo.components.values().filter(|settings| settings.replicas > 0) {
        let ports = settings.local.ports;
        let named = [
            ("http", ports.http),
            ("grpc", ports.grpc),
            ("otlpGrpc", ports.otlp_grpc),
            ("otlpHttp", ports.otlp_http),
        ];
        for (name, port) in named {
            let Some(port) = port else { continue };
            let path = format!("spec.{}.ports.{name}", settings.component);
            let taken = owners.entry(port).or_default();
            let clash = taken.iter().find(|(address, _)| overlap(*address, settings.local.address));
            if let Some((_, owner)) = clash {
                report.refuse(
                    path.clone(),
                    format!("port {port} is taken by {owner}"),
                    "pin another port, or leave it out where it does not matter",
                );
            }
            taken.push((settings.local.address, path));
        }
    }
}

fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

/// Kubernetes has secrets and config maps, this machine has files and environment variables.
fn check_references(tempo: &ValidatedTempo, target: Target, report: &mut Report) {
    check_storage(&tempo.storage, target, report);
    let receivers = [&tempo.ingestion.otlp_grpc, &tempo.ingestion.otlp_http];
    let certificates = receivers.into_iter().flatten().filter_map(|receiver| receiver.tls.as_ref());
    // Both receivers may have theirs from the component's block.
    let by_path: BTreeMap<&str, &ServerTls> = certificates.map(|tls| (tls.path.as_str(), tls)).collect();
    for (path, tls) in by_path {
        check_server_tls(path, tls, target, report);
    }
}

fn check_storage(storage: &Storage, target: Target, report: &mut Report) {
    let (section, source, tls) = match storage {
        Storage::Local(_) => return,
        Storage::S3(s3) => ("s3", s3_source(&s3.credentials), &s3.tls),
        Storage::Gcs(gcs) => ("gcs", gcs_source(&gcs.credentials), &gcs.tls),
        Storage::Azure(azure) => ("azure", azure_source(&azure.credentials), &azure.tls),
    };
    let path = format!("spec.storage.trace.{section}");
    check_source(&path, source, target, report);
    check_client_tls(&format!("{path}.tls"), tls, target, report);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Secret,
    WorkloadIdentity,
    Env,
    Ambient,
}

fn s3_source(credentials: &S3Credentials) -> Source {
    match credentials {
        S3Credentials::Secret { .. } => Source::Secret,
        S3Credentials::WorkloadIdentity { .. } => Source::WorkloadIdentity,
        S3Credentials::Env { .. } => Source::Env,
        S3Credentials::Ambient => Source::Ambient,
    }
}

fn gcs_source(credentials: &GcsCredentials) -> Source {
    match credentials {
        GcsCredentials::Secret { .. } => Source::Secret,
        GcsCredentials::WorkloadIdentity { .. } => Source::WorkloadIdentity,
        GcsCredentials::Env { .. } => Source::Env,
        GcsCredentials::Ambient => Source::Ambient,
    }
}

fn azure_source(credentials: &AzureCredentials) -> Source {
    match credentials {
        AzureCredentials::Secret { .. } => Source::Secret,
        AzureCredentials::WorkloadIdentity { .. } => Source::WorkloadIdentity,
        AzureCredentials::Env { .. } => Source::Env,
        AzureCredentials::Ambient => Source::Ambient,
    }
}

fn check_source(path: &str, source: Source, target: Target, report: &mut Report) {
    let (field, message, help) = match (target, source) {
        (Target::Kubernetes, Source::Env) => (
            "env",
            "pods do not see environment variables of this machine",
            "use secretRef or workloadIdentity, or leave credentials out for what the node offers",
        ),
        (Target::Local, Source::Secret) => (
            "secretRef",
            "there are no Kubernetes secrets on this machine",
            "use credentials.env with the names of environment variables, or leave credentials out",
        ),
        (Target::Local, Source::WorkloadIdentity) => (
            "workloadIdentity",
            "there is no workload identity on this machine",
            "use credentials.env with the names of environment variables, or leave credentials out",
        ),
        _ => return,
    };
    report.refuse(format!("{path}.credentials.{field}"), message, help);
}

fn check_client_tls(path: &str, tls: &ClientTls, target: Target, report: &mut Report) {
    if let Some(ca) = &tls.ca {
        check_ca(&format!("{path}.ca"), ca, target, report);
    }
}

fn check_server_tls(path: &str, tls: &ServerTls, target: Target, report: &mut Report) {
    match (target, &tls.certificate) {
        (Target::Kubernetes, Certificate::Files { .. }) => report.refuse(
            format!("{path}.certFile"),
            "pods do not see files of this machine",
            "put certificate and key into a secret of type kubernetes.io/tls and name it in secretName",
        ),
        (Target::Local, Certificate::Secret { .. }) => report.refuse(
            format!("{path}.secretName"),
            "there are no Kubernetes secrets on this machine",
            "name the files in certFile and keyFile",
        ),
        _ => {}
    }
    if let Some(ca) = &tls.client_ca {
        check_ca(&format!("{path}.clientCa"), ca, target, report);
    }
}

fn check_ca(path: &str, ca: &CaBundle, target: Target, report: &mut Report) {
    match (target, ca) {
        (Target::Kubernetes, CaBundle::File(_)) => report.refuse(
            format!("{path}.file"),
            "pods do not see files of this machine",
            "put the certificates into a config map or secret and name it in configMap or secret",
        ),
        (Target::Local, CaBundle::ConfigMap { .. } | CaBundle::Secret { .. }) => report.refuse(
            path,
            "there are no Kubernetes config maps or secrets on this machine",
            "name a file with the certificates in file",
        ),
        _ => {}
    }
}
