use std::path::PathBuf;
use std::str::FromStr;

use clap::{Subcommand, ValueEnum};
use tempoform_block::{DedicatedColumn, DedicatedScope};
use tempoform_core::{TenantId, TraceId};
use uuid::Uuid;

use crate::args::Format;

pub(crate) const ABOUT: &str = "\
Look at the blocks in a bucket, check, rewrite them, and erase traces.

Works on any bucket with blocks of Grafana Tempo or tempoform in it (vParquet3, 4 and 5), whether or not anything runs on \
it. Say where the blocks are with one of --bucket, --config and -f; without any, the documents of TEMPOFORM_FILE count.

Exit codes: 0 fine, 1 findings or failed, 2 wrong usage.";

pub(crate) const EXAMPLES: &str = "\
Examples:
  tempoform blocks list --bucket file:///var/tempo/traces
  tempoform blocks list --bucket 's3://traces?endpoint=http://minio:9000' --tenant team-a -o json
  tempoform blocks verify --config tempo.yaml
  tempoform blocks find 7d6c6665de82f83f6646bcea0d531a59 -f examples/quickstart
  tempoform blocks drop-trace 7d6c6665de82f83f6646bcea0d531a59 --tenant team-a --purge \\
      --receipt receipt.json --bucket gs://traces";

#[derive(Debug, clap::Args)]
pub(crate) struct Blocks {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: BlocksCommand,
}

/// Where the blocks are.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The bucket or folder: s3://BUCKET/PREFIX?endpoint=URL&region=NAME, gs://BUCKET/PREFIX,
    /// az://CONTAINER/PREFIX?account=NAME&endpoint=URL, file:///PATH. Credentials come from the environment.
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) bucket: Option<String>,
    /// A configuration file of the runtime or of Grafana Tempo, whose storage.trace is used. ${VAR} in it is
    /// replaced from the environment.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// A document, or a folder with one, whose storage is used.
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR", global = true, env = "TEMPOFORM_FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlocksCommand {
    /// List blocks: live ones, those marked for deletion, and half-written ones.
    List(List),
    /// Show what a block is made of: meta, row groups, columns, blooms, index, sidecar.
    Inspect(Inspect),
    /// Check blocks whole, and name everything that is wrong.
    ///
    /// Reads every page of every column, compares checksums, and holds metas, footers, indexes, blooms and the order of
    /// ids against what is found. A few columns are in memory at a time, a page of each, whatever the size of a block.
    /// Without BLOCK: every live and compacted block, of one tenant or of all.
    Verify(Verify),
    /// Print a trace, read from the blocks directly.
    Trace(Trace),
    /// Tell which tenants and blocks really hold a trace, and what finding out cost.
    Find(Find),
    /// Write a block again, as vParquet4 and with other dedicated columns if asked.
    ///
    /// The new block is checked whole and compared with the old one, trace by trace, before the old one is marked as
    /// compacted. In memory are parts of both (some 32 MiB each), one row group, and the largest trace.
    Rewrite(Rewrite),
    /// Erase a trace from every block of a tenant, with a receipt.
    ///
    /// Each block that holds it is written again without it, checked and compared with the old one, which is then
    /// marked as compacted. With --purge the old objects are deleted at once, those of blocks that were marked before
    /// as well, so that the bytes are gone; until readers hear of that they may report the old blocks as missing. In the
    /// end every block is looked at again. Spans that ingesters still have in their logs are not covered: call /flush on
    /// them first.
    #[command(
        after_long_help = "Example:\n  tempoform blocks drop-trace 7d6c6665de82f83f6646bcea0d531a59 --tenant \
                                 team-a --purge \\\n      --receipt receipt.json --config tempo.yaml"
    )]
    DropTrace(DropTrace),
}

/// A block: `UUID`, or `TENANT/UUID`.
#[derive(Clone, Debug)]
pub(crate) struct BlockName {
    pub(crate) tenant: Option<TenantId>,
    pub(crate) block: Uuid,
}

impl FromStr for BlockName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tenant, block) = match text.split_once('/') {
            Some((tenant, block)) => (Some(tenant.parse().map_err(|error| format!("{error}"))?), block),
            None => (None, text),
        };
        let block = block.parse().map_err(|_| "a block is UUID or TENANT/UUID".to_owned())?;
        Ok(Self { tenant, block })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Of this tenant only.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<TenantId>,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    pub(crate) output: ListFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// UUID or TENANT/UUID.
    pub(crate) block: BlockName,
    /// The block's tenant. Default: whoever has the block.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<TenantId>,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// UUID or TENANT/UUID. Default: all.
    #[arg(value_name = "BLOCK")]
    pub(crate) blocks: Vec<BlockName>,
    /// Of this tenant only.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<TenantId>,
    /// How to show what is found.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    /// As Tempo's API answers /api/v2/traces/ID.
    Json,
    /// OTLP protobuf (TracesData), into a file or pipe.
    Otlp,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Trace {
    /// The trace, up to 32 hexadecimal digits.
    pub(crate) id: TraceId,
    /// The trace's tenant. Default: the only one in the bucket.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<TenantId>,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t = TraceFormat::Json)]
    pub(crate) output: TraceFormat,
    /// Write it to this file, instead of printing.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Find {
    /// The trace, up to 32 hexadecimal digits.
    pub(crate) id: TraceId,
    /// Of this tenant only.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<TenantId>,
    /// Believe bloom filters that say no. Cheaper; a damaged one hides a trace.
    #[arg(long)]
    pub(crate) trust_blooms: bool,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rewrite {
    /// UUID or TENANT/UUID.
    pub(crate) block: BlockName,
    /// The block's tenant. Default: whoever has the block.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<TenantId>,
    /// Give this attribute a column of its own: span.http.route, resource.team. May be given up to ten times for spans
    /// and for resources; replaces the block's list.
    #[arg(long = "dedicated-column", value_name = "SCOPE.NAME", value_parser = dedicated_column)]
    pub(crate) dedicated_columns: Vec<DedicatedColumn>,
    /// Give no attribute a column of its own.
    #[arg(long, conflicts_with = "dedicated_columns")]
    pub(crate) no_dedicated_columns: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DropTrace {
    /// The trace, up to 32 hexadecimal digits.
    pub(crate) id: TraceId,
    /// The tenant it is erased of.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: TenantId,
    /// Delete the old objects at once, instead of leaving them to the compactor.
    #[arg(long)]
    pub(crate) purge: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Write the receipt into this file, as JSON. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// How to print the receipt.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

fn dedicated_column(text: &str) -> Result<DedicatedColumn, String> {
    let wanted = "an attribute is span.NAME or resource.NAME";
    let (scope, name) = text.split_once('.').filter(|(_, name)| !name.is_empty()).ok_or(wanted)?;
    let scope = match scope {
        "span" => DedicatedScope::Span,
        "resource" => DedicatedScope::Resource,
        _ => return Err(wanted.to_owned()),
    };
    Ok(DedicatedColumn::string(scope, name))
}
