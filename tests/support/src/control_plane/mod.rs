//! A real Kubernetes control plane: etcd, the API server and the controllers of a release, as child processes.

mod cgroups;
mod credentials;
mod image;
mod kwok;
mod node;
mod program;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tempfile::TempDir;

use self::cgroups::Cgroups;
use self::credentials::Credentials;
use self::program::Program;
use crate::{Usage, free_port, skipped};

/// Where Services get their addresses.
const SERVICE_RANGE: &str = "10.96.0.0/24";
/// The address of the API server's own Service.
const SERVICE: &str = "10.96.0.1";
/// The address that the API server makes known to pods; a real node has it, otherwise nobody. It must not be one of the
/// loopback, and there is no route from which it could be guessed.
const ADVERTISED: &str = "10.77.0.1";
/// How long each part may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running control plane; killed when dropped.
pub struct ControlPlane {
    // Fields are dropped in this order: who depends on another ends before it.
    nodes: Vec<Program>,
    cgroups: Option<Cgroups>,
    controllers: Program,
    api_server: Option<Program>,
    etcd: Program,
    client: Client,
    ports: Ports,
    credentials: Credentials,
    executable: PathBuf,
    folder: TempDir,
    /// From the start of the first process until controllers were at work.
    pub ready_after: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    etcd: u16,
    api: u16,
}

impl ControlPlane {
    /// Starts one without nodes and waits until it works; `None`, and said so, where it is not installed or not sealed
    /// off from the network. `cargo xtask test` does both.
    ///
    /// # Errors
    /// When a part of it ends, or does not work within a minute; the text has the end of its log.
    pub async fn start() -> Result<Option<Self>> {
        let Some(executable) = std::env::var_os("TEMPOFORM_TEST_KUBERNETES").map(PathBuf::from) else {
            skipped("no Kubernetes (TEMPOFORM_TEST_KUBERNETES is not set)");
            return Ok(None);
        };
        if has_way_out()? {
            skipped("this network has a way out, and a Kubernetes is started only where it has none");
            return Ok(None);
        }
        Self::start_sealed(executable).await.map(Some)
    }

    async fn start_sealed(executable: PathBuf) -> Result<Self> {
        let started = Instant::now();
        let folder = tempfile::tempdir()?;
        let ports = Ports { etcd: free_port()?, api: free_port()? };
        let credentials = Credentials::write(folder.path(), ports.api, &[ADVERTISED, SERVICE])?;
        let client = client(&credentials.kubeconfig).await?;

        let etcd = start_etcd(&executable, folder.path(), ports)?;
        let mut api_server = start_api_server(&executable, folder.path(), ports, &credentials)?;
        wait_until_ready(&client, &mut api_server).await?;
        let mut controllers = Program::start(
            &executable,
            "kube-controller-manager",
            folder.path(),
            &[
                flag("kubeconfig", credentials.kubeconfig.display()),
                flag("service-account-private-key-file", credentials.service_account_key.display()),
                flag("root-ca-file", credentials.authority.display()),
                flag("leader-elect", false),
                // It serves nothing.
                flag("secure-port", 0),
            ],
        )?;
        wait_for_controllers(&client, &mut controllers).await?;
        let api_server = Some(api_server);
        let ready_after = started.elapsed();
        Ok(Self {
            nodes: Vec::new(),
            cgroups: None,
            controllers,
            api_server,
            etcd,
            client,
            ports,
            credentials,
            executable,
            folder,
            ready_after,
        })
    }

