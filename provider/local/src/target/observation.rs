//! What is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempoform_engine::object::{Condition, EndpointTls, Instance, ObjectId, Observed, ObservedObject};
use tempoform_engine::render::{Endpoint, PortRequest};
use tempoform_engine::target::TargetError;

use super::LocalTarget;
use crate::definitions::{environment_digest, environment_values, reachable};
use crate::files::digest;
use crate::ports;
use crate::process::find_marked;
use crate::state::{Phase, ProcessRecord, Record};
use crate::supervisor::{self, InstanceStatus};

impl LocalTarget {
    pub(super) async fn observation(&self) -> Result<Observed, TargetError> {
        let statuses = self.statuses().await?;
        let (guarded, records) = {
            let state = self.lock_state();
            (state.guarded.clone(), state.objects.values().cloned().collect::<Vec<_>>())
        };
        let mut notes = self.occupied_ports(&statuses);
        notes.extend(self.missing_variables());
        let unrecorded =
            statuses.keys().filter(|instance| !records.iter().any(|r| &r.object.id.name == *instance));
        notes.extend(
            unrecorded.map(|instance| format!("{instance} runs here and is not recorded in state.json")),
        );
        let objects = records
            .into_iter()
            .map(|record| ObservedObject {
                condition: self.condition(&record, &statuses),
                object: record.object,
            })
            .collect();
        Ok(Observed { guarded: guarded.filter(|_| self.directory().exists()), objects, notes })
    }

    /// What the supervisor knows, by instance. One that was killed is replaced if components
    /// still run; if none does, there is nothing to adopt, and `apply` will start one.
    pub(super) async fn statuses(&self) -> Result<BTreeMap<String, InstanceStatus>, TargetError> {
        let directory = self.directory();
        let statuses = match supervisor::connect(directory).await {
            Ok(Some(client)) => client.status().await?,
            Ok(None) if self.something_runs() => self.supervisor().await?.status().await?,
            Ok(None) => supervisor::recorded(directory),
            Err(error) => return Err(error.into()),
        };
        Ok(statuses.into_iter().map(|status| (status.spec.instance.clone(), status)).collect())
    }

    pub(super) fn something_runs(&self) -> bool {
        let directory = self.directory();
        supervisor::recorded(directory).iter().any(|status| {
            let mark = format!("{}/{}", directory.path().display(), status.spec.instance);
            status.running().is_some() || find_marked(&mark).is_some()
        })
    }

    fn condition(&self, record: &Record, statuses: &BTreeMap<String, InstanceStatus>) -> Condition {
        match record.phase {
            Phase::Applying => {
                return Condition::Unfinished("the last apply did not finish with it".to_owned());
            }
            Phase::Deleting => {
                return Condition::Unfinished("its removal was begun and not finished".to_owned());
            }
            Phase::Applied => {}
        }
        let id = &record.object.id;
        let text = fs::read_to_string(self.file_of(id)).unwrap_or_default();
        if digest([text.as_str()]) != record.content {
            return Condition::Unfinished("its configuration file was changed or removed by hand".to_owned());
        }
        match &record.process {
            Some(process) => self.process_condition(id, process, statuses.get(&id.name)),
            None => Condition::Live,
        }
    }

    fn process_condition(
        &self,
        id: &ObjectId,
        process: &ProcessRecord,
        status: Option<&InstanceStatus>,
    ) -> Condition {
        let Some(status) = status else {
            return Condition::Down("it is not running, and no supervisor knows it".to_owned());
        };
        if status.running().is_none() {
            let reason =
                status.last_exit.as_ref().map_or("it is not running".to_owned(), |exit| exit.summary());
            return Condition::Down(reason);
        }
        if status.spec.digest != process.spec.digest {
            return Condition::Unfinished("it runs with another configuration".to_owned());
        }
        let declared = self.declared.get(id).and_then(|declared| declared.process.as_ref());
        let now = declared.and_then(|declared| environment_digest(&declared.definition.environment));
        match now {
            Some(now) if now != status.spec.environment_digest => {
                Condition::Unfinished("a value from the environment changed".to_owned())
            }
            _ => Condition::Live,
        }
    }

    pub(super) fn file_of(&self, id: &ObjectId) -> PathBuf {
        match id.kind.as_str() {
            "Process" => self.directory().config_file(&id.name),
            _ => self.directory().overrides_file(),
        }
    }

