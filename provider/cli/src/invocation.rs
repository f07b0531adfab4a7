//! How this program was started, so that the commands that it advises can be copied into the same shell.
//!
//! The libraries write advice as `` `tempoform logs ingester-0` ``: they know neither how the user starts the
//! program nor which documents or bucket were named. [`Invocation::in_own_words`] puts both in.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::args::{Check, Command, Destination};
use crate::blocks::args::Blocks;
use crate::blocks::place::without_secrets;

/// Commands that work on documents.
const ON_DOCUMENTS: [&str; 8] =
    ["validate", "render", "plan", "apply", "status", "health", "logs", "destroy"];
/// Those among them that ask where those run.
const ON_DESTINATIONS: [&str; 6] = ["plan", "apply", "status", "health", "logs", "destroy"];
/// Commands that work on a bucket, or on a document's.
const ON_BUCKETS: [&str; 2] = ["blocks", "check"];
/// The text that begins an advised command.
const ADVICE: &str = "`tempoform ";

/// The words that start this program again.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    program: String,
    /// The arguments that name the documents.
    documents: String,
    /// The arguments that say where those run.
    destination: String,
    /// The arguments that name the bucket.
    bucket: String,
}

impl Invocation {
    /// From the name by which the program was called.
    pub(crate) fn new(name: Option<&OsString>) -> Self {
        let name = name.map_or_else(|| PathBuf::from("tempoform"), PathBuf::from);
        let executable = env::current_exe().ok();
        let here = env::current_dir().ok();
        let program = program(&name, executable.as_deref(), here.as_deref());
        Self { program, documents: String::new(), destination: String::new(), bucket: String::new() }
    }

    /// With the documents, or the bucket, that a command was given.
    #[must_use]
    pub(crate) fn on(mut self, command: &Command) -> Self {
        if let Command::Blocks(Blocks { place, .. }) | Command::Check(Check { place, .. }) = command {
            (self.bucket, self.documents) = match (&place.bucket, &place.config) {
                (Some(url), _) => (format!(" --bucket {}", quoted(&without_secrets(url))), String::new()),
                (None, Some(file)) => (format!(" --config {}", path(file)), String::new()),
                (None, None) => (documents(&place.files), documents(&place.files)),
            };
            return self;
        }
        let files = command.files().map(|files| files.files.as_slice()).unwrap_or_default();
        (self.bucket, self.documents) = (documents(files), documents(files));
        let words = command.destination().map(Destination::words).unwrap_or_default();
        self.destination = words.iter().map(|words| format!(" {words}")).collect();
        self
    }

    /// A whole command, from what follows the program's name: `logs ingester-0`.
    pub(crate) fn command(&self, words: &str) -> String {
        let command = words.split(' ').next().unwrap_or_default();
        let place = match command {
            _ if [" -f ", " --bucket ", " --config "].iter().any(|named| words.contains(named)) => "",
            _ if ON_DOCUMENTS.contains(&command) => &self.documents,
            _ if ON_BUCKETS.contains(&command) => &self.bucket,
            _ => "",
        };
        let is_placed = ON_DESTINATIONS.contains(&command) && !place.is_empty();
        let destination = if is_placed { self.destination.as_str() } else { "" };
        format!("{} {words}{place}{destination}", self.program)
    }

    /// The text with every advised command as this user has to type it.
    pub(crate) fn in_own_words(&self, text: &str) -> String {
        let mut parts = text.split(ADVICE);
        let mut told = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part.split_once('`') {
                Some((words, rest)) => told.push_str(&format!("`{}`{rest}", self.command(words))),
                None => told.push_str(&format!("{ADVICE}{part}")),
            }
        }
        told
    }
}

fn program(name: &Path, executable: Option<&Path>, here: Option<&Path>) -> String {
    if name.components().count() == 1 {
        // Found by PATH, whatever the file is called there.
        return quoted(&name.display().to_string());
    }
    match (executable.and_then(built_by_cargo), here.and_then(package_of)) {
        (Some((workspace, release)), Some(package)) if workspace == package => {
            if release { "cargo run --release --" } else { "cargo run --" }.to_owned()
        }
        _ => quoted(&name.display().to_string()),
    }
}

