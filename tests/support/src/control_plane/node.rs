//! A real node: containerd, runc, the kubelet and kube-proxy of this machine run pods as they would anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::cgroups::Cgroups;
use super::program::Program;
use super::{ADVERTISED, ControlPlane, SERVICE_RANGE, flag, image, wait};
use crate::skipped;

const NODE: &str = "node-0";
/// Where pods get their addresses.
const POD_RANGE: &str = "10.88.0.0/24";
/// What keeps a pod's namespaces.
const PAUSE: &str = "localhost/pause:1";
/// Programs of distributions' packages.
const PROGRAMS: [&str; 5] = ["containerd", "ctr", "runc", "iptables", "conntrack"];
/// Where distributions put the plugins that give pods their network.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

impl ControlPlane {
    /// Starts one with a node that really runs pods. They and Services have addresses that this process can reach.
    /// `None`, and said so, where the node's programs are not installed or this is not root, or as in
    /// [`start`](Self::start). One at a time in a process.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn with_real_node() -> Result<Option<Self>> {
        let plugins = match requirements()? {
            Ok(plugins) => plugins,
            Err(missing) => {
                skipped(&format!("no node: {missing}"));
                return Ok(None);
            }
        };
        let Some(mut plane) = Self::start().await? else { return Ok(None) };
        let cgroups = plane.cgroups.insert(Cgroups::new()?).name.clone();
        make_network()?;
        let folder = plane.folder.path().to_owned();
        write_configuration(&folder, plane.kubeconfig(), &plugins, &cgroups)?;

        plane.nodes.push(plane.start_scheduler()?);
        let proxy = [flag("config", folder.join("proxy.json").display())];
        plane.nodes.push(Program::start(&plane.executable, "kube-proxy", &folder, &proxy)?);
        let mut kubelet = plane.start_kubelet(&folder)?;
        import(&mut kubelet, &folder, PAUSE, &program("sleep")?, &["infinity"]).await?;
        kubelet.go_on()?;
        plane.wait_for_nodes(&mut kubelet).await?;
        // Dropped first: it takes containers and their mounts with it.
        plane.nodes.insert(0, kubelet);
        Ok(Some(plane))
    }

    /// Gives the real node an image called `reference` that runs `program`.
    ///
    /// # Errors
    /// When there is no real node, or its containerd does not take it.
    pub async fn import_image(&mut self, reference: &str, program: &Path) -> Result<()> {
        let kubelet = self.nodes.first_mut().context("there is no node")?;
        import(kubelet, self.folder.path(), reference, program, &[]).await
    }

    fn start_kubelet(&self, folder: &Path) -> Result<Program> {
        let arguments = [
            flag("config", folder.join("kubelet.json").display()),
            flag("kubeconfig", self.kubeconfig().display()),
            flag("root-dir", folder.join("kubelet").display()),
            flag("cert-dir", folder.join("kubelet-certificates").display()),
            flag("node-ip", ADVERTISED),
            flag("hostname-override", NODE),
        ];
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
        unshare.args(["sh", "-c", include_str!("node.sh")]).arg(&self.executable);
        Program::spawn(&mut unshare, "kubelet", folder, &arguments)
    }

    /// Makes a volume of `size` on the real node, for the claim `claim`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn make_volume(&self, namespace: &str, claim: &str, size: &str) -> Result<()> {
        let folder = self.folder.path().join("volumes").join(namespace).join(claim);
        fs::create_dir_all(&folder)?;
        // A folder of the host does not get the pod's group.
        set_mode(&folder, 0o777)?;
        let volume: PersistentVolume = serde_json::from_value(json!({
            "metadata": { "name": format!("{namespace}-{claim}") },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": { "storage": size },
                "claimRef": { "namespace": namespace, "name": claim },
                "hostPath": { "path": folder },
            },
        }))?;
        Api::all(self.client()).create(&PostParams::default(), &volume).await?;
        Ok(())
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

