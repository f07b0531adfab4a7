use std::process::ExitCode;

use serde::Serialize;
use tempoform_block::verify::{Finding, Verified, verify};
use tempoform_block::{BlockFolder, BlockPath, BlockState, BlockStore};
use tempoform_core::Account;

use super::args::Verify;
use super::place::{CACHE, Location};
use super::progress::Progress;
use super::table::count;
use super::{choice, code};
use crate::args::Format;
use crate::failure::Failure;
use crate::output;

/// The answer of `tempoform blocks verify -o json`. Fields are added, never renamed or removed.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    blocks: u64,
    damaged_blocks: u64,
    /// Not blocks, as far as readers are concerned; not checked.
    half_written: u64,
    traces: u64,
    spans: u64,
    pages: u64,
    pages_with_checksum: u64,
    findings: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    tenant: String,
    block: String,
    object: String,
    what: String,
}

pub(super) async fn run(location: &Location, args: &Verify) -> Result<ExitCode, Failure> {
    let (store, account) = (location.open(CACHE)?, Account::default());
    let blocks = wanted(&store, location, args, &account).await?;
    if blocks.is_empty() {
        return Err(Failure::new(format!("there are no blocks in {}", location.name))
            .help("is it the right bucket and prefix? Blocks are in PREFIX/TENANT/UUID"));
    }
    let (total, progress) = (blocks.len(), Progress::of("blocks checked"));
    let mut summary = Summary::default();
    for (number, (path, folder)) in blocks.into_iter().enumerate() {
        if folder.state == BlockState::HalfWritten {
            summary.half_written += 1;
            continue;
        }
        if let Some(verified) = check(&store, &path, folder, &account).await? {
            if args.output == Format::Text {
                let lines = verified.findings.iter().map(|finding| format!("{finding}\n"));
                output::data(&lines.collect::<String>())?;
            }
            summary.add(verified);
        }
        progress.tell(number + 1, total);
    }
    match args.output {
        Format::Json => output::json(&summary)?,
        Format::Text => output::data(&summary.text())?,
    }
    Ok(code(summary.findings.is_empty() && summary.blocks > 0))
}

async fn wanted(
    store: &BlockStore,
    location: &Location,
    args: &Verify,
    account: &Account,
) -> Result<Vec<(BlockPath, BlockFolder)>, Failure> {
    let mut blocks = Vec::new();
    for name in &args.blocks {
        let (path, folder) = choice::block(store, location, name, args.tenant.as_ref(), account).await?;
        if folder.state == BlockState::HalfWritten {
            let message = format!("block {path} has no meta: it is being written, or was left half written");
            return Err(Failure::new(message));
        }
        blocks.push((path, folder));
    }
    if !blocks.is_empty() {
        return Ok(blocks);
    }
    for tenant in choice::tenants(store, args.tenant.as_ref(), account).await? {
        let folders = choice::folders(store, location, &tenant, args.tenant.is_some(), account).await?;
        blocks
            .extend(folders.into_iter().map(|folder| (BlockPath::new(tenant.clone(), folder.block), folder)));
    }
    Ok(blocks)
}

/// Checks a block. One that is marked meanwhile is checked again, one that is deleted meanwhile is none any more.
async fn check(
    store: &BlockStore,
    path: &BlockPath,
    mut folder: BlockFolder,
    account: &Account,
) -> Result<Option<Verified>, Failure> {
    loop {
        let verified = verify(store, path, &folder, account).await?;
        if verified.findings.is_empty() {
            return Ok(Some(verified));
        }
        match store.folder(path, account).await {
            Err(gone) if gone.is_not_found() => return Ok(None),
            Ok(now) if now.state == BlockState::HalfWritten => return Ok(None),
            Ok(now) if now.state != folder.state => folder = now,
            Ok(_) => return Ok(Some(verified)),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Summary {
    fn add(&mut self, verified: Verified) {
        let Verified { findings, traces, spans, pages, pages_with_checksum } = verified;
        self.blocks += 1;
        self.damaged_blocks += u64::from(!findings.is_empty());
        self.traces += traces;
        self.spans += spans;
        self.pages += pages;
        self.pages_with_checksum += pages_with_checksum;
        self.findings.extend(findings.into_iter().map(|Finding { block, object, what }| Told {
            tenant: block.tenant().to_string(),
            block: block.block().to_string(),
            object,
            what,
        }));
    }

    fn text(&self) -> String {
        let Self {
            blocks,
            damaged_blocks,
            half_written,
            traces,
            spans,
            pages,
            pages_with_checksum,
            findings,
        } = self;
        let outcome = match findings.len() {
            0 if *blocks == 0 => "there is none that could be checked".to_owned(),
            0 => "all are whole".to_owned(),
            number => format!("{} in {}", count(number as u64, "finding"), count(*damaged_blocks, "block")),
        };
        let skipped = match half_written {
            0 => String::new(),
            number => format!("; {} without a meta not checked", count(*number, "folder")),
        };
        format!(
            "{} checked with {}, {} in {}, {pages_with_checksum} with a checksum: {outcome}{skipped}\n",
            count(*blocks, "block"),
            count(*traces, "trace"),
            count(*spans, "span"),
            count(*pages, "page"),
        )
    }
}
