mod change;
mod cleanup;
mod observation;
mod removal;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tempoform_engine::health;
use tempoform_engine::object::{Desired, Guarded, Instance, Object, ObjectId, Observed};
use tempoform_engine::plan::{Action, Change};
use tempoform_engine::render::{Endpoint, ProcessDefinition};
use tempoform_engine::target::{DataPolicy, Listener, LogLine, LogQuery, Readiness, Target, TargetError};
use tokio::sync::mpsc;

use crate::build::Build;
use crate::definitions::{Declared, Maker, reachable};
use crate::directory::StateDirectory;
use crate::lock::{ApplyLock, LockError};
use crate::logs;
use crate::ownership::Owner;
use crate::ports;
use crate::state::{Phase, State, StateError};
use crate::supervisor::{self, Client, Launcher, SupervisorError};

/// Exit code of the runtime for a configuration that it cannot work with: trying again is useless.
const BAD_CONFIGURATION: i32 = 64;
/// Ends of a component after its start, from which on it is not waited for any more.
const CRASH_LOOP: u32 = 3;
/// Log lines that a receiver may lag behind.
const LOG_QUEUE: usize = 256;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How a component is run: `EXECUTABLE ARGUMENTS… --target=X --config.file=F`.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program.
    pub executable: PathBuf,
    /// Arguments before those of the component.
    pub arguments: Vec<String>,
}

/// What a local target is made of.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The document, to which the directory belongs.
    pub owner: Owner,
    /// Where everything is kept.
    pub directory: StateDirectory,
    /// How components are run.
    pub program: Program,
    /// How the supervisor is started.
    pub launcher: Launcher,
}

/// Components as processes on this machine.
pub struct LocalTarget {
    options: LocalOptions,
    client: reqwest::Client,
    state: Mutex<State>,
    guarded: Option<Guarded>,
    declared: BTreeMap<ObjectId, Declared>,
}

impl LocalTarget {
    /// The target as it was left by the last command.
    ///
    /// # Errors
    /// When the folder belongs to another document or is not ours to use, or the recorded state cannot be read.
    pub fn open(options: LocalOptions) -> Result<Self, TargetError> {
        options.directory.check_owner(&options.owner)?;
        let state = State::load(&options.directory)?.unwrap_or_else(|| State::new(&options.owner.name));
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| TargetError::new("no HTTP client can be made").caused_by(error))?;
        Ok(Self { options, client, state: Mutex::new(state), guarded: None, declared: BTreeMap::new() })
    }

    /// Takes over what is declared, with a port for every endpoint.
    ///
    /// # Errors
    /// When no port is free, or a configuration cannot be completed.
    pub fn declare(
        &mut self,
        definitions: &[ProcessDefinition],
        guarded: Guarded,
    ) -> Result<Desired, TargetError> {
        let running: Vec<String> = supervisor::recorded(&self.options.directory)
            .into_iter()
            .filter(|status| status.running().is_some())
            .map(|status| status.spec.instance)
            .collect();
        let directory = &self.options.directory;
        let seed = directory.path().display().to_string();
        let mut state = self.lock_state();
        let ports = ports::resolve(definitions, &state.ports, &seed, |instance| {
            running.iter().any(|name| name == instance)
        })?;
        let program = &self.options.program;
        let build = Build::of(&program.executable, state.build.as_ref())?;
        let maker = Maker { directory, program, build: build.as_ref(), ports: &ports };
        let declared = maker.declare(definitions)?;
        state.build = build;
        // Those of instances that go stay known until they are gone.
        for (instance, endpoints) in ports.0 {
            state.ports.0.insert(instance, endpoints);
        }
        drop(state);
        let objects = declared.iter().map(|declared| declared.object.clone()).collect();
        self.declared = declared.into_iter().map(|declared| (declared.object.id.clone(), declared)).collect();
        self.guarded = Some(guarded.clone());
        Ok(Desired { name: self.options.owner.name.clone(), guarded, objects })
    }

    /// Keeps other commands from changing this Tempo until the lock is dropped.
    ///
    /// # Errors
    /// When another command holds the lock (it is named), or the state directory cannot be made.
    pub fn lock(&self) -> Result<ApplyLock, TargetError> {
        self.claim()?;
        ApplyLock::take(&self.options.directory.apply_lock()).map_err(|error| match &error {
            LockError::Held { .. } => TargetError::new(error.to_string()),
            LockError::Io { .. } => TargetError::new("the state directory cannot be locked").caused_by(error),
        })
    }

    /// Where this target keeps everything.
    pub fn directory(&self) -> &StateDirectory {
        &self.options.directory
    }

    fn claim(&self) -> Result<(), TargetError> {
        self.options.directory.claim(&self.options.owner)
    }

    async fn supervisor(&self) -> Result<Client, TargetError> {
        self.claim()?;
        Ok(supervisor::connect_or_launch(&self.options.directory, &self.options.launcher).await?)
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, in memory and on disk.
    fn record(&self, change: impl FnOnce(&mut State)) -> Result<(), TargetError> {
        let mut state = self.lock_state();
        if let Some(guarded) = &self.guarded {
            state.guarded = Some(guarded.clone());
        }
        change(&mut state);
        Ok(state.store(&self.options.directory)?)
    }

    /// Where an instance answers HTTP.
    fn http_address(&self, instance: &str) -> Option<String> {
        let address = self.lock_state().ports.get(instance, Endpoint::Http)?;
        Some(reachable(address).to_string())
    }
}