/// The folder of the network plugins, or what is missing.
fn requirements() -> Result<Result<PathBuf, String>> {
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|name| program(name).is_err()).collect();
    let plugins = PLUGINS.map(PathBuf::from).into_iter().find(|folder| folder.join("bridge").exists());
    let users = fs::read_to_string("/proc/self/uid_map").context("/proc/self/uid_map")?;
    let root = users.split_whitespace().eq(["0", "0", "4294967295"]);
    Ok(match plugins {
        _ if !missing.is_empty() => Err(format!("{} not installed", missing.join(", "))),
        None => Err("the network plugins (containernetworking-plugins) are not installed".to_owned()),
        Some(_) if !root => Err("it needs root, and not only that of a user namespace".to_owned()),
        Some(plugins) => Ok(plugins),
    })
}

/// The path of a program.
fn program(name: &str) -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(name));
    paths.find(|path| path.is_file()).with_context(|| format!("there is no program {name}"))
}

/// An address for the node and a way to Services. Packets to a Service are only turned to its pods if there is a route.
fn make_network() -> Result<()> {
    for interface in ["node0", "cni0"] {
        // Of an earlier node; there need not have been one.
        drop(Command::new("ip").args(["link", "delete", interface]).output());
    }
    ip(&["link", "add", "node0", "type", "bridge"])?;
    ip(&["address", "add", &format!("{ADVERTISED}/24"), "dev", "node0"])?;
    ip(&["link", "set", "node0", "up"])?;
    ip(&["route", "add", SERVICE_RANGE, "dev", "node0"])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("/proc/sys/net/ipv4/ip_forward")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("could not start ip")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Configuration files are JSON, which is YAML too, but for containerd's.
fn write_configuration(folder: &Path, kubeconfig: &Path, plugins: &Path, cgroups: &str) -> Result<()> {
    let write = |name: &str, content: Value| fs::write(folder.join(name), content.to_string());
    let socket = folder.join("containerd.sock");
    write(
        "kubelet.json",
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            // Nobody else is on its network.
            "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
            "authorization": { "mode": "AlwaysAllow" },
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroups,
            "failCgroupV1": false,
            // The machine is not its own.
            "enforceNodeAllocatable": [],
            "evictionHard": {},
            "failSwapOn": false,
            // There is no name service.
            "resolvConf": "/dev/null",
            "containerRuntimeEndpoint": format!("unix://{}", socket.display()),
            "podLogsDir": folder.join("pod-logs"),
            "volumePluginDir": folder.join("volume-plugins"),
        }),
    )?;
    write(
        "proxy.json",
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": { "kubeconfig": kubeconfig },
            "hostnameOverride": NODE,
            // The machine's own, which are not ours to set.
            "conntrack": { "maxPerCore": 0 },
        }),
    )?;
    fs::create_dir(folder.join("networks"))?;
    write(
        "networks/pods.conflist",
        json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [{
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": folder.join("addresses"),
                    "ranges": [[{ "subnet": POD_RANGE }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            }],
        }),
    )?;
    let at = folder.display();
    let plugins = plugins.display();
    // Some machines do not allow the adjustment of who is killed first, and runc fails over it.
    let containerd = format!(
        "version = 2\nroot = '{at}/images'\nstate = '{at}/containers'\n\
         [grpc]\naddress = '{at}/containerd.sock'\n\
         [plugins.'io.containerd.internal.v1.opt']\npath = '{at}/opt'\n\
         [plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = '{PAUSE}'\nrestrict_oom_score_adj = true\n\
         [plugins.'io.containerd.grpc.v1.cri'.cni]\nbin_dir = '{plugins}'\nconf_dir = '{at}/networks'\n"
    );
    Ok(fs::write(folder.join("containerd.toml"), containerd)?)
}

/// Gives the node an image, once its containerd takes it.
async fn import(
    node: &mut Program,
    folder: &Path,
    reference: &str,
    program: &Path,
    arguments: &[&str],
) -> Result<()> {
    let file = folder.join("image.tar");
    image::write(&file, reference, program, arguments)?;
    let socket = folder.join("containerd.sock");
    wait(node, || async {
        let mut ctr = tokio::process::Command::new("ctr");
        ctr.arg("--address").arg(&socket).args(["--namespace", "k8s.io", "images", "import"]).arg(&file);
        let output = tokio::time::timeout(Duration::from_secs(30), ctr.output()).await??;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    })
    .await
    .with_context(|| format!("could not import the image {reference}"))?;
    Ok(fs::remove_file(file)?)
}
