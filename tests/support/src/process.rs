//! The single binary as a child process, and what it uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::ports::free_port;

/// An executable of this workspace, built beside the running test.
///
/// # Errors
/// When it is not there.
pub fn executable(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!("no executable {name} beside {}: build with `cargo build --release --bins`", own.display())
    })
}

/// Where a server listens, and what else its configuration says.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Folder of log and blocks.
    pub folder: PathBuf,
    /// Query API.
    pub http: u16,
    /// Between components.
    pub grpc: u16,
    /// OTLP over gRPC.
    pub otlp_grpc: u16,
    /// OTLP over HTTP.
    pub otlp_http: u16,
    /// Further top-level sections, as YAML. A section that stands here must not stand above.
    pub extra: String,
    /// Further keys of the section `ingester`, indented by two.
    pub ingester: String,
    /// Keys of `tls` of both OTLP receivers, as a YAML flow mapping without braces.
    pub otlp_tls: Option<String>,
    /// The section `storage.trace` without `wal`, indented by four; empty = blocks in the folder.
    pub storage: String,
    /// Further receivers of `distributor.receivers`, indented by four.
    pub receivers: String,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// The file through which it joins a control group, see [`MemoryGroup::processes`](crate::MemoryGroup::processes).
    pub group: Option<PathBuf>,
}

impl ServerConfig {
    /// Free ports, everything else by default.
    ///
    /// # Errors
    /// When there are no ports.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            http: free_port()?,
            grpc: free_port()?,
            otlp_grpc: free_port()?,
            otlp_http: free_port()?,
            extra: String::new(),
            ingester: String::new(),
            otlp_tls: None,
            storage: String::new(),
            receivers: String::new(),
            environment: Vec::new(),
            group: None,
        })
    }

    fn yaml(&self) -> String {
        let Self {
            folder,
            http,
            grpc,
            otlp_grpc,
            otlp_http,
            extra,
            ingester,
            otlp_tls,
            storage,
            receivers,
            environment: _,
            group: _,
        } = self;
        let folder = folder.display();
        let storage = if storage.is_empty() {
            format!("    blocklist_poll: 1s\n    backend: local\n    local:\n      path: {folder}/blocks\n")
        } else {
            storage.clone()
        };
        let tls = otlp_tls.as_ref().map(|keys| format!("          tls: {{{keys}}}\n")).unwrap_or_default();
        format!(
            "server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: {http}\n  grpc_listen_address: 127.0.0.1\n  grpc_listen_port: {grpc}\n\
             distributor:\n  receivers:\n    otlp:\n      protocols:\n        grpc:\n          endpoint: 127.0.0.1:{otlp_grpc}\n{tls}        http:\n          endpoint: 127.0.0.1:{otlp_http}\n{tls}{receivers}\
             ingester:\n  flush_check_period: 1s\n{ingester}\
             storage:\n  trace:\n    wal:\n      path: {folder}/wal\n{storage}{extra}"
        )
    }
}

/// A running single binary; killed when dropped.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    child: Child,
    /// From the start of the process until `/ready` said so.
    pub ready_after: Duration,
}

impl Server {
    /// Starts `tempo` and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready within 30 seconds; the text has the last lines of its log.
    pub async fn start(config: ServerConfig) -> Result<Self> {
        let started = Instant::now();
        let mut server = Self::spawn(config)?;
        while !server.is_ready().await {
            if let Some(status) = server.child.try_wait()? {
                bail!("tempo ended: {status}\n{}", server.log_tail());
            }
            if started.elapsed() > Duration::from_secs(30) {
                bail!("tempo is not ready after 30 seconds\n{}", server.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.ready_after = started.elapsed();
        Ok(server)
    }

    /// Starts `tempo` and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(config: ServerConfig) -> Result<Self> {
        fs::create_dir_all(&config.folder)?;
        let file = config.folder.join("config.yaml");
        fs::write(&file, config.yaml())?;
        let log = fs::OpenOptions::new().create(true).append(true).open(config.folder.join("tempo.log"))?;
        let mut command = match &config.group {
            // It is in the group before its first page of memory.
            Some(group) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group).arg(executable("tempo")?);
                shell
            }
            None => Command::new(executable("tempo")?),
        };
        let child = command
            .arg(format!("-config.file={}", file.display()))
            .envs(config.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self { config, child, ready_after: Duration::ZERO })
    }

    /// Whether it says that it serves.
    pub async fn is_ready(&self) -> bool {
        self.answers("/ready", 200).await
    }

    /// Whether a page has this status.
    pub async fn answers(&self, path: &str, status: u16) -> bool {
        reqwest::get(self.url(path)).await.is_ok_and(|answer| answer.status() == status)
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    /// When it takes longer than `patience`.
    pub fn terminate(mut self, patience: Duration) -> Result<(ServerConfig, ExitStatus)> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((self.config.clone(), status));
            }
            if started.elapsed() > patience {
                bail!("tempo runs on {patience:?} after SIGTERM\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.config.folder.join("tempo.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// How it was configured.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// A URL of its HTTP server.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.config.http)
    }

    /// Address of its gRPC server.
    pub fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.config.grpc)
    }

    /// Address of its OTLP receiver.
    pub fn otlp_grpc(&self) -> String {
        format!("127.0.0.1:{}", self.config.otlp_grpc)
    }

    /// Brings everything into storage.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn flush(&self) -> Result<()> {
        let answer = reqwest::Client::new().post(self.url("/flush")).send().await?;
        if !answer.status().is_success() {
            bail!("/flush: {} {}", answer.status(), answer.text().await?);
        }
        Ok(())
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(mut self) -> Result<ServerConfig> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.config.clone())
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it is gone.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Processor time and memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Largest resident set so far, bytes.
    pub peak_rss: u64,
    /// Resident set now, bytes.
    pub rss: u64,
}

impl Usage {
    /// Of the process `pid`, from `/proc`.
    ///
    /// # Errors
    /// When it is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name before it may hold spaces and brackets; fields are counted from the last bracket.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| {
            fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("unexpected /proc stat")
        };
        // Linux counts these in hundredths of a second on every architecture (USER_HZ).
        let cpu = Duration::from_millis((ticks(11)? + ticks(12)?) * 10);
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |name: &str| -> Result<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let value = value.with_context(|| format!("no {name} in /proc"))?;
            Ok(value.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        Ok(Self { cpu, peak_rss: bytes("VmHWM:")?, rss: bytes("VmRSS:")? })
    }
}
