use std::process::ExitCode;

use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use tempoform_block::paths;
use tempoform_block::{BlockError, BlockFolder, BlockMeta, BlockPath, BlockState, BlockStore, SetAside};
use tempoform_core::{Account, TenantId};
use uuid::Uuid;

use super::args::{List, ListFormat};
use super::place::{CACHE, Location};
use super::progress::Progress;
use super::table::{age, count, size, table, time};
use super::{choice, code};
use crate::failure::Failure;
use crate::output;

/// Metas read at once.
const AT_ONCE: usize = 32;

/// The answer of `tempoform blocks list -o json`. Fields are added, never renamed or removed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    bucket: String,
    blocks: Vec<Block>,
    totals: Totals,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    tenant: String,
    block: Uuid,
    state: BlockState,
    /// Of all its objects.
    bytes: u64,
    /// When its meta was written; of a half-written one, the last object.
    since: Timestamp,
    #[serde(flatten)]
    meta: Option<Described>,
    /// Why its meta cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// Why merging leaves it out, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside: Option<SetAside>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    version: String,
    level: u32,
    replication_factor: u32,
    traces: u64,
    /// Of `data.parquet`.
    data_bytes: u64,
    start: Timestamp,
    end: Timestamp,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    tenants: usize,
    live: usize,
    compacted: usize,
    half_written: usize,
    /// Of the live ones.
    set_aside: usize,
    /// Of live blocks.
    traces: u64,
    /// Of all objects of all blocks.
    bytes: u64,
}

pub(super) async fn run(location: &Location, args: &List) -> Result<ExitCode, Failure> {
    let (store, account) = (location.open(CACHE)?, Account::default());
    let mut blocks = Vec::new();
    for tenant in choice::tenants(&store, args.tenant.as_ref(), &account).await? {
        let folders = choice::folders(&store, location, &tenant, args.tenant.is_some(), &account).await?;
        blocks.extend(describe(&store, &tenant, folders, &account).await?);
    }
    blocks.sort_by(|a, b| order(a).cmp(&order(b)));
    let fine = blocks.iter().all(|block| block.problem.is_none() && block.set_aside.is_none());
    let listing = Listing { bucket: location.name.clone(), totals: totals(&blocks), blocks };
    match args.output {
        ListFormat::Json => output::json(&listing)?,
        ListFormat::Table => output::data(&text(&listing))?,
    }
    Ok(code(fine))
}

/// By tenant, then by time; those without a meta come last.
fn order(block: &Block) -> (&str, bool, Option<Timestamp>, Uuid) {
    (&block.tenant, block.meta.is_none(), block.meta.as_ref().map(|meta| meta.start), block.block)
}

