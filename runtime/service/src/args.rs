//! The command line, as Tempo has it: flags with dots, one or two dashes, `-flag=value`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser};
use tempoform_config::Target;

/// Runs components of the tracing backend.
#[derive(Debug, Parser)]
#[command(name = "tempo", disable_version_flag = true, disable_help_flag = true)]
pub(crate) struct Args {
    /// Configuration file, in Tempo's YAML.
    #[arg(long = "config.file", value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Replace ${VAR} and ${VAR:default} in the configuration file by environment variables.
    #[arg(long = "config.expand-env", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set)]
    pub(crate) expand_env: bool,
    /// Check the configuration file and exit.
    #[arg(long = "config.verify", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", action = ArgAction::Set)]
    pub(crate) verify: bool,
    /// Component to run: all, distributor, ingester, querier, query-frontend, retriever or compactor.
    /// Default: the one in the file, or all.
    #[arg(long)]
    pub(crate) target: Option<Target>,
    /// Print the version and exit.
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) version: bool,
    /// Print help.
    #[arg(long, short = 'h', action = ArgAction::Help)]
    help: Option<bool>,
}

impl Args {
    /// Parses `arguments`, the program's name first.
    pub(crate) fn parse_go_style(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(arguments.into_iter().map(|argument| match argument.to_str() {
            Some(text) if is_single_dash_flag(text) => OsString::from(format!("-{text}")),
            _ => argument,
        }))
    }
}

/// `-target=all`, but not `-h`, `--target` or `-`.
fn is_single_dash_flag(argument: &str) -> bool {
    argument.len() > 2 && argument.starts_with('-') && !argument.starts_with("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        Args::parse_go_style(std::iter::once("tempo").chain(arguments.iter().copied()).map(OsString::from))
    }

    #[test]
    fn one_dash_and_two_dashes_mean_the_same() {
        for dashes in ["-", "--"] {
            let file = format!("{dashes}config.file=a.yaml");
            let target = format!("{dashes}target=query-frontend");
            let expand = format!("{dashes}config.expand-env=true");
            let args = parse(&[&file, &target, &expand]).expect("valid");
            assert_eq!(args.config_file, Some(PathBuf::from("a.yaml")));
            assert_eq!(args.target, Some(Target::QueryFrontend));
            assert!(args.expand_env);
        }
        assert!(parse(&["-config.expand-env"]).expect("valid").expand_env);
    }

    #[test]
    fn an_unknown_target_lists_the_known_ones() {
        let error = parse(&["--target=qurier"]).expect_err("no such target").to_string();
        assert!(error.contains("query-frontend"), "{error}");
    }
}
