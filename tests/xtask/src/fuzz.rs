//! `cargo xtask fuzz`: the properties of tests/fuzz with libFuzzer, one after the other.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo::Cargo;
use crate::tools;

/// Most memory of a target, MiB: properties stay far below, and AddressSanitizer takes some.
const MEMORY_MIB: u32 = 1024;
/// An input that takes longer is a find, seconds.
const SLOWEST: u32 = 20;
/// Longest input, bytes: a block of a few traces.
const LONGEST: u32 = 64 << 10;

/// Runs `target`, or all, for `seconds` each.
pub(crate) fn run(target: Option<&str>, seconds: u64) -> Result<()> {
    check_installed()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("tests/fuzz/libfuzzer");
    let names = names(&folder.join("bins"), target)?;
    // The versions that are tested are those that are built.
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).context("could not copy Cargo.lock")?;
    let corpus = folder.join("corpus");
    Cargo::new("run")
        .args(["--quiet", "--package", "tempoform-fuzz", "--example", "write_seeds", "--"])
        .args([&corpus])
        .run()?;
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let fuzz = Fuzz { folder, built: built.join("fuzz"), seconds };
    let failed: Vec<_> = names.iter().filter(|name| fuzz.run(name).is_err()).map(String::as_str).collect();
    if !failed.is_empty() {
        bail!(
            "failed: {}. The inputs are in {}; mend the crate, and put them into tests/fuzz/corpus/TARGET/",
            failed.join(", "),
            fuzz.folder.join("artifacts").display()
        );
    }
    Ok(())
}

fn check_installed() -> Result<()> {
    if !tools::is_installed("cargo-fuzz") {
        bail!("cargo-fuzz is not installed: cargo install cargo-fuzz");
    }
    let nightly = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !nightly.is_ok_and(|status| status.success()) {
        bail!("libFuzzer and AddressSanitizer need the nightly compiler: rustup toolchain install nightly");
    }
    Ok(())
}

/// The targets: all, or the one asked for.
fn names(bins: &Path, target: Option<&str>) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(bins).with_context(|| format!("could not read {}", bins.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut names: Vec<_> = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    match target {
        None => Ok(names),
        Some(target) if names.iter().any(|name| name == target) => Ok(vec![target.to_owned()]),
        Some(target) => bail!("there is no target {target}; there are {}", names.join(", ")),
    }
}

struct Fuzz {
    folder: PathBuf,
    built: PathBuf,
    seconds: u64,
}

impl Fuzz {
    fn run(&self, name: &str) -> Result<()> {
        // Nobody is there to be told when this fails.
        drop(writeln!(std::io::stderr(), "\nfuzzing {name} for {} s", self.seconds));
        let mut cargo = Command::new("rustup");
        cargo.args([
            "run",
            "nightly",
            "cargo",
            "fuzz",
            "run",
            "--release",
            "--debug-assertions",
            "--fuzz-dir",
        ]);
        cargo.arg(&self.folder).arg("--target-dir").arg(&self.built).args([name, "--"]);
        cargo.args([
            format!("-max_total_time={}", self.seconds),
            format!("-rss_limit_mb={MEMORY_MIB}"),
            format!("-timeout={SLOWEST}"),
            format!("-max_len={LONGEST}"),
            "-print_final_stats=1".to_owned(),
        ]);
        if let Some(memory) = temporary() {
            cargo.env("TMPDIR", memory);
        }
        let status = cargo.status().context("could not start cargo-fuzz")?;
        if !status.success() {
            bail!("{name}: {status}");
        }
        Ok(())
    }
}

/// Files of the log are synced all the time: a folder in memory, unless the user has named one.
fn temporary() -> Option<OsString> {
    let memory = Path::new("/dev/shm");
    (std::env::var_os("TMPDIR").is_none() && memory.is_dir()).then(|| memory.into())
}
