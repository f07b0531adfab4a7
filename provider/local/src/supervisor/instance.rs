use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use super::protocol::{ExitRecord, Goal, InstanceStatus, ProcessSpec};
use super::registry::Registry;
use crate::logs;
use crate::process::{MARK, ProcessIdentity, find_marked};

/// Pause before the first restart; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After running this long, the next pause is the first again.
const STABLE: Duration = Duration::from_secs(30);
/// How often an adopted process is looked at: only its parent is told when it ends.
const ADOPTED_POLL: Duration = Duration::from_millis(100);
/// Log lines kept with the record of an exit.
const LOG_TAIL: usize = 10;

/// What a worker is told. Answers come when it is done.
pub(super) enum Order {
    Start {
        spec: ProcessSpec,
        environment: BTreeMap<String, String>,
        reply: oneshot::Sender<Result<(), String>>,
    },
    Retire {
        reply: oneshot::Sender<Result<(), String>>,
    },
    Stop {
        reply: oneshot::Sender<Result<(), String>>,
    },
}

/// Keeps one component as it is to be.
pub(super) struct Worker {
    registry: Arc<Registry>,
    instance: String,
    environment: BTreeMap<String, String>,
    running: Option<Running>,
    /// Ends in a row, each soon after its start.
    quick_ends: u32,
    /// Length of the log when the process was started; what comes after is its own.
    log_start: u64,
}

enum Running {
    Child { child: Child, identity: ProcessIdentity, since: Instant },
    Adopted { identity: ProcessIdentity, since: Instant },
}

/// Runs until the sender of orders is dropped. The component then goes on without a supervisor.
pub(super) async fn work(registry: Arc<Registry>, instance: String, mut orders: mpsc::Receiver<Order>) {
    let mut worker = Worker {
        registry,
        instance,
        environment: BTreeMap::new(),
        running: None,
        quick_ends: 0,
        log_start: 0,
    };
    worker.adopt();
    loop {
        let wakes = worker.wakes_after();
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(order) => worker.obey(order).await,
                None => return,
            },
            reason = ended(&mut worker.running) => worker.ended(reason),
            () = sleep_or_never(wakes) => worker.restart(),
        }
    }
}

impl Worker {
    /// Takes over a process that a former supervisor started.
    fn adopt(&mut self) {
        let Some(status) = self.registry.get(&self.instance) else { return };
        let recorded = status.process.filter(ProcessIdentity::is_alive);
        let identity = recorded.or_else(|| find_marked(&self.mark()));
        match identity {
            Some(identity) => {
                tracing::info!(instance = self.instance, pid = identity.pid, "adopted");
                self.running = Some(Running::Adopted { identity, since: Instant::now() });
                self.registry.update(&self.instance, |status| status.process = Some(identity));
            }
            None if status.process.is_some() => {
                self.ended("ended while there was no supervisor".to_owned().into())
            }
            None => {}
        }
    }

    async fn obey(&mut self, order: Order) {
        // A command that no longer listens does not matter: the order is carried out.
        match order {
            Order::Start { spec, environment, reply } => {
                let _ = reply.send(self.start(spec, environment).await);
            }
            Order::Retire { reply } => {
                self.registry.update(&self.instance, |status| status.goal = Goal::Retire);
                let _ = reply.send(Ok(()));
            }
            Order::Stop { reply } => {
                self.registry.update(&self.instance, |status| status.goal = Goal::Stop);
                self.stop().await;
                let _ = reply.send(Ok(()));
            }
        }
    }

    async fn start(
        &mut self,
        spec: ProcessSpec,
        environment: BTreeMap<String, String>,
    ) -> Result<(), String> {
        self.stop().await;
        self.environment = environment;
        self.quick_ends = 0;
        let status = InstanceStatus { spec, goal: Goal::Run, process: None, restarts: 0, last_exit: None };
        self.registry.insert(status);
        self.spawn()
    }

    /// The component did not end by an order: starts it again.
    fn restart(&mut self) {
        self.registry.update(&self.instance, |status| status.restarts += 1);
        if let Err(error) = self.spawn() {
            self.ended(error.into());
        }
    }

