//! Real parts that tests need: installed by package name, once, into a cache outside the checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo::Environment;
use crate::report::{Report, progress};

/// The MinIO server, as a Go module.
const MINIO: &str = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
/// An emulator of Google's object storage, as a Go module.
const FAKE_GCS: &str = "github.com/fsouza/fake-gcs-server@v1.56.1";
const PYTHON_PACKAGES: [&str; 3] =
    ["opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp==1.45.2", "pyarrow==26.0.1"];

/// The last exporters for Jaeger, the SDK that they need, and Jaeger's own client with what it forgets to ask for.
const RECEIVER_PACKAGES: [&str; 7] = [
    "opentelemetry-sdk==1.21.0",
    "opentelemetry-exporter-jaeger-proto-grpc==1.21.0",
    "opentelemetry-exporter-jaeger-thrift==1.21.0",
    "opentelemetry-exporter-zipkin-json==1.21.0",
    "opentelemetry-exporter-zipkin-proto-http==1.21.0",
    "jaeger-client==4.8.0",
    "six==1.17.0",
];

/// The latest that run on Node.js 20.
const NODE_PACKAGES: [&str; 4] = [
    "@opentelemetry/api@1.9.0",
    "@opentelemetry/resources@2.12.1",
    "@opentelemetry/sdk-trace-base@2.12.1",
    "@opentelemetry/exporter-trace-otlp-http@0.223.1",
];

/// An emulator of Azure's object storage, the latest that runs on Node.js 20.
const AZURITE: [&str; 1] = ["azurite@3.35.0"];

/// A library that gives a process another time of day, as a Python package that holds it.
const FAKETIME: [&str; 1] = ["libfaketime==3.0.1"];

/// The cache, and what is in it.
pub(crate) struct Tools {
    cache: PathBuf,
}

impl Tools {
    pub(crate) fn new() -> Result<Self> {
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set: there is no place for test tools")?;
        let cache = base.join("tempoform-tests");
        std::fs::create_dir_all(&cache).with_context(|| format!("could not make {}", cache.display()))?;
        Ok(Self { cache })
    }

