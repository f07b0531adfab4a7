use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::instance::{Order, work};
use super::protocol::{Goal, InstanceStatus, LONGEST_LINE, PROTOCOL, Request, Response};
use super::registry::Registry;
use super::socket;
use crate::directory::StateDirectory;
use crate::files::remove_if_there;
use crate::lock::{LockError, lock};
use crate::logs;

/// How often the size of logs is looked at.
const LOG_CHECK: Duration = Duration::from_secs(5);
/// Orders that may wait for one component.
const ORDERS: usize = 8;

/// How a supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Another one runs for the same directory.
    AlreadyRunning,
    /// The components go on without it.
    HandedOver,
    /// It stopped every component.
    Stopped,
}

/// Why a supervisor could not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its socket, signals or runtime cannot be had.
    #[error("cannot {action}")]
    Io {
        /// What failed.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The whole life of a supervisor process: leaves the session of the command that started it, and
/// runs. To be called before any thread is started.
///
/// # Errors
/// When lock, socket or runtime cannot be had.
pub fn supervise(directory: &StateDirectory) -> Result<Ended, RunError> {
    // Fails only for the leader of a process group, which has no controlling command to leave.
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Io { action: "start the runtime", source })?;
    runtime.block_on(run(directory))
}

/// Runs a supervisor in this process, until it is told to end.
///
/// # Errors
/// When lock or socket cannot be had.
pub async fn run(directory: &StateDirectory) -> Result<Ended, RunError> {
    let failed = |action| move |source| RunError::Io { action, source };
    let _lock = match lock(&directory.supervisor_lock(), &format!("pid {}", std::process::id())) {
        Ok(lock) => lock,
        Err(LockError::Held { .. }) => return Ok(Ended::AlreadyRunning),
        Err(error) => return Err(error.into()),
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("listen for signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("listen for signals"))?;
    let supervisor = Arc::new(Supervisor::new(directory));
    let listener = socket::listen(directory).map_err(failed("listen on the supervisor's socket"))?;
    tracing::info!(directory = %directory.path().display(), "supervising");

    let (end, mut ends) = mpsc::channel(1);
    let mut log_check = tokio::time::interval(LOG_CHECK);
    let ended = loop {
        tokio::select! {
            biased;
            ended = ends.recv() => break ended.unwrap_or(Ended::HandedOver),
            // Ended by the machine's shutdown or by hand: components are to stop in good order.
            _ = terminate.recv() => { supervisor.stop_all().await; break Ended::Stopped }
            _ = interrupt.recv() => { supervisor.stop_all().await; break Ended::Stopped }
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let (supervisor, end) = (Arc::clone(&supervisor), end.clone());
                tokio::spawn(async move { supervisor.connection(stream, end).await });
            },
            _ = log_check.tick() => supervisor.bound_logs().await,
        }
    };
    // Orderly ends leave no socket; a command then knows that there is no supervisor.
    let _ = remove_if_there(&directory.socket());
    tracing::info!(?ended, "supervisor ends");
    Ok(ended)
}

struct Supervisor {
    registry: Arc<Registry>,
    workers: Mutex<HashMap<String, mpsc::Sender<Order>>>,
}

impl Supervisor {
    fn new(directory: &StateDirectory) -> Self {
        let registry = Arc::new(Registry::load(directory));
        let supervisor = Self { registry, workers: Mutex::default() };
        for status in supervisor.registry.all() {
            supervisor.worker(&status.spec.instance);
        }
        supervisor
    }

    /// The worker of a component, started when there is none yet.
    fn worker(&self, instance: &str) -> mpsc::Sender<Order> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers
            .entry(instance.to_owned())
            .or_insert_with(|| {
                let (sender, orders) = mpsc::channel(ORDERS);
                tokio::spawn(work(Arc::clone(&self.registry), instance.to_owned(), orders));
                sender
            })
            .clone()
    }

    async fn connection(&self, mut stream: UnixStream, end: mpsc::Sender<Ended>) {
        let (reader, mut writer) = stream.split();
        let mut line = String::new();
        if BufReader::new(reader.take(LONGEST_LINE)).read_line(&mut line).await.is_err() {
            return;
        }
        let request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => {
                let response = Response::Failed { message: format!("not a request: {error}") };
                return answer(&mut writer, &response).await;
            }
        };
        let ending = match request {
            Request::HandOver => Some(Ended::HandedOver),
            Request::Shutdown => Some(Ended::Stopped),
            _ => None,
        };
        let response = self.handle(request).await;
        answer(&mut writer, &response).await;
        if let Some(ended) = ending {
            // Full means that it ends already.
            let _ = end.try_send(ended);
        }
    }

    async fn handle(&self, request: Request) -> Response {
        match request {
            Request::Hello => {
                Response::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() }
            }
            Request::Status => Response::Status { instances: self.registry.all() },
            Request::HandOver => Response::Done,
            Request::Shutdown => {
                self.stop_all().await;
                for status in self.registry.all() {
                    self.forget(&status.spec.instance);
                }
                Response::Done
            }
            Request::Start { spec, environment } => {
                let instance = spec.instance.clone();
                self.order(&instance, |reply| Order::Start { spec, environment, reply }).await
            }
            Request::Retire { instance } => {
                self.order_known(&instance, |reply| Order::Retire { reply }).await
            }
            Request::Stop { instance } => self.order_known(&instance, |reply| Order::Stop { reply }).await,
            Request::Remove { instance } => {
                let response = self.order_known(&instance, |reply| Order::Stop { reply }).await;
                self.forget(&instance);
                response
            }
        }
    }

    /// Like `order`; a component that is not known is as stopped as it can be.
    async fn order_known(&self, instance: &str, order: impl FnOnce(Reply) -> Order) -> Response {
        match self.registry.get(instance) {
            Some(_) => self.order(instance, order).await,
            None => Response::Done,
        }
    }

    async fn order(&self, instance: &str, order: impl FnOnce(Reply) -> Order) -> Response {
        let (reply, answer) = oneshot::channel();
        if self.worker(instance).send(order(reply)).await.is_err() {
            return Response::Failed { message: format!("{instance} has no worker any more") };
        }
        match answer.await {
            Ok(Ok(())) => Response::Done,
            Ok(Err(message)) => Response::Failed { message },
            Err(_) => Response::Failed { message: format!("the worker of {instance} ended") },
        }
    }

    fn forget(&self, instance: &str) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).remove(instance);
        self.registry.remove(instance);
    }

    /// Stops all components at the same time.
    async fn stop_all(&self) {
        let running: Vec<InstanceStatus> = self
            .registry
            .all()
            .into_iter()
            .filter(|status| status.process.is_some() || status.goal == Goal::Run)
            .collect();
        let mut stops = tokio::task::JoinSet::new();
        for status in running {
            let worker = self.worker(&status.spec.instance);
            stops.spawn(async move {
                let (reply, answer) = oneshot::channel();
                if worker.send(Order::Stop { reply }).await.is_ok() {
                    let _ = answer.await;
                }
            });
        }
        stops.join_all().await;
    }

    async fn bound_logs(&self) {
        let mut files: Vec<_> = self.registry.all().into_iter().map(|status| status.spec.log).collect();
        files.push(self.registry.directory().log_file("supervisor"));
        let bounded =
            tokio::task::spawn_blocking(move || files.iter().try_for_each(|file| logs::bound(file)));
        if let Ok(Err(error)) = bounded.await {
            tracing::warn!(%error, "cannot rotate a log");
        }
    }
}

type Reply = oneshot::Sender<Result<(), String>>;

async fn answer(writer: &mut (impl tokio::io::AsyncWrite + Unpin), response: &Response) {
    let Ok(mut text) = serde_json::to_vec(response) else { return };
    text.push(b'\n');
    // The command may be gone; the order was carried out all the same.
    let _ = writer.write_all(&text).await;
}
