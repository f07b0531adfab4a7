use std::process::ExitCode;

use serde::Serialize;
use tempoform_block::BlockState;
use tempoform_compactor::find;
use tempoform_core::{Account, TenantId, TraceId};
use uuid::Uuid;

use super::args::Find;
use super::place::{CACHE, Location};
use super::progress::Progress;
use super::table::{count, size, table};
use super::{choice, code};
use crate::args::Format;
use crate::failure::Failure;
use crate::output;

/// The answer of `tempoform blocks find -o json`. Fields are added, never renamed or removed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    trace_id: String,
    held_by: Vec<Held>,
    unknown: Vec<Unread>,
    tenants: usize,
    blocks_looked_at: usize,
    /// What it cost at the store.
    requests: u64,
    bytes: u64,
}

/// A block that holds a trace.
#[derive(Serialize)]
pub(super) struct Held {
    pub(super) tenant: String,
    pub(super) block: Uuid,
    pub(super) state: BlockState,
    /// Not counted in a half-written block.
    pub(super) spans: Option<u64>,
}

/// A block that may hold a trace.
#[derive(Serialize)]
pub(super) struct Unread {
    pub(super) tenant: String,
    pub(super) block: Uuid,
    pub(super) state: BlockState,
    pub(super) why: String,
}

pub(super) async fn run(location: &Location, args: &Find) -> Result<ExitCode, Failure> {
    let (store, account) = (location.open(CACHE)?, Account::default());
    let tenants = choice::tenants(&store, args.tenant.as_ref(), &account).await?;
    let mut found = Found {
        trace_id: args.id.to_string(),
        held_by: Vec::new(),
        unknown: Vec::new(),
        tenants: tenants.len(),
        blocks_looked_at: 0,
        requests: 0,
        bytes: 0,
    };
    for tenant in &tenants {
        let progress = Progress::of(format!("blocks of {tenant} looked at"));
        let tell = |done, total| progress.tell(done, total);
        let holders = find(&store, tenant, args.id, args.trust_blooms, &tell, &account).await?;
        if holders.looked_at == 0 && args.tenant.is_some() {
            return Err(choice::no_blocks(tenant, location));
        }
        found.blocks_looked_at += holders.looked_at;
        let (held, unread) = told(tenant.as_str(), holders);
        found.held_by.extend(held);
        found.unknown.extend(unread);
    }
    let spent = account.snapshot();
    (found.requests, found.bytes) = (spent.requests, spent.bytes);
    match args.output {
        Format::Json => output::json(&found)?,
        Format::Text => output::data(&text(&found))?,
    }
    Ok(code(found.unknown.is_empty()))
}

/// Who holds a trace, and who may, in the form of answers.
pub(super) fn told(tenant: &str, holders: tempoform_compactor::Holders) -> (Vec<Held>, Vec<Unread>) {
    let held = holders.holders.into_iter().map(|holder| Held {
        tenant: tenant.to_owned(),
        block: holder.block,
        state: holder.state,
        spans: holder.holding.spans,
    });
    let unread = holders.unknown.into_iter().map(|unknown| Unread {
        tenant: tenant.to_owned(),
        block: unknown.block,
        state: unknown.state,
        why: unknown.why.to_string(),
    });
    (held.collect(), unread.collect())
}

/// Says where a trace may be that was found nowhere, of so many blocks, because some could not be read.
pub(super) fn may_be_in(id: TraceId, tenant: &TenantId, unread: &[Uuid], total: usize) -> String {
    const NAMED: usize = 10;
    let names: Vec<String> = unread.iter().take(NAMED).map(Uuid::to_string).collect();
    let more =
        unread.len().checked_sub(NAMED + 1).map_or(String::new(), |more| format!(" and {} more", more + 1));
    format!(
        "trace {id} is in none of the {} of tenant {tenant} that could be read; it may be in {} that could not: {}{more}",
        count(total.saturating_sub(unread.len()) as u64, "block"),
        count(unread.len() as u64, "block"),
        names.join(", "),
    )
}

/// Holders in a table.
pub(super) fn holders(held: &[Held]) -> String {
    let row = |held: &Held| {
        vec![
            held.tenant.clone(),
            held.block.to_string(),
            held.state.as_str().to_owned(),
            held.spans.map_or_else(|| "-".to_owned(), |spans| spans.to_string()),
        ]
    };
    table(&["TENANT", "BLOCK", "STATE", ">SPANS"], &held.iter().map(row).collect::<Vec<_>>())
}

fn text(found: &Found) -> String {
    let mut text = String::new();
    if found.held_by.is_empty() {
        text.push_str(&format!("No block is known to hold trace {}.\n", found.trace_id));
    } else {
        text.push_str(&holders(&found.held_by));
    }
    for Unread { tenant, block, state, why } in &found.unknown {
        text.push_str(&format!("may hold it: {tenant}/{block}, {}: {why}\n", state.as_str()));
    }
    text.push_str(&format!(
        "\n{} of {} looked at: {}, {} from the store\n",
        count(found.blocks_looked_at as u64, "block"),
        count(found.tenants as u64, "tenant"),
        count(found.requests, "request"),
        size(found.bytes),
    ));
    text
}