    /// Where things are kept.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The folder with blocks of a real Tempo: from the environment, else beside the checkout.
    pub(crate) fn test_blocks(&mut self, report: &mut Report) -> Result<Environment> {
        const VARIABLE: &str = "TEMPOFORM_TEST_BLOCKS";
        let folder =
            std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from("../shared/data/blocks"), PathBuf::from);
        match folder.canonicalize() {
            Ok(folder) => Ok(vec![(VARIABLE, folder.into())]),
            Err(error) => {
                report.skip("blocks of a real Tempo", &format!("{VARIABLE} {}: {error}", folder.display()));
                bail!(
                    "no blocks of a real Tempo in {}: set {VARIABLE} to the folder that holds them",
                    folder.display()
                )
            }
        }
    }

    /// A Python with the OpenTelemetry SDK and pyarrow.
    pub(crate) fn python(&mut self, report: &mut Report) -> Environment {
        match self.install_python() {
            Ok(python) => vec![("TEMPOFORM_TEST_PYTHON", python.into())],
            Err(error) => {
                report.skip("tests with the OpenTelemetry SDK and pyarrow", &format!("{error:#}"));
                Environment::new()
            }
        }
    }

    fn install_python(&self) -> Result<PathBuf> {
        let packages = "the OpenTelemetry SDK, pyarrow";
        install_python_packages(&self.cache.join("python"), &PYTHON_PACKAGES, packages)
    }

    /// A Python with clients of Jaeger and Zipkin, which need an older SDK.
    pub(crate) fn python_receivers(&mut self, report: &mut Report) -> Environment {
        let environment = self.cache.join("python-receivers");
        match install_python_packages(&environment, &RECEIVER_PACKAGES, "clients of Jaeger and Zipkin") {
            Ok(python) => vec![("TEMPOFORM_TEST_PYTHON_RECEIVERS", python.into())],
            Err(error) => {
                report.skip("tests with clients of Jaeger and Zipkin", &format!("{error:#}"));
                Environment::new()
            }
        }
    }

    /// A folder with the OpenTelemetry SDK for JavaScript.
    pub(crate) fn node(&mut self, report: &mut Report) -> Environment {
        match self.install_node() {
            Ok(folder) => vec![("TEMPOFORM_TEST_NODE", folder.into())],
            Err(error) => {
                report.skip("tests with the OpenTelemetry SDK for JavaScript", &format!("{error:#}"));
                Environment::new()
            }
        }
    }

    fn install_node(&self) -> Result<PathBuf> {
        let folder = self.cache.join(format!("node-{:016x}", fingerprint(&NODE_PACKAGES)));
        install_node_packages(&folder, &NODE_PACKAGES, "the OpenTelemetry SDK for JavaScript")?;
        Ok(folder)
    }

    /// An emulator of Azure's object storage.
    pub(crate) fn azurite(&mut self, report: &mut Report) -> Environment {
        let folder = self.cache.join(format!("azurite-{:016x}", fingerprint(&AZURITE)));
        match install_node_packages(&folder, &AZURITE, "Azurite") {
            Ok(()) => vec![("TEMPOFORM_TEST_AZURITE", folder.join("node_modules/.bin/azurite-blob").into())],
            Err(error) => {
                report.skip("tests with an emulator of Azure (Azurite)", &format!("{error:#}"));
                Environment::new()
            }
        }
    }

    /// A library that gives a process another time of day.
    pub(crate) fn faketime(&mut self, report: &mut Report) -> Environment {
        match self.install_faketime() {
            Ok(library) => vec![("TEMPOFORM_TEST_FAKETIME", library.into())],
            Err(error) => {
                report.skip("tests with a wrong clock (libfaketime)", &format!("{error:#}"));
                Environment::new()
            }
        }
    }

    fn install_faketime(&self) -> Result<PathBuf> {
        const WHERE: &str =
            "import importlib.util as u; print(u.find_spec('libfaketime').submodule_search_locations[0])";
        let python = install_python_packages(&self.cache.join("faketime"), &FAKETIME, "libfaketime")?;
        let output = Command::new(python).args(["-c", WHERE]).output()?;
        let package = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        let library = package.join("vendor/libfaketime/src/libfaketime.so.1");
        if !library.is_file() {
            bail!("{} is not there", library.display());
        }
        Ok(library)
    }

    /// The MinIO server.
    pub(crate) fn minio(&mut self, report: &mut Report) -> Environment {
        match self.install_minio() {
            Ok(minio) => vec![("TEMPOFORM_TEST_MINIO", minio.into())],
            Err(error) => {
                report.skip("tests with a real S3 server (MinIO)", &format!("{error:#}"));
                Environment::new()
            }
        }
    }

    fn install_minio(&self) -> Result<PathBuf> {
        self.install_go_program("minio", MINIO, "MinIO")
    }

    /// An emulator of Google's object storage.
    pub(crate) fn google(&mut self, report: &mut Report) -> Environment {
        match self.install_go_program("fake-gcs-server", FAKE_GCS, "fake-gcs-server") {
            Ok(program) => vec![("TEMPOFORM_TEST_GCS", program.into())],
            Err(error) => {
                report.skip(
                    "tests with an emulator of Google's storage (fake-gcs-server)",
                    &format!("{error:#}"),
                );
                Environment::new()
            }
        }
    }

    /// The executable `name` of the Go `module`, which `about` tells of.
    pub(crate) fn install_go_program(&self, name: &str, module: &str, about: &str) -> Result<PathBuf> {
        let folder = self.cache.join(format!("{name}-{:016x}", fingerprint(&[module])));
        let binary = folder.join(name);
        if binary.exists() {
            return Ok(binary);
        }
        progress(&format!("building {about} for tests (some minutes, once)"));
        run(Command::new("go").args(["install", module]).env("GOBIN", &folder))?;
        Ok(binary)
    }
}

/// `packages`, which `about` tells of, in a folder.
fn install_node_packages(folder: &Path, packages: &[&str], about: &str) -> Result<()> {
    if folder.join("installed").exists() {
        return Ok(());
    }
    progress(&format!("installing npm packages for tests: {about}"));
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("package.json"), "{\"private\": true, \"type\": \"module\"}")?;
    run(Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund"])
        .args(packages)
        .current_dir(folder))?;
    std::fs::write(folder.join("installed"), "")?;
    Ok(())
}

/// The Python of `environment`, with `packages`, which `about` tells of.
fn install_python_packages(environment: &Path, packages: &[&str], about: &str) -> Result<PathBuf> {
    let python = environment.join("bin/python");
    let marker = environment.join(format!("installed-{:016x}", fingerprint(packages)));
    if marker.exists() {
        return Ok(python);
    }
    progress(&format!("installing Python packages for tests: {about}"));
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages))?;
    std::fs::write(&marker, "")?;
    Ok(python)
}

/// FNV-1a: names a version of the installed set in a file name.
pub(crate) fn fingerprint(parts: &[&str]) -> u64 {
    parts.iter().flat_map(|part| part.bytes().chain([0])).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("could not start {name}"))?;
    if !status.success() {
        bail!("{name} failed: {status}");
    }
    Ok(())
}

pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}