    /// Pinned ports that cannot be listened on.
    fn occupied_ports(&self, statuses: &BTreeMap<String, InstanceStatus>) -> Vec<String> {
        let down =
            self.declared.values().filter_map(|declared| declared.process.as_ref()).filter(|process| {
                statuses.get(&process.definition.instance).and_then(InstanceStatus::running).is_none()
            });
        down.flat_map(|process| {
            let definition = &process.definition;
            definition.endpoints.iter().filter_map(|(endpoint, request)| match request {
                PortRequest::Choose => None,
                PortRequest::Pinned(port) => {
                    let address = std::net::SocketAddr::new(definition.host, *port);
                    ports::try_listen(address).err().map(|obstacle| {
                        let instance = &definition.instance;
                        format!("{address}, the {endpoint} of {instance}, {obstacle}: apply will fail")
                    })
                }
            })
        })
        .collect()
    }

    fn missing_variables(&self) -> Vec<String> {
        let processes = self.declared.values().filter_map(|declared| declared.process.as_ref());
        let mut missing: Vec<String> = processes
            .filter_map(|process| environment_values(&process.definition.environment).err())
            .map(|error| error.to_string())
            .collect();
        missing.dedup();
        missing
    }

    pub(super) async fn instances(&self) -> Result<Vec<Instance>, TargetError> {
        let statuses = self.statuses().await?;
        let state = self.lock_state();
        let mut processes: Vec<&Record> =
            state.objects.values().filter(|record| record.process.is_some()).collect();
        processes.sort_by_key(|record| (record.object.wave, record.object.id.name.clone()));
        let instance = |record: &&Record| {
            let instance = record.object.id.name.clone();
            let status = statuses.get(&instance);
            let endpoints = state.ports.0.get(&instance).into_iter().flatten();
            Instance {
                name: record.object.component.clone(),
                pid: status.and_then(InstanceStatus::running).map(|process| process.pid),
                endpoints: endpoints
                    .filter(|(endpoint, _)| **endpoint != Endpoint::Gossip)
                    .map(|(endpoint, address)| (endpoint.to_string(), reachable(*address).to_string()))
                    .collect(),
                tls: receivers_with_tls(&record.object.value, self.directory().path()),
                restarts: status.map_or(0, |status| status.restarts),
                note: status.and_then(|status| status.last_exit.as_ref()).map(|exit| exit.summary()),
                instance,
            }
        };
        Ok(processes.iter().map(instance).collect())
    }

    /// The logs of a component, an instance, or all.
    pub(super) fn log_files(&self, selector: Option<&str>) -> Result<Vec<(String, PathBuf)>, TargetError> {
        let file = |instance: &str| (instance.to_owned(), self.directory().log_file(instance));
        if selector == Some("supervisor") {
            return Ok(vec![file("supervisor")]);
        }
        let state = self.lock_state();
        let processes: Vec<&Record> =
            state.objects.values().filter(|record| record.process.is_some()).collect();
        let chosen = processes.iter().filter(|record| {
            selector.is_none_or(|wanted| record.object.component == wanted || record.object.id.name == wanted)
        });
        let files: Vec<_> = chosen.map(|record| file(&record.object.id.name)).collect();
        if files.is_empty() {
            let names: Vec<&str> = processes.iter().map(|record| record.object.id.name.as_str()).collect();
            let message = match selector {
                Some(wanted) if !names.is_empty() => format!("there is no component or instance {wanted:?}"),
                _ => "nothing is applied, so there are no logs".to_owned(),
            };
            return Err(TargetError::new(message).help(match names.is_empty() {
                true => "run `tempoform apply`".to_owned(),
                false => format!("there are {} and supervisor", names.join(", ")),
            }));
        }
        Ok(files)
    }
}

/// The receivers whose configuration has a certificate. Relative paths start where the process runs.
fn receivers_with_tls(value: &Value, folder: &Path) -> BTreeMap<String, EndpointTls> {
    let receivers = [(Endpoint::OtlpGrpc, "grpc"), (Endpoint::OtlpHttp, "http")];
    let tls = receivers.iter().filter_map(|(endpoint, protocol)| {
        let pointer = format!("/config/distributor/receivers/otlp/protocols/{protocol}/tls");
        let tls = value.pointer(&pointer)?;
        let text = |key: &str| tls.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let tls = EndpointTls {
            certificate: folder.join(text("cert_file")?),
            asks_for_certificates: text("client_ca_file").is_some(),
        };
        Some((endpoint.to_string(), tls))
    });
    tls.collect()
}
