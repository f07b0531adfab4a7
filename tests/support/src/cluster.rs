//! Each component as a process of its own, started, killed and stopped one by one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::gossip_relay::GossipNetwork;
use crate::ports::free_port;
use crate::process::{Usage, executable};

/// What the configurations of all components say beside ports and membership.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Ingesters, named `ingester-0` and so on.
    pub ingesters: usize,
    /// Copies of each recent span.
    pub replication_factor: u32,
    /// The section `storage.trace`, without `wal`, as YAML indented by four; empty = a folder of the cluster.
    pub storage: String,
    /// Keys of the section `ingester`, as YAML indented by two.
    pub ingester: String,
    /// Further top-level sections, as YAML.
    pub extra: String,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Whether gossip goes through relays, so that it can be parted.
    pub relayed_gossip: bool,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            ingesters: 3,
            replication_factor: 3,
            storage: String::new(),
            ingester: String::new(),
            extra: String::new(),
            environment: Vec::new(),
            relayed_gossip: false,
        }
    }
}

/// A distributor, ingesters, a retriever, a querier and a compactor. Killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    config: ClusterConfig,
    nodes: BTreeMap<String, Node>,
    gossip: GossipNetwork,
}

/// One component, running or not.
#[derive(Debug)]
struct Node {
    name: String,
    target: &'static str,
    http: u16,
    grpc: u16,
    gossip: u16,
    /// Where others send gossip for it.
    gossip_relay: u16,
    otlp: u16,
    /// Environment variables of its own.
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

/// How long a component may take to become ready.
const READY: Duration = Duration::from_secs(60);

impl Cluster {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// When a component does not become ready; the text has the end of its log.
    pub async fn start(folder: &Path, config: ClusterConfig) -> Result<Self> {
        let mut cluster = Self {
            folder: folder.to_owned(),
            nodes: BTreeMap::new(),
            config,
            gossip: GossipNetwork::default(),
        };
        for at in 0..cluster.config.ingesters {
            cluster.add(&format!("ingester-{at}"), "ingester").await?;
        }
        for target in ["compactor", "distributor", "querier", "retriever"] {
            cluster.add(target, target).await?;
        }
        let names: Vec<String> = cluster.nodes.keys().cloned().collect();
        for name in &names {
            cluster.spawn(name)?;
        }
        for name in &names {
            cluster.ready(name).await?;
        }
        Ok(cluster)
    }

    /// Gives a component its ports; [`spawn`](Self::spawn) starts it.
    ///
    /// # Errors
    /// When there are no ports.
    pub async fn add(&mut self, name: &str, target: &'static str) -> Result<()> {
        let gossip = free_port()?;
        let gossip_relay = if self.config.relayed_gossip { self.gossip.add(gossip).await? } else { gossip };
        let node = Node {
            name: name.to_owned(),
            target,
            http: free_port()?,
            grpc: free_port()?,
            gossip,
            gossip_relay,
            otlp: free_port()?,
            environment: Vec::new(),
            child: None,
        };
        self.nodes.insert(name.to_owned(), node);
        Ok(())
    }

    /// Starts a component with the configuration of the moment, and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self, name: &str) -> Result<()> {
        let node = self.node(name)?;
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let file = folder.join("config.yaml");
        fs::write(&file, self.yaml(node))?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log(name))?;
        let child = Command::new(executable("tempo")?)
            .arg(format!("-config.file={}", file.display()))
            .arg(format!("-target={}", node.target))
            .envs(self.config.environment.iter().chain(&node.environment).map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.nodes.get_mut(name).context("no such component")?.child = Some(child);
        Ok(())
    }

