//! Repository tasks: `cargo xtask test`, `cargo xtask cluster`, `cargo xtask faults`, `cargo xtask fuzz`, `cargo xtask bench`, `cargo xtask check`.

mod cargo;
mod fuzz;
mod kubernetes;
mod report;
mod sealed;
mod tools;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::cargo::{Cargo, Environment};
use crate::report::Report;
use crate::tools::Tools;

/// Repository tasks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every test; builds the executables and installs the tools that they need.
    Test {
        /// Run only tests whose name contains this.
        filter: Option<String>,
    },
    /// Runs the tests with a real Kubernetes alone.
    Cluster {
        /// Run only tests whose name contains this.
        filter: Option<String>,
    },
    /// Runs the tests with faults and writes what came of each to runtime/docs/faults.md.
    Faults,
    /// Runs the parsers of outside bytes under libFuzzer; needs cargo-fuzz and the nightly compiler.
    Fuzz {
        /// One target instead of all.
        target: Option<String>,
        /// How long each runs, seconds.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
    },
    /// Runs the load bench against the real executables and prints its table.
    Bench {
        /// Passed on to the bench; see `cargo xtask bench -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Runs a program in a network without a way out; cargo starts tests through it.
    #[command(hide = true)]
    Sealed {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Formatting, lints and, where `cargo-deny` is installed, licences and duplicate dependencies.
    Check,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.task {
        Task::Test { filter } => test(filter.as_deref()),
        Task::Cluster { filter } => cluster(filter.as_deref()),
        Task::Faults => faults(),
        Task::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Task::Bench { arguments } => bench(&arguments),
        Task::Sealed { command } => sealed::run(&command),
        Task::Check => check(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// The crate whose tests start real processes on fixed ports, one at a time.
const SYSTEM_TESTS: &str = "tempoform-system-tests";
/// The crate whose tests start a Kubernetes, sealed.
const CLUSTER_TESTS: &str = "tempoform-cluster-tests";

fn test(filter: Option<&str>) -> Result<()> {
    let mut report = Report::default();
    let mut tools = Tools::new()?;
    let mut environment = tools.test_blocks(&mut report)?;
    environment.extend(tools.python(&mut report));
    environment.extend(tools.python_receivers(&mut report));
    environment.extend(tools.minio(&mut report));
    environment.extend(tools.node(&mut report));
    environment.extend(tools.azurite(&mut report));
    environment.extend(tools.google(&mut report));
    environment.extend(tools.faketime(&mut report));
    let kubernetes = tools.kubernetes(&mut report);
    environment.extend(report.skips_of_tests(tools.cache())?);

    Cargo::new("build").args(["--bins", "--workspace", "--exclude", "xtask"]).run()?;
    let filter: Vec<&str> = filter.into_iter().collect();
    let units = Cargo::new("test")
        .args([
            "--workspace",
            "--exclude",
            SYSTEM_TESTS,
            "--exclude",
            CLUSTER_TESTS,
            "--exclude",
            "xtask",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ])
        .args(&filter)
        .environment(&environment)
        .run();
    let systems = Cargo::new("test")
        .args(["--package", SYSTEM_TESTS])
        .args(&filter)
        .args(["--", "--test-threads=1"])
        .environment(&environment)
        .run();
    let clusters = cluster_tests(&filter, &environment, &kubernetes);
    report.print();
    units.and(systems).and(clusters)
}

fn cluster(filter: Option<&str>) -> Result<()> {
    let mut report = Report::default();
    let mut tools = Tools::new()?;
    let kubernetes = tools.kubernetes(&mut report);
    let environment = report.skips_of_tests(tools.cache())?;
    // What runs in pods.
    Cargo::new("build").args(["--package", "tempoform-service", "--bin", "tempo"]).run()?;
    let filter: Vec<&str> = filter.into_iter().collect();
    let tested = cluster_tests(&filter, &environment, &kubernetes);
    report.print();
    tested
}

/// The tests with a Kubernetes; without one (`kubernetes` is empty) they say that they are skipped.
fn cluster_tests(filter: &[&str], environment: &Environment, kubernetes: &Environment) -> Result<()> {
    let mut cargo = Cargo::new("test").args(["--package", CLUSTER_TESTS]);
    let own = std::env::current_exe().context("the path of xtask")?;
    if !kubernetes.is_empty() {
        let own = own.to_str().with_context(|| format!("{} is not UTF-8", own.display()))?;
        cargo = cargo.runner(&[own, "sealed", "--"]);
    }
    cargo.args(filter).args(["--", "--test-threads=1"]).environment(environment).environment(kubernetes).run()
}

fn faults() -> Result<()> {
    let mut report = Report::default();
    let mut tools = Tools::new()?;
    let mut environment = tools.minio(&mut report);
    environment.extend(tools.faketime(&mut report));
    environment.extend(report.skips_of_tests(tools.cache())?);
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtime/docs/faults.md");
    environment.push(("TEMPOFORM_FAULT_TABLE", table.into()));

    Cargo::new("build").args(["--package", "tempoform-service", "--bin", "tempo"]).run()?;
    let tested = Cargo::new("test")
        .args(["--package", SYSTEM_TESTS, "faults", "--", "--test-threads=1", "--nocapture"])
        .environment(&environment)
        .run();
    report.print();
    tested
}

fn bench(arguments: &[OsString]) -> Result<()> {
    Cargo::new("build").args(["--package", "tempoform-service", "--bin", "tempo"]).run()?;
    let mut report = Report::default();
    let environment = Tools::new()?.minio(&mut report);
    let outcome = Cargo::new("run")
        .args(["--quiet", "--package", "tempoform-bench", "--"])
        .args(arguments)
        .environment(&environment)
        .run();
    report.print();
    outcome
}

fn check() -> Result<()> {
    let mut report = Report::default();
    Cargo::bare("fmt").args(["--all", "--check"]).run()?;
    Cargo::new("clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]).run()?;
    if tools::is_installed("cargo-deny") {
        Cargo::bare("deny")
            .args(["--config", ".cargo/deny.toml", "check", "bans", "licenses", "sources"])
            .run()?;
    } else {
        report.skip("cargo deny", "cargo-deny is not installed (cargo install cargo-deny)");
    }
    report.print();
    Ok(())
}
