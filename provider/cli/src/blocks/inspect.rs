use std::process::ExitCode;

use serde::Serialize;
use tempoform_block::{
    BlockFolder, BlockLayout, BlockMeta, BlockObject, BlockPath, BlockReader, BlockState, DedicatedScope,
    extra,
};
use tempoform_core::Account;

use super::args::Inspect;
use super::choice;
use super::place::{CACHE, Location};
use super::table::{count, size, table, time};
use crate::args::Format;
use crate::failure::Failure;
use crate::output;

/// The answer of `tempoform blocks inspect -o json`. Fields are added, never renamed or removed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspected {
    tenant: String,
    state: BlockState,
    /// As in the block's folder.
    meta: BlockMeta,
    objects: Vec<Object>,
    file: BlockLayout,
}

#[derive(Serialize)]
struct Object {
    name: String,
    bytes: u64,
}

pub(super) async fn run(location: &Location, args: &Inspect) -> Result<ExitCode, Failure> {
    let (store, account) = (location.open(CACHE)?, Account::default());
    let (path, folder) = choice::block(&store, location, &args.block, args.tenant.as_ref(), &account).await?;
    if folder.state == BlockState::HalfWritten {
        let names: Vec<&str> = folder.objects.iter().map(|object| object.name.as_str()).collect();
        return Err(Failure::new(format!(
            "block {path} has no meta: it is being written, or was left half written"
        ))
        .help(format!("in its folder are {}", names.join(", "))));
    }
    let meta = store.meta_of(&path, folder.state, &account).await?;
    let reader = BlockReader::open(&store, path.clone(), &meta, &account).await?;
    let inspected = inspected(&path, folder, meta, reader.layout());
    match args.output {
        Format::Json => output::json(&inspected)?,
        Format::Text => output::data(&text(&path, &inspected))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn inspected(path: &BlockPath, folder: BlockFolder, meta: BlockMeta, file: BlockLayout) -> Inspected {
    let objects = folder.objects.into_iter().map(|object| Object { name: object.name, bytes: object.size });
    Inspected {
        tenant: path.tenant().to_string(),
        state: folder.state,
        meta,
        objects: objects.collect(),
        file,
    }
}

fn text(path: &BlockPath, inspected: &Inspected) -> String {
    let Inspected { tenant: _, state, meta, objects, file } = inspected;
    let size_of = |object: &BlockObject| {
        let name = object.to_string();
        let stored = objects.iter().find(|stored| stored.name == name);
        stored.map_or_else(|| "missing".to_owned(), |stored| size(stored.bytes))
    };
    let optional = |object: &BlockObject| size_of(object).replace("missing", "none");
    let blooms = objects.iter().filter(|object| object.name.starts_with("bloom-"));
    let (number, bytes) = blooms.fold((0_u64, 0), |(n, bytes), object| (n + 1, bytes + object.bytes));
    let mut text = format!(
        "block {path}, {state}\n\
         format       {version}, written by {by}\n\
         traces       {traces}, from {start} to {end}\n\
         level        {level}, replication factor {rf}\n\
         data         {data}, footer {footer}, {groups}\n\
         blooms       {blooms}, {bloom_bytes}; the meta names {shards}\n\
         index        {index}\n\
         sidecar      {sidecar}\n",
        state = state.as_str(),
        version = meta.version,
        by = file.created_by,
        traces = meta.total_objects,
        start = time(meta.start_time),
        end = time(meta.end_time),
        level = meta.compaction_level,
        rf = meta.replication_factor,
        data = size_of(&BlockObject::Data),
        footer = size(file.footer_bytes),
        groups = count(file.row_groups.len() as u64, "row group"),
        blooms = count(number, "bloom"),
        bloom_bytes = size(bytes),
        shards = meta.bloom_shard_count(),
        index = optional(&BlockObject::Index),
        sidecar = optional(&BlockObject::Sidecar(extra::OBJECT_NAME)),
    );
    text.push_str(&format!("dedicated    {}\n\n", dedicated(meta)));
    text.push_str(&row_groups(file));
    text.push('\n');
    text.push_str(&columns(file));
    text
}

fn dedicated(meta: &BlockMeta) -> String {
    let names = meta.dedicated_columns.iter().map(|column| {
        let scope = match column.scope {
            DedicatedScope::Span => "span",
            DedicatedScope::Resource => "resource",
            DedicatedScope::Event => "event",
        };
        format!("{scope}.{}", column.name)
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn row_groups(file: &BlockLayout) -> String {
    let row = |(number, group): (usize, &tempoform_block::RowGroupLayout)| {
        vec![number.to_string(), group.traces.to_string(), size(group.bytes), size(group.uncompressed_bytes)]
    };
    let rows: Vec<_> = file.row_groups.iter().enumerate().map(row).collect();
    table(&[">ROW GROUP", ">TRACES", ">STORED", ">UNCOMPRESSED"], &rows)
}

fn columns(file: &BlockLayout) -> String {
    let row = |column: &tempoform_block::ColumnLayout| {
        let name = match &column.attribute {
            Some(attribute) => format!("{} ({attribute})", column.name),
            None => column.name.clone(),
        };
        vec![
            name,
            column.kind.to_owned(),
            column.codec.clone(),
            size(column.bytes),
            size(column.uncompressed_bytes),
            column.entries.to_string(),
            column.nulls.map_or_else(|| "-".to_owned(), |nulls| nulls.to_string()),
            column.encodings.join(" "),
        ]
    };
    let rows: Vec<_> = file.columns.iter().map(row).collect();
    table(&["COLUMN", "TYPE", "CODEC", ">STORED", ">UNCOMPRESSED", ">ENTRIES", ">NULLS", "ENCODINGS"], &rows)
}