    fn spawn(&mut self) -> Result<(), String> {
        let Some(status) = self.registry.get(&self.instance) else { return Ok(()) };
        let spec = &status.spec;
        if let Some(name) = spec.environment.iter().find(|name| !self.knows(name)) {
            return Err(format!(
                "the environment variable {name} is not known to this supervisor; run `tempoform apply` with it set"
            ));
        }
        self.log_start = logs::length(&spec.log);
        let child = self.command(spec).and_then(|mut command| command.spawn()).map_err(|error| {
            format!("cannot start {}: {error}; run `tempoform apply` again", spec.executable.display())
        })?;
        // A child that ended at once still has its id until it is waited for.
        let pid = child.id().unwrap_or_default();
        let identity = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, started: 0 });
        tracing::info!(instance = self.instance, pid, "started");
        self.running = Some(Running::Child { child, identity, since: Instant::now() });
        self.registry.update(&self.instance, |status| status.process = Some(identity));
        Ok(())
    }

    /// A new supervisor has the values only if the command that launched it had them.
    fn knows(&self, variable: &str) -> bool {
        self.environment.contains_key(variable) || std::env::var_os(variable).is_some()
    }

    fn command(&self, spec: &ProcessSpec) -> io::Result<Command> {
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&spec.log)?;
        let mut command = Command::new(&spec.executable);
        command
            .args(&spec.arguments)
            .envs(&self.environment)
            .env(MARK, self.mark())
            .current_dir(self.registry.directory().path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        Ok(command)
    }

    fn mark(&self) -> String {
        format!("{}/{}", self.registry.directory().path().display(), self.instance)
    }

    fn ended(&mut self, reason: EndReason) {
        let ran = self.running.take().map(|running| running.since().elapsed()).unwrap_or_default();
        self.quick_ends = if ran >= STABLE { 0 } else { self.quick_ends.saturating_add(1) };
        tracing::info!(instance = self.instance, reason = reason.text, "ended");
        let log_start = self.log_start;
        self.registry.update(&self.instance, |status| {
            let log_tail = logs::tail_since(&status.spec.log, log_start, LOG_TAIL).unwrap_or_default();
            status.process = None;
            status.last_exit =
                Some(ExitRecord { reason: reason.text, code: reason.code, at: Timestamp::now(), log_tail });
        });
    }

    /// After which time something is to be done without an order.
    fn wakes_after(&self) -> Option<Duration> {
        let status = self.registry.get(&self.instance)?;
        (self.running.is_none() && status.goal == Goal::Run).then(|| pause_after(self.quick_ends))
    }

    /// Asks the process to end, and kills it when it takes too long.
    async fn stop(&mut self) {
        let Some(running) = &self.running else { return };
        let identity = running.identity();
        let grace = self.registry.get(&self.instance).map_or(0, |status| status.spec.stop_grace_seconds);
        let grace = Duration::from_secs(u64::from(grace));
        signal(identity, Signal::TERM);
        let mut reason = tokio::time::timeout(grace, ended(&mut self.running)).await.ok();
        if reason.is_none() {
            tracing::warn!(instance = self.instance, ?grace, "did not stop in time; killing it");
            signal(identity, Signal::KILL);
            reason = Some(ended(&mut self.running).await);
        }
        if let Some(reason) = reason {
            self.ended(reason);
        }
    }
}

/// The pause before a restart, after so many quick ends in a row.
fn pause_after(quick_ends: u32) -> Duration {
    let doublings = quick_ends.saturating_sub(1).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

impl Running {
    fn identity(&self) -> ProcessIdentity {
        match self {
            Self::Child { identity, .. } | Self::Adopted { identity, .. } => *identity,
        }
    }

    fn since(&self) -> Instant {
        match self {
            Self::Child { since, .. } | Self::Adopted { since, .. } => *since,
        }
    }
}

struct EndReason {
    text: String,
    code: Option<i32>,
}

impl From<String> for EndReason {
    fn from(text: String) -> Self {
        Self { text, code: None }
    }
}

impl From<ExitStatus> for EndReason {
    fn from(status: ExitStatus) -> Self {
        let text = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "ended".to_owned(),
        };
        Self { text, code: status.code() }
    }
}

/// Waits until the process ends; for ever if there is none.
async fn ended(running: &mut Option<Running>) -> EndReason {
    match running {
        None => std::future::pending().await,
        Some(Running::Child { child, .. }) => match child.wait().await {
            Ok(status) => status.into(),
            Err(error) => format!("cannot be waited for: {error}").into(),
        },
        Some(Running::Adopted { identity, .. }) => {
            while identity.is_alive() {
                tokio::time::sleep(ADOPTED_POLL).await;
            }
            "ended; its exit code went to the supervisor that started it".to_owned().into()
        }
    }
}

async fn sleep_or_never(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

fn signal(identity: ProcessIdentity, signal: Signal) {
    if let Err(error) = identity.signal(signal) {
        tracing::warn!(pid = identity.pid, %error, "cannot send a signal");
    }
}
