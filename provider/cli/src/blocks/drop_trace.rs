use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use tempoform_block::{BlockPath, BlockState};
use tempoform_compactor::{Erased, Holder, Holders, erase, find, refresh_index};
use tempoform_core::{Account, TenantId, TraceId};
use uuid::Uuid;

use super::args::DropTrace;
use super::find::{holders, may_be_in, told};
use super::place::{CACHE, Location};
use super::progress::Progress;
use super::receipt::{Outcome, Proof, Receipt, Step};
use super::table::count;
use super::{choice, code};
use crate::args::Format;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;

pub(super) async fn run(
    location: &Location,
    args: &DropTrace,
    invocation: &Invocation,
) -> Result<ExitCode, Failure> {
    let DropTrace { id, tenant, purge, .. } = args;
    let (store, account) = (location.open(CACHE)?, Account::default());
    let started_at = Timestamp::now();
    let progress = Progress::of("blocks looked at");
    let found = find(&store, tenant, *id, false, &|done, total| progress.tell(done, total), &account).await?;
    if found.looked_at == 0 {
        return Err(choice::no_blocks(tenant, location));
    }
    let held = found.holders.clone();
    announce(location, args, found)?;
    if !held.is_empty() && !args.yes && !output::confirm("Erase it?", "--yes")? {
        output::note("Nothing was changed.");
        return Ok(ExitCode::from(1));
    }
    let file = args.receipt.as_deref().map(create).transpose()?;

    let mut steps = Vec::with_capacity(held.len());
    for (number, holder) in held.iter().enumerate() {
        output::note(&format!("block {}, {} of {}", holder.block, number + 1, held.len()));
        let path = BlockPath::new(tenant.clone(), holder.block);
        let erased = erase(&store, &path, *id, *purge, &location.settings(), &account).await;
        steps.push(step(holder, erased, *purge));
    }
    let mut warnings = Vec::new();
    if !steps.is_empty()
        && let Err(error) = refresh_index(&store, tenant, &account).await
    {
        warnings.push(format!("the tenant's index could not be written; the compactor will: {error}"));
    }
    // Nothing that was read before is good enough for this.
    let proof = prove(location, tenant, *id).await;
    let receipt = Receipt {
        format_version: 1,
        written_by: format!("tempoform {}", env!("CARGO_PKG_VERSION")),
        bucket: location.name.clone(),
        tenant: tenant.to_string(),
        trace_id: id.to_string(),
        started_at,
        finished_at: Timestamp::now(),
        purge: *purge,
        outcome: Outcome::of(&steps, &proof),
        blocks: steps,
        proof,
        warnings,
        not_covered: Receipt::not_covered(*id),
    };
    if let (Some(mut file), Some(name)) = (file, &args.receipt) {
        write(&mut file, &receipt).map_err(|error| {
            Failure::new(format!("cannot write the receipt {}", name.display())).because(&error)
        })?;
    }
    match args.output {
        Format::Json => output::json(&receipt)?,
        Format::Text => output::data(&invocation.in_own_words(&receipt.text()))?,
    }
    Ok(code(receipt.outcome != Outcome::Incomplete))
}

/// Says what is about to be removed, to whoever has to agree.
fn announce(
    location: &Location,
    args: &DropTrace,
    found: tempoform_compactor::Holders,
) -> Result<(), Failure> {
    let DropTrace { id, tenant, purge, .. } = args;
    let live = found.holders.iter().filter(|holder| holder.state == BlockState::Live).count();
    let spans: u64 = found.holders.iter().filter_map(|holder| holder.holding.spans).sum();
    let (total, looked_at) = (found.holders.len(), found.looked_at);
    let (held, unread) = told(tenant.as_str(), found);
    for unread in &unread {
        output::note(&format!("warning: block {} may hold it: {}", unread.block, unread.why));
    }
    if total == 0 {
        let unread: Vec<Uuid> = unread.iter().map(|unread| unread.block).collect();
        output::note(&match unread.is_empty() {
            true => format!(
                "trace {id} is in none of the {} of tenant {tenant}",
                count(looked_at as u64, "block")
            ),
            false => may_be_in(*id, tenant, &unread, looked_at),
        });
        return Ok(());
    }
    output::note(&format!("Trace {id} of tenant {tenant} in {}:\n\n{}", location.name, holders(&held)));
    let how = match purge {
        true => "and every object of the old blocks, and of those that were marked before, is DELETED",
        false => {
            "and the old blocks are marked as compacted; their bytes stay until the compactor deletes them"
        }
    };
    output::note(&format!(
        "{} in {} will be removed for good: {} written again without them, {how}.",
        count(spans, "span"),
        count(total as u64, "block"),
        if live == 1 { "1 live block is".to_owned() } else { format!("{live} live blocks are") },
    ));
    Ok(())
}

fn step(holder: &Holder, erased: tempoform_core::Result<Erased>, purge: bool) -> Step {
    match erased {
        Ok(Erased { block, state, spans, data_sha256, new, deleted }) => Step {
            block,
            state,
            // Nothing was done about a block that was marked before.
            spans_removed: if purge || state == BlockState::Live { spans } else { Some(0) },
            data_sha256: Some(hex::encode(data_sha256)),
            new_block: new.map(|(block, _)| block),
            new_data_sha256: new.map(|(_, sha256)| hex::encode(sha256)),
            objects_deleted: deleted,
            error: None,
        },
        Err(error) => Step {
            block: holder.block,
            state: holder.state,
            spans_removed: None,
            data_sha256: None,
            new_block: None,
            new_data_sha256: None,
            objects_deleted: Vec::new(),
            error: Some(error.to_string()),
        },
    }
}

/// Whatever comes of it is written into the receipt: something has been erased already.
async fn prove(location: &Location, tenant: &TenantId, id: TraceId) -> Proof {
    let (account, progress) = (Account::default(), Progress::of("blocks looked at again"));
    let tell = |done, total| progress.tell(done, total);
    let looked = match location.open(0) {
        Ok(store) => {
            find(&store, tenant, id, false, &tell, &account).await.map_err(|error| error.to_string())
        }
        Err(failure) => Err(failure.to_string()),
    };
    let spent = account.snapshot();
    let (found, error) = match looked {
        Ok(found) => (found, None),
        Err(error) => (Holders::default(), Some(error)),
    };
    let blocks_looked_at = found.looked_at;
    let (still_held_by, unknown) = told(tenant.as_str(), found);
    let (requests, bytes) = (spent.requests, spent.bytes);
    Proof { at: Timestamp::now(), blocks_looked_at, still_held_by, unknown, error, requests, bytes }
}

/// Made before anything is erased: there is no erasure without the receipt that was asked for.
fn create(file: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create_new(true).open(file).map_err(|error| {
        let failure = Failure::new(format!("cannot make the receipt {}", file.display())).because(&error);
        failure.help("nothing was changed; name another file with --receipt")
    })
}

fn write(file: &mut File, receipt: &Receipt) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(receipt)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