/// The workspace of an executable in cargo's `target` folder, and whether it is a release build.
fn built_by_cargo(executable: &Path) -> Option<(&Path, bool)> {
    let profile = executable.parent()?;
    let release = match profile.file_name()?.to_str()? {
        "release" => true,
        "debug" => false,
        _ => return None,
    };
    let target = profile.parent().filter(|target| target.ends_with("target"))?;
    Some((target.parent()?, release))
}

/// The folder whose `Cargo.toml` a `cargo run` in `here` would use.
fn package_of(here: &Path) -> Option<&Path> {
    here.ancestors().find(|folder| folder.join("Cargo.toml").is_file())
}

fn documents(files: &[PathBuf]) -> String {
    files.iter().map(|file| format!(" -f {}", path(file))).collect()
}

fn path(file: &Path) -> String {
    quoted(&file.display().to_string())
}

/// As a shell takes it for one word.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Args;

    fn invocation(arguments: &[&str]) -> Invocation {
        let arguments = Args::parse_from([&["tempoform"], arguments].concat());
        let program = "cargo run --release --".to_owned();
        let (documents, destination, bucket) = Default::default();
        Invocation { program, documents, destination, bucket }.on(&arguments.command)
    }

    #[test]
    fn advice_is_told_as_the_user_types_it() {
        let own = invocation(&["plan", "-f", "my documents/tempo.yaml"]);
        assert_eq!(
            own.in_own_words(
                "see `tempoform logs ingester-0`, then `tempoform apply`; `tempoform version` too"
            ),
            "see `cargo run --release -- logs ingester-0 -f 'my documents/tempo.yaml'`, then \
             `cargo run --release -- apply -f 'my documents/tempo.yaml'`; `cargo run --release -- version` too"
        );
        assert_eq!(own.in_own_words("ends in `tempoform "), "ends in `tempoform ");
        assert_eq!(own.command("check"), "cargo run --release -- check -f 'my documents/tempo.yaml'");
    }

    #[test]
    fn advice_repeats_where_a_document_runs() {
        let own = invocation(&["apply", "-f", "tempo.yaml", "--context", "my cluster", "-n", "tracing"]);
        let place = "-f tempo.yaml --context 'my cluster' --namespace tracing";
        assert_eq!(own.command("logs ingester-0"), format!("cargo run --release -- logs ingester-0 {place}"));
        assert_eq!(own.command("check"), "cargo run --release -- check -f tempo.yaml");
    }

    #[test]
    fn advice_repeats_where_the_blocks_are() {
        for (place, told) in [
            (
                ["--bucket", "s3://k:s@traces?endpoint=http://minio:9000"],
                "--bucket 's3://traces?endpoint=http://minio:9000'",
            ),
            (["--config", "my tempo.yaml"], "--config 'my tempo.yaml'"),
            (["-f", "quickstart"], "-f quickstart"),
        ] {
            let own = invocation(&["blocks", "verify", place[0], place[1]]);
            let (whole, program) = (own.command("blocks list"), "cargo run --release --");
            assert_eq!(whole, format!("{program} blocks list {told}"));
        }
        let own = invocation(&["check", "--bucket", "gs://traces"]);
        assert_eq!(own.command("blocks list --config x"), "cargo run --release -- blocks list --config x");
        assert_eq!(own.command("status"), "cargo run --release -- status");
    }

    #[test]
    fn the_program_is_called_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path();
        std::fs::write(workspace.join("Cargo.toml"), "[workspace]").unwrap();
        let inside = workspace.join("examples/quickstart");
        std::fs::create_dir_all(&inside).unwrap();
        let built = workspace.join("target/release/tempoform");
        let by = |name: &str, here: &Path| program(Path::new(name), Some(&built), Some(here));
        assert_eq!(by("target/release/tempoform", workspace), "cargo run --release --");
        assert_eq!(by("../../target/release/tempoform", &inside), "cargo run --release --");
        assert_eq!(by("tempoform", workspace), "tempoform");
        assert_eq!(by("/opt/w/target/release/tempoform", Path::new("/")), "/opt/w/target/release/tempoform");
        let debug = workspace.join("target/debug/tempoform");
        assert_eq!(
            program(Path::new("target/debug/tempoform"), Some(&debug), Some(workspace)),
            "cargo run --"
        );
    }
}
