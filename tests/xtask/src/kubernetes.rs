//! A Kubernetes for tests: no package registry has its programs, so they are built from their Go modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cargo::Environment;
use crate::report::{Report, progress};
use crate::sealed;
use crate::tools::{Tools, fingerprint, run};

/// Nodes and pods that turn ready by rule, as a Go module.
const KWOK: &str = "sigs.k8s.io/kwok/cmd/kwok@v0.8.0";
/// The files that say what is built.
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];

impl Tools {
    /// A control plane, and nodes that only seem to be; nothing where it may not be sealed off.
    pub(crate) fn kubernetes(&mut self, report: &mut Report) -> Environment {
        const WHAT: &str = "tests with a real Kubernetes";
        let kubernetes = sealed::check().and_then(|()| self.install_kubernetes());
        let mut environment = match kubernetes {
            Ok(program) => vec![("TEMPOFORM_TEST_KUBERNETES", program.into())],
            Err(error) => {
                report.skip(WHAT, &format!("{error:#}"));
                return Environment::new();
            }
        };
        match self.install_go_program("kwok", KWOK, "KWOK") {
            Ok(program) => environment.push(("TEMPOFORM_TEST_KWOK", program.into())),
            Err(error) => report.skip("tests with nodes in a Kubernetes (KWOK)", &format!("{error:#}")),
        }
        environment
    }

    fn install_kubernetes(&self) -> Result<PathBuf> {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/fixture");
        let read = |name: &str| {
            let file = module.join(name);
            std::fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))
        };
        let sources = SOURCES.iter().map(|name| read(name)).collect::<Result<Vec<_>>>()?;
        let parts: Vec<_> = sources.iter().map(String::as_str).collect();
        let folder = self.cache().join(format!("kubernetes-{:016x}", fingerprint(&parts)));
        let binary = folder.join("kubernetes");
        if binary.exists() {
            return Ok(binary);
        }
        progress("building a Kubernetes for tests (about ten minutes, once)");
        run(Command::new("go")
            .args(["build", "-trimpath", "-ldflags", &link_flags(parts[0])?, "-o"])
            .args([&binary, Path::new(".")])
            .current_dir(&module))?;
        Ok(binary)
    }
}

/// Without debug information, and with the version, which programs are told when they are linked.
fn link_flags(go_mod: &str) -> Result<String> {
    let mut required = go_mod.lines().filter_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"));
    let version = required.next().context("go.mod does not require k8s.io/kubernetes")?;
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let variable = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    Ok(["-s -w".to_owned()]
        .into_iter()
        .chain([
            variable("gitVersion", &format!("v{version}")),
            variable("gitMajor", major),
            variable("gitMinor", minor),
        ])
        .collect())
}
