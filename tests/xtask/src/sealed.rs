//! Namespaces of its own for a program: a network with nothing but a loopback interface, its mounts and its processes.
//!
//! Nothing that runs in there can reach another machine, ports are free, and with the program everything ends that it
//! has started.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

const NAMESPACES: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// Whoever is not root may be so in a user namespace, if the system lets them.
const PRIVILEGES: [&[&str]; 2] = [&[], &["--map-root-user"]];

/// Replaces this process by `command`, sealed.
///
/// # Errors
/// When the system does not let us.
pub(crate) fn run(command: &[impl AsRef<OsStr>]) -> Result<()> {
    // Comes back only when it fails.
    Err(sealed(permitted()?).args(command).exec()).context("could not start unshare")
}

/// Whether programs can be sealed here.
///
/// # Errors
/// Says why not.
pub(crate) fn check() -> Result<()> {
    permitted().map(drop)
}

/// What `unshare` needs besides, here.
fn permitted() -> Result<&'static [&'static str]> {
    let mut refusals = Vec::new();
    for privileges in PRIVILEGES {
        let tried = sealed(privileges).arg("true").stdin(Stdio::null()).output();
        let tried = tried.context("could not start unshare (package util-linux)")?;
        if tried.status.success() {
            return Ok(privileges);
        }
        refusals.push(String::from_utf8_lossy(&tried.stderr).trim().to_owned());
    }
    bail!("no right to make namespaces, nor without root ({})", refusals.join("; "))
}

/// `unshare …`, to which the program is added.
fn sealed(privileges: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(privileges).args(NAMESPACES).args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
    unshare
}