    /// Waits until a component is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn ready(&mut self, name: &str) -> Result<()> {
        let started = Instant::now();
        let url = self.url(name, "/ready")?;
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
            let node = self.nodes.get_mut(name).context("no such component")?;
            if let Some(status) = node.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("{name} ended: {status}\n{}", self.log_tail(name));
            }
            if started.elapsed() > READY {
                bail!("{name} is not ready after {READY:?}\n{}", self.log_tail(name));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends a component at once, as a crash would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        let mut child = self.take(name)?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Sends a component a signal, such as `STOP`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, name: &str, signal: &str) -> Result<()> {
        let pid = self.node(name)?.child.as_ref().context("does not run")?.id().to_string();
        Command::new("kill").args([&format!("-{signal}"), &pid]).status()?;
        Ok(())
    }

    /// Asks a component to end, and waits for that.
    ///
    /// # Errors
    /// When it takes longer than `patience`.
    pub async fn stop(&mut self, name: &str, patience: Duration) -> Result<()> {
        self.signal(name, "TERM")?;
        self.ended(name, patience).await
    }

    /// Waits until a component has ended that was asked to.
    ///
    /// # Errors
    /// When it takes longer than `patience`.
    async fn ended(&mut self, name: &str, patience: Duration) -> Result<()> {
        let mut child = self.take(name)?;
        let started = Instant::now();
        while child.try_wait()?.is_none() {
            if started.elapsed() > patience {
                drop((child.kill(), child.wait()));
                bail!("{name} runs on {patience:?} after it was asked to end\n{}", self.log_tail(name));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Has a component end by `/shutdown`, and waits for that.
    ///
    /// # Errors
    /// When it refuses, or takes longer than `patience`.
    pub async fn shut_down(&mut self, name: &str, patience: Duration) -> Result<()> {
        let asked = reqwest::Client::new().post(self.url(name, "/shutdown")?).timeout(patience);
        let answer = asked.send().await?;
        if !answer.status().is_success() {
            bail!("{name}: /shutdown: {} {}", answer.status(), answer.text().await?);
        }
        self.ended(name, patience).await
    }

    /// Forgets a component that was stopped: others do not join it any more.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        self.node(name)?;
        self.nodes.remove(name);
        Ok(())
    }

    /// The components, running or not.
    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// Sets the environment variables that a component has for itself from its next start on.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn set_environment(&mut self, name: &str, environment: Vec<(String, String)>) -> Result<()> {
        self.nodes.get_mut(name).context("no such component")?.environment = environment;
        Ok(())
    }

    /// Cuts the gossip of these components off from that of all others; with none, gossip is whole again. Needs
    /// [`relayed_gossip`](ClusterConfig::relayed_gossip).
    ///
    /// # Errors
    /// When there is none of a name.
    pub fn part_gossip(&self, names: &[&str]) -> Result<()> {
        let ports = names.iter().map(|name| Ok(self.node(name)?.gossip));
        self.gossip.part(ports.collect::<Result<Vec<_>>>()?);
        Ok(())
    }

    /// Changes what components say that are started from now on.
    pub fn config_mut(&mut self) -> &mut ClusterConfig {
        &mut self.config
    }

    /// A URL of a component's HTTP server.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn url(&self, name: &str, path: &str) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}{path}", self.node(name)?.http))
    }

    /// The query API.
    ///
    /// # Errors
    /// When there is no querier.
    pub fn api(&self) -> Result<String> {
        self.url("querier", "")
    }

    /// Address of a distributor's OTLP receiver (gRPC).
    ///
    /// # Errors
    /// When there is no distributor of this name.
    pub fn otlp(&self, name: &str) -> Result<String> {
        Ok(format!("127.0.0.1:{}", self.node(name)?.otlp))
    }

    /// A component's folder: its configuration, log and, of an ingester, write-ahead log in `wal`.
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where blocks are, unless the storage is configured otherwise.
    pub fn blocks(&self) -> PathBuf {
        self.folder.join("blocks")
    }

    /// What all components have used so far: their processor time together, and the largest resident set of one.
    ///
    /// # Errors
    /// When one is gone.
    pub fn usage(&self) -> Result<Usage> {
        let mut all = Usage::default();
        for node in self.nodes.values() {
            if let Some(child) = &node.child {
                let usage = Usage::of(child.id())?;
                all.cpu += usage.cpu;
                all.peak_rss = all.peak_rss.max(usage.peak_rss);
                all.rss += usage.rss;
            }
        }
        Ok(all)
    }

    /// What one component has used so far.
    ///
    /// # Errors
    /// When it does not run.
    pub fn usage_of(&self, name: &str) -> Result<Usage> {
        Usage::of(self.node(name)?.child.as_ref().context("does not run")?.id())
    }

    /// Has all ingesters bring everything into storage.
    ///
    /// # Errors
    /// When one cannot.
    pub async fn flush(&self) -> Result<()> {
        let ingesters = self.nodes.values().filter(|node| node.target == "ingester" && node.child.is_some());
        for node in ingesters {
            let url = self.url(&node.name, "/flush")?;
            let answer = reqwest::Client::new().post(url).send().await?;
            if !answer.status().is_success() {
                bail!("{}: /flush: {} {}", node.name, answer.status(), answer.text().await?);
            }
        }
        Ok(())
    }

    /// The last lines of a component's log.
    pub fn log_tail(&self, name: &str) -> String {
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("tempo.log")
    }

    fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.get(name).with_context(|| format!("no component {name}"))
    }

    fn take(&mut self, name: &str) -> Result<Child> {
        let node = self.nodes.get_mut(name).with_context(|| format!("no component {name}"))?;
        node.child.take().with_context(|| format!("{name} does not run"))
    }

    fn yaml(&self, node: &Node) -> String {
        let Node { name, http, grpc, gossip, gossip_relay, otlp, .. } = node;
        let ClusterConfig { replication_factor, storage, ingester, extra, .. } = &self.config;
        let others: Vec<String> =
            self.nodes.values().map(|other| format!("\"127.0.0.1:{}\"", other.gossip_relay)).collect();
        let storage = if storage.is_empty() {
            format!("    backend: local\n    local:\n      path: {}\n", self.blocks().display())
        } else {
            storage.clone()
        };
        let wal = self.folder_of(name).join("wal");
        format!(
            "server:\n  http_listen_address: 127.0.0.1\n  http_listen_port: {http}\n  grpc_listen_address: 127.0.0.1\n  grpc_listen_port: {grpc}\n\
             memberlist:\n  node_name: {name}\n  bind_addr: [127.0.0.1]\n  bind_port: {gossip}\n  advertise_addr: 127.0.0.1\n  advertise_port: {gossip_relay}\n  gossip_interval: 200ms\n  join_members: [{}]\n\
             distributor:\n  receivers:\n    otlp:\n      protocols:\n        grpc:\n          endpoint: 127.0.0.1:{otlp}\n\
             ingester:\n  flush_check_period: 1s\n  lifecycler:\n    ring:\n      replication_factor: {replication_factor}\n      heartbeat_timeout: 3s\n{ingester}\
             storage:\n  trace:\n    blocklist_poll: 1s\n    wal:\n      path: {}\n{storage}{extra}",
            others.join(", "),
            wal.display(),
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.values_mut().filter_map(|node| node.child.as_mut()) {
            // It may have ended already.
            drop((child.kill(), child.wait()));
        }
    }
}
