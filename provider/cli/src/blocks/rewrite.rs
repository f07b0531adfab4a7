use std::collections::BTreeSet;
use std::process::ExitCode;

use tempoform_block::dedicated::{assign_slots, filter_for_version};
use tempoform_block::{BlockPath, BlockVersion, DedicatedColumn};
use tempoform_compactor::{Changes, refresh_index, rewrite};
use tempoform_core::Account;

use super::args::Rewrite;
use super::choice;
use super::place::{CACHE, Location};
use super::table::{count, size};
use crate::failure::Failure;
use crate::output;

/// Dedicated columns of vParquet4 per scope.
const SLOTS: u32 = 10;

pub(super) async fn run(location: &Location, args: &Rewrite) -> Result<ExitCode, Failure> {
    let dedicated_columns = match (&args.dedicated_columns, args.no_dedicated_columns) {
        (_, true) => Some(Vec::new()),
        (none, false) if none.is_empty() => None,
        (columns, false) => Some(checked(columns)?),
    };
    let (store, account) = (location.open(CACHE)?, Account::default());
    let (old, _) = choice::block(&store, location, &args.block, args.tenant.as_ref(), &account).await?;
    let changes = Changes { without: BTreeSet::new(), dedicated_columns };
    let rewritten = rewrite(&store, &old, &changes, &location.settings(), &account).await?;
    store.mark_compacted(&old, &account).await?;
    refresh_index(&store, old.tenant(), &account).await?;
    let text = match rewritten.new {
        None => format!(
            "block {old} held no trace: nothing was written in its place, and it is marked as compacted\n"
        ),
        Some(new) => {
            let duplicates = match rewritten.duplicate_spans {
                0 => String::new(),
                spans => format!(
                    "; {} that it had more than once {} there once",
                    count(spans, "span"),
                    is_or_are(spans)
                ),
            };
            format!(
                "{}\nblock {old} is now {} of {} with {} and {}, checked and compared{duplicates}; the old one is \
                 marked as compacted\n",
                BlockPath::new(old.tenant().clone(), new.block_id),
                new.version,
                size(new.size),
                count(rewritten.verified.traces, "trace"),
                count(rewritten.verified.spans, "span"),
            )
        }
    };
    output::data(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn is_or_are(number: u64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

fn checked(columns: &[DedicatedColumn]) -> Result<Vec<DedicatedColumn>, Failure> {
    let fitting = filter_for_version(&BlockVersion::VParquet4, columns);
    if let Some(column) = columns.iter().find(|column| !fitting.contains(column)) {
        return Err(Failure::usage(format!("{} has a column in every block already", column.name))
            .help("leave it out of --dedicated-column"));
    }
    let different: BTreeSet<_> = columns.iter().collect();
    if different.len() < columns.len() || assign_slots(columns, SLOTS, 0).count() < columns.len() {
        return Err(Failure::usage(
            "a block has ten columns for attributes of spans and ten for those of resources",
        )
        .help("name at most ten of each with --dedicated-column, each once"));
    }
    Ok(fitting)
}
