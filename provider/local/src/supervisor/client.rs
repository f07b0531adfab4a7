use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::protocol::{InstanceStatus, LONGEST_LINE, PROTOCOL, ProcessSpec, Request, Response};
use super::socket;
use crate::directory::StateDirectory;
use crate::logs;

/// How long a new supervisor may take until it answers.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Talks to the supervisor of one state directory.
#[derive(Clone, Debug)]
pub struct Client {
    directory: StateDirectory,
}

/// How a supervisor process is started.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program.
    pub executable: PathBuf,
    /// Arguments that make it call [`super::supervise`].
    pub arguments: Vec<String>,
}

/// Why the supervisor did not do as asked.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// It cannot be reached.
    #[error("the supervisor does not answer")]
    Unreachable(#[source] io::Error),
    /// It answered with something else than was asked for.
    #[error("the supervisor answered {0:?}")]
    Strange(String),
    /// It could not carry out the order.
    #[error("{0}")]
    Refused(String),
    /// A new one did not come up.
    #[error("the supervisor did not start: {reason}")]
    NotStarted {
        /// Why, or the last lines of its log.
        reason: String,
    },
}

/// A client, if a supervisor runs.
///
/// # Errors
/// When one runs and does not answer sensibly.
pub async fn connect(directory: &StateDirectory) -> Result<Option<Client>, SupervisorError> {
    let client = Client { directory: directory.clone() };
    match client.hello().await {
        Ok(_) => Ok(Some(client)),
        Err(SupervisorError::Unreachable(error))
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A client of the running supervisor, or of a new one. One that speaks another version of the
/// protocol is replaced; the components go on running meanwhile.
///
/// # Errors
/// When no supervisor comes up.
pub async fn connect_or_launch(
    directory: &StateDirectory,
    launcher: &Launcher,
) -> Result<Client, SupervisorError> {
    let client = Client { directory: directory.clone() };
    match client.hello().await {
        Ok(PROTOCOL) => return Ok(client),
        Ok(_) => client.hand_over().await?,
        Err(SupervisorError::Unreachable(_)) => {}
        Err(error) => return Err(error),
    }
    launch(directory, launcher)?;
    let deadline = Instant::now() + LAUNCH_TIMEOUT;
    while Instant::now() < deadline {
        if client.hello().await.is_ok() {
            return Ok(client);
        }
        tokio::time::sleep(POLL).await;
    }
    let lines = logs::tail(&directory.log_file("supervisor"), 5).unwrap_or_default();
    Err(SupervisorError::NotStarted { reason: lines.join("\n") })
}

fn launch(directory: &StateDirectory, launcher: &Launcher) -> Result<(), SupervisorError> {
    let log = directory.log_file("supervisor");
    let failed = |error: io::Error| SupervisorError::NotStarted {
        reason: format!("{}: {error}", launcher.executable.display()),
    };
    let output = OpenOptions::new().append(true).create(true).mode(0o600).open(&log).map_err(failed)?;
    // Not waited for: it outlives this process.
    Command::new(&launcher.executable)
        .args(&launcher.arguments)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output)
        .spawn()
        .map_err(failed)?;
    Ok(())
}

impl Client {
    /// What it knows about every component.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn status(&self) -> Result<Vec<InstanceStatus>, SupervisorError> {
        match self.ask(&Request::Status).await? {
            Response::Status { instances } => Ok(instances),
            other => Err(strange(&other)),
        }
    }

    /// Starts a component, or starts it anew. `environment` has a value for every name in
    /// `spec.environment`.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn start(
        &self,
        spec: ProcessSpec,
        environment: BTreeMap<String, String>,
    ) -> Result<(), SupervisorError> {
        self.order(&Request::Start { spec, environment }).await
    }

    /// Lets a component end without starting it again.
    ///
    /// # Errors
    /// When the supervisor cannot be reached.
    pub async fn retire(&self, instance: &str) -> Result<(), SupervisorError> {
        self.order(&Request::Retire { instance: instance.to_owned() }).await
    }

    /// Stops a component; returns when it has ended.
    ///
    /// # Errors
    /// When the supervisor cannot be reached.
    pub async fn stop(&self, instance: &str) -> Result<(), SupervisorError> {
        self.order(&Request::Stop { instance: instance.to_owned() }).await
    }

    /// Stops a component and forgets it.
    ///
    /// # Errors
    /// When the supervisor cannot be reached.
    pub async fn remove(&self, instance: &str) -> Result<(), SupervisorError> {
        self.order(&Request::Remove { instance: instance.to_owned() }).await
    }

    /// Stops every component and the supervisor.
    ///
    /// # Errors
    /// When the supervisor cannot be reached.
    pub async fn shutdown(&self) -> Result<(), SupervisorError> {
        self.order(&Request::Shutdown).await
    }

    /// Ends the supervisor, and leaves the components running for the next one.
    ///
    /// # Errors
    /// When the supervisor cannot be reached.
    pub async fn hand_over(&self) -> Result<(), SupervisorError> {
        self.order(&Request::HandOver).await?;
        let deadline = Instant::now() + LAUNCH_TIMEOUT;
        while self.hello().await.is_ok() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn hello(&self) -> Result<u32, SupervisorError> {
        match self.ask(&Request::Hello).await? {
            Response::Hello { protocol, version: _ } => Ok(protocol),
            other => Err(strange(&other)),
        }
    }

    async fn order(&self, request: &Request) -> Result<(), SupervisorError> {
        match self.ask(request).await? {
            Response::Done => Ok(()),
            other => Err(strange(&other)),
        }
    }

    async fn ask(&self, request: &Request) -> Result<Response, SupervisorError> {
        let line = self.exchange(request).await.map_err(SupervisorError::Unreachable)?;
        match serde_json::from_str(&line) {
            Ok(Response::Failed { message }) => Err(SupervisorError::Refused(message)),
            Ok(response) => Ok(response),
            Err(_) if line.is_empty() => {
                Err(SupervisorError::Unreachable(io::ErrorKind::ConnectionReset.into()))
            }
            Err(_) => Err(SupervisorError::Strange(line)),
        }
    }

    async fn exchange(&self, request: &Request) -> io::Result<String> {
        let mut stream = socket::connect(&self.directory).await?;
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        stream.write_all(&text).await?;
        let mut line = String::new();
        BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut line).await?;
        Ok(line)
    }
}

fn strange(response: &Response) -> SupervisorError {
    SupervisorError::Strange(format!("{response:?}"))
}