async fn describe(
    store: &BlockStore,
    tenant: &TenantId,
    folders: Vec<BlockFolder>,
    account: &Account,
) -> Result<Vec<Block>, Failure> {
    let (total, progress) = (folders.len(), Progress::of(format!("metas of {tenant} read")));
    let metas = folders.into_iter().map(|folder| {
        let path = BlockPath::new(tenant.clone(), folder.block);
        // Boxed: the compiler cannot show that the bare future is `Send` for every lifetime.
        async move {
            let aside = set_aside(store, &path, &folder, account).await;
            (meta(store, &path, &folder, account).await, aside, folder)
        }
        .boxed()
    });
    let mut metas = stream::iter(metas).buffered(AT_ONCE).enumerate();
    let mut blocks = Vec::with_capacity(total);
    while let Some((number, (meta, aside, folder))) = metas.next().await {
        progress.tell(number + 1, total);
        let (meta, problem) = match meta {
            Ok(meta) => (meta.map(described), None),
            Err(corrupt @ BlockError::Corrupt { .. }) => (None, Some(corrupt.to_string())),
            // Marked or deleted since it was listed.
            Err(gone) if gone.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        blocks.push(Block {
            tenant: tenant.to_string(),
            block: folder.block,
            state: folder.state,
            bytes: folder.bytes(),
            since: folder.since,
            meta,
            problem,
            set_aside: aside,
        });
    }
    Ok(blocks)
}

/// Why the compactor leaves a live block out.
async fn set_aside(
    store: &BlockStore,
    path: &BlockPath,
    folder: &BlockFolder,
    account: &Account,
) -> Option<SetAside> {
    let is_noted = folder.objects.iter().any(|object| object.name == paths::ASIDE);
    if folder.state != BlockState::Live || !is_noted {
        return None;
    }
    // What it says is for people only: one that is gone or damaged meanwhile is no reason to end.
    store.why_aside(path, account).await.ok()
}

async fn meta(
    store: &BlockStore,
    path: &BlockPath,
    folder: &BlockFolder,
    account: &Account,
) -> Result<Option<BlockMeta>, BlockError> {
    match folder.state {
        BlockState::HalfWritten => Ok(None),
        BlockState::Compacted => store.read_compacted_meta(path, account).await.map(Some),
        BlockState::Live => match store.read_meta(path, account).await {
            Err(marked) if marked.is_not_found() => store.read_compacted_meta(path, account).await.map(Some),
            other => other.map(Some),
        },
    }
}

fn described(meta: BlockMeta) -> Described {
    Described {
        version: meta.version.to_string(),
        level: meta.compaction_level,
        replication_factor: meta.replication_factor,
        traces: meta.total_objects,
        data_bytes: meta.size,
        start: meta.start_time,
        end: meta.end_time,
    }
}

fn totals(blocks: &[Block]) -> Totals {
    let mut totals = Totals::default();
    let mut tenants: Vec<&str> = blocks.iter().map(|block| block.tenant.as_str()).collect();
    tenants.dedup();
    totals.tenants = tenants.len();
    for block in blocks {
        totals.bytes += block.bytes;
        match block.state {
            BlockState::Live => {
                totals.live += 1;
                totals.set_aside += usize::from(block.set_aside.is_some());
                totals.traces += block.meta.as_ref().map_or(0, |meta| meta.traces);
            }
            BlockState::Compacted => totals.compacted += 1,
            BlockState::HalfWritten => totals.half_written += 1,
        }
    }
    totals
}

fn text(listing: &Listing) -> String {
    const HEADINGS: [&str; 11] =
        ["TENANT", "BLOCK", "STATE", "VERSION", ">LEVEL", ">RF", ">TRACES", ">SIZE", "START", "END", ">AGE"];
    let now = Timestamp::now();
    let row = |block: &Block| {
        let of_meta =
            |show: &dyn Fn(&Described) -> String| block.meta.as_ref().map_or_else(|| "-".to_owned(), show);
        vec![
            block.tenant.clone(),
            block.block.to_string(),
            block.state.as_str().to_owned(),
            of_meta(&|meta| meta.version.clone()),
            of_meta(&|meta| meta.level.to_string()),
            of_meta(&|meta| meta.replication_factor.to_string()),
            of_meta(&|meta| meta.traces.to_string()),
            size(block.meta.as_ref().map_or(block.bytes, |meta| meta.data_bytes)),
            of_meta(&|meta| time(meta.start)),
            of_meta(&|meta| time(meta.end)),
            age(now.duration_since(block.since)),
        ]
    };
    let rows: Vec<_> = listing.blocks.iter().map(row).collect();
    let mut text = table(&HEADINGS, &rows);
    let Totals { tenants, live, compacted, half_written, set_aside, traces, bytes } = listing.totals;
    text.push_str(&format!(
        "\n{} of {}: {live} live with {}, {compacted} compacted, {half_written} half-written; {} in all objects\n",
        count(listing.blocks.len() as u64, "block"),
        count(tenants as u64, "tenant"),
        count(traces, "trace"),
        size(bytes),
    ));
    if set_aside > 0 {
        text.push_str(&format!("{} set aside by compaction:\n", count(set_aside as u64, "block")));
    }
    for block in &listing.blocks {
        if let Some(SetAside { why, since, .. }) = &block.set_aside {
            text.push_str(&format!(
                "set aside: {}/{} since {}: {why}\n",
                block.tenant,
                block.block,
                time(*since)
            ));
        }
    }
    for block in listing.blocks.iter().filter(|block| block.problem.is_some()) {
        text.push_str(&format!("problem: {}\n", block.problem.as_deref().unwrap_or_default()));
    }
    text
}
