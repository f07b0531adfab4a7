use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tempoform_api::Target;
use tempoform_engine::plan::DangerKind;

use crate::blocks::args::{self as blocks, Blocks, Place};
use crate::failure::Failure;

/// Declares tracing backends that are compatible with Grafana Tempo, and runs them.
///
/// A document (kind: Tempo) says what is wanted. `plan` shows what would change, `apply` makes it
/// so and waits until it serves, `status` and `health` tell how it is.
#[derive(Debug, Parser)]
#[command(name = "tempoform", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check documents, and show every problem with its place.
    ///
    /// Some settings only make sense on one target: a Kubernetes secret, a file of this machine. Without --target a
    /// document is checked for both, problems are told for each, and it is valid when it can run on at least one of
    /// them. In a pipeline, name the target that it is for.
    Validate(Validate),
    /// Print what a document becomes: Kubernetes manifests, the resource, or processes.
    Render(Render),
    /// Show what apply would change, field by field. Changes nothing.
    Plan(Plan),
    /// Make it as declared, wait until it serves, and check that a trace comes back.
    Apply(Apply),
    /// Show components, ring, storage and health.
    Status(Status),
    /// Send a canary trace in and read it back.
    Health(Health),
    /// Print the logs of components.
    Logs(Logs),
    /// Remove every component. Data stay, unless --delete-data.
    Destroy(Destroy),
    /// Look at the blocks in a bucket, check, rewrite them, and erase traces.
    #[command(long_about = blocks::ABOUT, after_long_help = blocks::EXAMPLES)]
    Blocks(Blocks),
    /// Try whether a bucket can be used: list, write, read, upload in parts, delete.
    ///
    /// Each kind of request that components send is tried once, with a small object of an own name under the prefix, which
    /// is deleted again. What does not work is told with the cause, the right that is missing, and what to do. `apply`
    /// does it before it changes anything.
    ///
    /// Exit codes: 0 the bucket can be used, 1 it cannot, 2 wrong usage.
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Print the CustomResourceDefinition of documents.
    Crd,
    /// Print a completion script for a shell.
    Completions(Completions),
    /// Print the version.
    Version,
    /// Run components in this process: the flags are those of Tempo, such as --target and
    /// --config.file; see `tempoform runtime --help`.
    Runtime,
    /// Keep the components of a state directory running. Started by apply.
    #[command(hide = true)]
    Supervise(Supervise),
}

impl Command {
    /// The documents that it works on.
    pub(crate) fn files(&self) -> Option<&Files> {
        match self {
            Self::Validate(Validate { files, .. })
            | Self::Render(Render { files, .. })
            | Self::Plan(Plan { files, .. })
            | Self::Apply(Apply { files, .. })
            | Self::Status(Status { files, .. })
            | Self::Health(Health { files, .. })
            | Self::Logs(Logs { files, .. })
            | Self::Destroy(Destroy { files, .. }) => Some(files),
            Self::Blocks(_)
            | Self::Check(_)
            | Self::Crd
            | Self::Completions(_)
            | Self::Version
            | Self::Runtime
            | Self::Supervise(_) => None,
        }
    }
}

impl Command {
    /// Where the documents that it works on run.
    pub(crate) fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Plan(Plan { destination, .. })
            | Self::Apply(Apply { destination, .. })
            | Self::Status(Status { destination, .. })
            | Self::Health(Health { destination, .. })
            | Self::Logs(Logs { destination, .. })
            | Self::Destroy(Destroy { destination, .. }) => Some(destination),
            _ => None,
        }
    }
}

const CHECK_EXAMPLES: &str = "\
Examples:
  tempoform check -f examples/distributed-s3
  tempoform check --config tempo.yaml -o json
  tempoform check --bucket 's3://traces/tempo?endpoint=https://minio:9000'";

/// The documents.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// A document, or a folder with documents (*.yaml, *.yml). May be given several times.
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR", required = true, env = "TEMPOFORM_FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// Where a document's Tempo runs.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Where it runs")]
pub(crate) struct Destination {
    /// This machine, or a cluster. Default: this machine, or a cluster where one of the options below names it.
    #[arg(long, value_enum, env = "TEMPOFORM_TARGET")]
    pub(crate) target: Option<CheckTarget>,
    /// The context of the kubeconfig. Default: the current one.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig. Default: $KUBECONFIG, or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The namespace of a document that names none. Default: that of the context.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

impl Destination {
    /// Where it runs.
    pub(crate) fn target(&self) -> Target {
        match self.target {
            Some(target) => target.into(),
            None if self.names_a_cluster() => Target::Kubernetes,
            None => Target::Local,
        }
    }

