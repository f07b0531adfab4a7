//! Reading blocks: vParquet3, 4 and 5, columns by name.

mod attributes;
mod fetch;
mod lookup;
mod open;
mod parquet;
mod placed;
mod schema;
mod summaries;
mod tags;
mod traces;

use std::sync::Arc;

use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{BlockObject, BlockPath};
use crate::store::BlockStore;

pub(crate) use attributes::Owner;
pub(crate) use fetch::Fetched;
pub use lookup::may_contain;
pub(crate) use open::ParsedFile;
pub(crate) use parquet::Malformed;
pub(crate) use parquet::column::Values;
pub(crate) use placed::{Layers, Placed};
pub(crate) use schema::level;
pub use summaries::{SpanFacts, TraceSummary};
pub use tags::{TagNames, TagScope};

/// A block that is open for reading. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockReader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: BlockStore,
    path: BlockPath,
    meta: BlockMeta,
    file: Arc<ParsedFile>,
}

impl BlockReader {
    /// The block's meta.
    pub fn meta(&self) -> &BlockMeta {
        &self.0.meta
    }

    /// Where it lies.
    pub fn path(&self) -> &BlockPath {
        &self.0.path
    }

    /// Number of row groups: the real one, whatever the meta says.
    pub fn row_groups(&self) -> usize {
        self.0.file.footer.row_groups.len()
    }

    /// Number of traces in a row group; 0 if there is no such.
    pub fn traces_in(&self, row_group: usize) -> u64 {
        self.0.file.footer.row_groups.get(row_group).map_or(0, |group| group.rows)
    }

    /// Bytes of a column in a row group; the greatest number if it is not there.
    pub(crate) fn stored_bytes(&self, row_group: usize, name: &str) -> u64 {
        let groups = &self.0.file.footer.row_groups;
        let chunk =
            self.0.file.schema.find(name).and_then(|column| groups.get(row_group)?.chunks.get(column));
        chunk.map_or(u64::MAX, |chunk| chunk.range.end - chunk.range.start)
    }

    /// The error for damaged data; `column` names what was being read.
    fn damaged(&self, column: &str, malformed: Malformed) -> BlockError {
        let object =
            if column.is_empty() { BlockObject::Data.to_string() } else { format!("data.parquet, {column}") };
        BlockError::Corrupt { block: self.0.path.clone(), object, what: malformed.to_string() }
    }

    /// Runs CPU-bound decoding off the threads that serve requests. A panic in it, were there one, is
    /// told as damage of this block instead of taking the process along.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.damaged("", Malformed::new("could not be decoded"))),
        }
    }
}

#[cfg(test)]
mod corruption_tests;
#[cfg(test)]
mod own_blocks_tests;
#[cfg(test)]
mod tests;
