//! Making an object as it is declared.

use std::collections::BTreeMap;

use tempoform_engine::target::TargetError;

use super::LocalTarget;
use crate::definitions::{Declared, DeclaredProcess, environment_values};
use crate::files::{digest, write_atomically};
use crate::literals;
use crate::ports;
use crate::state::{Phase, Record};
use crate::supervisor::{Client, Goal, InstanceStatus};

impl LocalTarget {
    /// Writes an object's file and runs its process. A process that runs already with the same
    /// configuration goes on, unless `anew`.
    pub(super) async fn put(&self, declared: &Declared, anew: bool) -> Result<(), TargetError> {
        let Declared { object, file, text, process } = declared;
        self.claim()?;
        // It may have been asked to leave already, and cannot be asked to stay: it takes no more spans.
        let leaving =
            self.lock_state().record(&object.id).is_some_and(|former| former.phase == Phase::Deleting);
        let prepared = match process {
            Some(process) => Some(self.prepare(process).await?),
            None => None,
        };
        let record = Record {
            object: object.clone(),
            phase: Phase::Applying,
            content: digest([text.as_str()]),
            process: process.as_ref().map(|process| process.record.clone()),
        };
        self.record(|state| {
            state.objects.insert(object.id.to_string(), record);
        })?;
        write_atomically(file, text.as_bytes()).map_err(|error| {
            TargetError::new(format!("cannot write {}", file.display()))
                .caused_by(error)
                .help("make room and let the folder be writable, then apply again")
        })?;
        match (process, prepared) {
            (Some(process), Some(prepared)) => self.run(process, prepared, anew || leaving).await,
            _ => Ok(()),
        }
    }

    /// Everything that can go wrong before anything is changed.
    async fn prepare(&self, process: &DeclaredProcess) -> Result<Prepared, TargetError> {
        let environment = environment_values(&process.definition.environment)?;
        let supervisor = self.supervisor().await?;
        let instance = &process.definition.instance;
        let status = supervisor.status().await?.into_iter().find(|status| status.spec.instance == *instance);
        let running = status.as_ref().is_some_and(|status| status.running().is_some());
        if !running {
            check_ports(process)?;
        }
        {
            // One at a time: the note is read and written again.
            let _state = self.lock_state();
            self.directory().remember(&process.folders)?;
        }
        process.make_folders(self.directory())?;
        literals::store(self.directory(), instance, &process.definition.environment)?;
        Ok(Prepared { environment, supervisor, status })
    }

    async fn run(
        &self,
        process: &DeclaredProcess,
        prepared: Prepared,
        anew: bool,
    ) -> Result<(), TargetError> {
        let Prepared { environment, supervisor, status } = prepared;
        let spec = &process.record.spec;
        let same = status.is_some_and(|status| {
            status.running().is_some()
                && status.goal == Goal::Run
                && status.spec.digest == spec.digest
                && status.spec.environment_digest == spec.environment_digest
        });
        if same && !anew {
            return Ok(());
        }
        Ok(supervisor.start(spec.clone(), environment).await?)
    }
}

struct Prepared {
    environment: BTreeMap<String, String>,
    supervisor: Client,
    status: Option<InstanceStatus>,
}

fn check_ports(process: &DeclaredProcess) -> Result<(), TargetError> {
    let instance = &process.definition.instance;
    process.addresses.iter().try_for_each(|address| {
        ports::try_listen(*address)
            .map_err(|obstacle| obstacle.error(&format!("{instance} cannot listen on {address}")))
    })
}
