use tempoform_document::Problem;

use super::wrong;
use crate::{Block, BlockVersion, ColumnScope, DedicatedColumn};

/// Text columns a scope has room for in vParquet4.
const SLOTS: usize = 10;

/// Checks how blocks are written.
pub(super) fn validate(block: &Block) -> Vec<Problem> {
    let mut problems = Vec::new();
    if block.version != BlockVersion::VParquet4 {
        let help = "blocks of vParquet3 and vParquet5 are read, not written";
        problems.push(wrong("storage.trace.block.version", "vParquet4", block.version.as_str()).help(help));
    }
    let share = block.bloom_filter_false_positive;
    if !(share > 0.0 && share < 1.0) {
        let path = "storage.trace.block.bloom_filter_false_positive";
        problems.push(wrong(path, "between 0 and 1", share));
    }
    for (path, size) in [
        ("storage.trace.block.bloom_filter_shard_size_bytes", block.bloom_filter_shard_size_bytes),
        ("storage.trace.block.parquet_row_group_size_bytes", block.parquet_row_group_size_bytes),
    ] {
        if size.0 == 0 {
            problems.push(wrong(path, "more than 0", size));
        }
    }
    let path = "storage.trace.block.parquet_dedicated_columns";
    problems.extend(columns(&block.parquet_dedicated_columns, path));
    problems
}

/// Checks a list of dedicated columns at `path`.
pub(super) fn columns(columns: &[DedicatedColumn], path: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        if column.name.is_empty() {
            problems.push(wrong(&format!("{path}[{index}].name"), "an attribute's key", "an empty text"));
        }
        let same = |other: &DedicatedColumn| (other.scope, &other.name) == (column.scope, &column.name);
        if columns[..index].iter().any(same) {
            let message = format!("{} has a column already", column.name);
            problems.push(Problem::new(format!("{path}[{index}]"), message).help("remove one of them"));
        }
    }
    for scope in [ColumnScope::Resource, ColumnScope::Span] {
        let used = columns.iter().filter(|column| column.scope == scope && column.is_stored()).count();
        if used > SLOTS {
            let must = format!("{SLOTS} text columns or fewer for each scope");
            problems.push(wrong(path, &must, format!("{used} for {scope:?}").to_lowercase()));
        }
    }
    problems
}

/// Columns that vParquet4 does without.
pub(super) fn warn(block: &Block) -> Vec<Problem> {
    let columns = block.parquet_dedicated_columns.iter().enumerate();
    let unused = columns.filter_map(|(index, column)| Some((index, column, column.why_not_stored()?)));
    let problem = |(index, column, why): (usize, &DedicatedColumn, &str)| {
        let path = format!("storage.trace.block.parquet_dedicated_columns[{index}]");
        Problem::new(path, format!("no column is made for {}: {why}", column.name))
    };
    unused.map(problem).collect()
}