#[async_trait]
impl Target for LocalTarget {
    fn name(&self) -> &str {
        "local"
    }

    async fn observe(&self) -> Result<Observed, TargetError> {
        self.observation().await
    }

    async fn apply_change(&self, change: &Change, desired: Option<&Object>) -> Result<(), TargetError> {
        match (change.action, desired.and_then(|object| self.declared.get(&object.id))) {
            (Action::NoChange, _) => Ok(()),
            (Action::Delete, _) => self.remove(&change.object).await,
            (action, Some(declared)) => self.put(declared, action == Action::Restart).await,
            (_, None) => Err(TargetError::new(format!("{} is not declared", change.object))),
        }
    }

    async fn readiness(&self, object: &ObjectId) -> Result<Readiness, TargetError> {
        if object.kind != "Process" {
            return Ok(Readiness::Ready);
        }
        let statuses = self.supervisor().await?.status().await?;
        let Some(status) = statuses.into_iter().find(|status| status.spec.instance == object.name) else {
            return Ok(Readiness::Failed(format!("the supervisor does not know {}", object.name)));
        };
        // One that runs is judged by what it answers: former ends may have had former causes.
        if let (None, Some(exit)) = (status.running(), &status.last_exit) {
            let hopeless = exit.code == Some(BAD_CONFIGURATION) || status.restarts >= CRASH_LOOP;
            if hopeless {
                let tail = exit.log_tail.join("\n  ");
                return Ok(Readiness::Failed(format!(
                    "{} does not stay up: {}\n  {tail}",
                    object.name, exit.reason
                )));
            }
            return Ok(Readiness::Waiting(format!("{}; it is started again", exit.summary())));
        }
        match self.http_address(&object.name) {
            Some(address) => Ok(health::ready(&self.client, &address).await),
            None => Ok(Readiness::Ready),
        }
    }

    async fn settle(&self, object: &ObjectId) -> Result<(), TargetError> {
        self.record(|state| {
            if let Some(record) = state.record_mut(object) {
                record.phase = Phase::Applied;
            }
        })
    }

    async fn destroy(&self, data: DataPolicy, progress: &Listener<'_>) -> Result<Vec<String>, TargetError> {
        self.destroy_all(data, progress).await
    }

    async fn logs(&self, query: LogQuery) -> Result<mpsc::Receiver<LogLine>, TargetError> {
        let LogQuery { selector, follow, tail } = query;
        let files = self.log_files(selector.as_deref())?;
        let (sender, lines) = mpsc::channel(LOG_QUEUE);
        tokio::spawn(logs::send(files, tail, follow, sender));
        Ok(lines)
    }

    async fn endpoints(&self) -> Result<Vec<Instance>, TargetError> {
        self.instances().await
    }
}

impl From<StateError> for TargetError {
    fn from(error: StateError) -> Self {
        Self::new("the recorded state cannot be used").caused_by(error)
    }
}

impl From<SupervisorError> for TargetError {
    fn from(error: SupervisorError) -> Self {
        let help = "see logs/supervisor.log in the state directory, then run the command again";
        Self::new("the supervisor of the components failed").caused_by(error).help(help)
    }
}

#[cfg(test)]
mod tests;