    /// A file by which `kubectl`, and whoever else, is the cluster's administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.credentials.kubeconfig
    }

    /// A client that is the cluster's administrator.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Ends the API server at once, as a crash would.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server, anew if it runs, at the same address, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready within a minute.
    pub async fn restart_api_server(&mut self) -> Result<()> {
        self.stop_api_server();
        let started = start_api_server(&self.executable, self.folder.path(), self.ports, &self.credentials)?;
        wait_until_ready(&self.client, self.api_server.insert(started)).await
    }

    /// The scheduler, which only nodes need.
    fn start_scheduler(&self) -> Result<Program> {
        let arguments = [
            flag("kubeconfig", self.kubeconfig().display()),
            flag("leader-elect", false),
            // It serves nothing.
            flag("secure-port", 0),
        ];
        Program::start(&self.executable, "kube-scheduler", self.folder.path(), &arguments)
    }

    /// Waits until every node is ready; `node` is the program that makes them so.
    async fn wait_for_nodes(&self, node: &mut Program) -> Result<()> {
        let nodes = Api::<Node>::all(self.client());
        wait(node, || async {
            let nodes = nodes.list(&ListParams::default()).await?.items;
            ensure!(!nodes.is_empty() && nodes.iter().all(is_ready), "not every node is ready");
            Ok(())
        })
        .await
    }

    /// What each process has used so far; of a real node, containerd and the pods are left out.
    ///
    /// # Errors
    /// When one is gone.
    pub fn usage(&self) -> Result<Vec<(&str, Usage)>> {
        let plane = [&self.etcd, &self.controllers].into_iter().chain(&self.api_server);
        plane.chain(&self.nodes).map(|program| Ok((program.name(), program.usage()?))).collect()
    }

    /// Ends everything and removes what it kept.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn stop(self) -> Result<()> {
        let Self { nodes, cgroups, controllers, api_server, etcd, folder, .. } = self;
        drop((nodes, cgroups, controllers, api_server, etcd));
        folder.close().context("could not remove the folder of the control plane")
    }
}

/// Whether packets could leave by a default route.
fn has_way_out() -> Result<bool> {
    let routes = std::fs::read_to_string("/proc/net/route").context("/proc/net/route")?;
    Ok(routes.lines().skip(1).any(|route| route.split_whitespace().nth(1) == Some("00000000")))
}

fn is_ready(node: &Node) -> bool {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    let (kubeconfig, options) = (Kubeconfig::read_from(kubeconfig)?, KubeConfigOptions::default());
    Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &options).await?)?)
}

/// `--NAME=VALUE`.
fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn start_etcd(executable: &Path, folder: &Path, ports: Ports) -> Result<Program> {
    let url = format!("http://127.0.0.1:{}", ports.etcd);
    let peers = format!("http://127.0.0.1:{}", free_port()?);
    Program::start(
        executable,
        "etcd",
        folder,
        &[
            flag("data-dir", folder.join("etcd").display()),
            flag("listen-client-urls", &url),
            flag("advertise-client-urls", &url),
            flag("listen-peer-urls", &peers),
            flag("initial-advertise-peer-urls", &peers),
            flag("initial-cluster", format!("default={peers}")),
            // What a test stores need not outlive the machine.
            "--unsafe-no-fsync".to_owned(),
        ],
    )
}

fn start_api_server(
    executable: &Path,
    folder: &Path,
    ports: Ports,
    credentials: &Credentials,
) -> Result<Program> {
    Program::start(
        executable,
        "kube-apiserver",
        folder,
        &[
            flag("etcd-servers", format!("http://127.0.0.1:{}", ports.etcd)),
            flag("secure-port", ports.api),
            flag("bind-address", "0.0.0.0"),
            flag("advertise-address", ADVERTISED),
            // There is no name service that knows nodes.
            flag("kubelet-preferred-address-types", "InternalIP"),
            flag("tls-cert-file", credentials.certificate.display()),
            flag("tls-private-key-file", credentials.key.display()),
            flag("token-auth-file", credentials.tokens.display()),
            flag("authorization-mode", "RBAC"),
            flag("service-account-issuer", "https://kubernetes.default.svc"),
            flag("service-account-key-file", credentials.service_account_public_key.display()),
            flag("service-account-signing-key-file", credentials.service_account_key.display()),
            flag("service-cluster-ip-range", SERVICE_RANGE),
            "--allow-privileged".to_owned(),
        ],
    )
}

async fn wait_until_ready(client: &Client, api_server: &mut Program) -> Result<()> {
    let ready = || async {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        Ok(client.request_text(request).await?)
    };
    wait(api_server, ready).await
}

/// They are at work once they have given the default namespace its service account, without which no pod is accepted.
async fn wait_for_controllers(client: &Client, controllers: &mut Program) -> Result<()> {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    wait(controllers, || async { Ok(accounts.get("default").await?) }).await
}

/// Tries until it works.
async fn wait<T>(program: &mut Program, attempt: impl AsyncFn() -> Result<T>) -> Result<()> {
    let started = Instant::now();
    loop {
        let Err(error) = attempt().await else { return Ok(()) };
        program.check()?;
        if started.elapsed() > PATIENCE {
            bail!("{} does not work after {PATIENCE:?}: {error:#}\n{}", program.name(), program.log_tail());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