    const fn names_a_cluster(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some() || self.namespace.is_some()
    }

    /// Refuses options that do not go together.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.target == Some(CheckTarget::Local) && self.names_a_cluster() {
            return Err(Failure::usage("--target local is this machine, and other options name a cluster")
                .help("leave out --context, --kubeconfig and --namespace, or use --target kubernetes"));
        }
        Ok(())
    }

    /// The options that say it again.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |option: &str, value: Option<String>| {
            words.extend(value.map(|value| format!("{option} {}", crate::invocation::quoted(&value))));
        };
        add(
            "--target",
            self.target.map(|target| match target {
                CheckTarget::Kubernetes => "kubernetes".to_owned(),
                CheckTarget::Local => "local".to_owned(),
            }),
        );
        add("--context", self.context.clone());
        add("--kubeconfig", self.kubeconfig.as_ref().map(|file| file.display().to_string()));
        add("--namespace", self.namespace.clone());
        words
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Check for this target only. Default: both, and one must do.
    #[arg(long, value_enum)]
    pub(crate) target: Option<CheckTarget>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckTarget {
    /// A cluster: the objects that `render --as manifests` prints.
    Kubernetes,
    /// This machine: processes.
    Local,
}

impl From<CheckTarget> for Target {
    fn from(target: CheckTarget) -> Self {
        match target {
            CheckTarget::Kubernetes => Self::Kubernetes,
            CheckTarget::Local => Self::Local,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderAs {
    /// The objects that run a Tempo on Kubernetes.
    Manifests,
    /// The Tempo resource itself, for an operator.
    Tempo,
    /// The processes that run a Tempo on this machine.
    Processes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    /// A stream of YAML documents.
    Yaml,
    /// A JSON array.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Render {
    #[command(flatten)]
    pub(crate) files: Files,
    /// What to render.
    #[arg(long = "as", value_enum, default_value_t = RenderAs::Manifests)]
    pub(crate) form: RenderAs,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t = Encoding::Yaml)]
    pub(crate) output: Encoding,
    /// Write one file an object into this folder, instead of printing.
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) destination: Destination,
    /// How to show the plan.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// List every field of new objects too.
    #[arg(long)]
    pub(crate) full: bool,
    /// Exit with 2 when there are changes.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Try whether the bucket can be used, too, and fail if not. Without it, a plan needs no network.
    #[arg(long)]
    pub(crate) check_storage: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) destination: Destination,
    /// Do not ask.
    #[arg(long)]
    pub(crate) auto_approve: bool,
    /// List every field of new objects too.
    #[arg(long)]
    pub(crate) full: bool,
    /// Allow a kind of dangerous change. May be given several times.
    #[arg(long, value_name = "KIND", value_parser = danger_kind())]
    pub(crate) allow: Vec<DangerKind>,
    /// How long each component may take until it serves: 90s, 5m.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Do not try first whether the bucket can be used. In a cluster, only components can reach what is inside it, so it is not
    /// tried from here.
    #[arg(long)]
    pub(crate) skip_storage_check: bool,
    /// How to show the result, on standard output. As JSON it has that for itself: the plan goes to standard error.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) destination: Destination,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// Exit with 2 when it is not healthy.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Health {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) destination: Destination,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// Exit with 2, not 1, when it is not healthy.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) destination: Destination,
    /// A component (ingester), an instance (ingester-0, or a pod), or supervisor. Default: all components.
    #[arg(value_name = "COMPONENT|INSTANCE")]
    pub(crate) selector: Option<String>,
    /// Go on with new lines. (-f names documents.)
    #[arg(short = 'F', long)]
    pub(crate) follow: bool,
    /// Lines from the end of each log.
    #[arg(long, value_name = "LINES", default_value_t = 100)]
    pub(crate) tail: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Destroy {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) destination: Destination,
    /// Do not ask.
    #[arg(long)]
    pub(crate) auto_approve: bool,
    /// Delete write-ahead logs and blocks in the state directory, or the volume claims in a cluster, too. A bucket, or a
    /// folder elsewhere, is never touched.
    #[arg(long)]
    pub(crate) delete_data: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Supervise {
    /// The folder that `apply` made.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: PathBuf,
}

fn danger_kind() -> impl clap::builder::TypedValueParser<Value = DangerKind> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    let words = PossibleValuesParser::new(DangerKind::ALL.map(DangerKind::word));
    words.try_map(|word| word.parse::<DangerKind>())
}

fn duration(text: &str) -> Result<Duration, String> {
    let wanted = "a time is a number with a unit, such as 90s or 5m";
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(wanted)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wanted)?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _ => Err(wanted.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("5").is_err() && duration("m").is_err() && duration("1.5m").is_err());
    }
}
