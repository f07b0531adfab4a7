//! Reading blocks: vParquet3, 4 and 5, columns by name.

mod attributes;
pub mod examine;
mod fetch;
mod layout;
mod lookup;
mod open;
mod parquet;
mod placed;
mod schema;
mod summaries;
mod tags;
mod traces;
mod window;

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use tempoform_traceql::Types;
use tokio::task::JoinHandle;

use crate::error::{BlockError, Result};
use crate::meta::BlockMeta;
use crate::paths::{BlockObject, BlockPath};
use crate::store::BlockStore;

pub(crate) use attributes::Owner;
pub(crate) use fetch::Fetched;
pub use layout::{BlockLayout, ColumnLayout, RowGroupLayout};
pub(crate) use lookup::{IdBounds, TRACE_ID};
pub use lookup::{TracePlace, may_contain};
pub(crate) use open::ParsedFile;
pub(crate) use parquet::Malformed;
pub(crate) use parquet::column::pages::{ChunkPages, DecodedPage, LevelMemo};
pub(crate) use parquet::column::{Values, WalkedPage, pieces_of_rows, walk};
pub(crate) use parquet::footer::{Chunk, Footer, Leaf, Physical};
pub(crate) use parquet::page_index::{PageLocation, offset_index};
pub(crate) use placed::{MAX_LEVELS, Placed, count_rows};
pub(crate) use schema::level;
pub use summaries::{SpanFacts, TraceSummary};
pub use tags::{TagNames, TagScope};
pub use traces::TracesPlan;
use window::Window;

/// A block that is open for reading. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlockReader {
    inner: Arc<Inner>,
    guard: Option<Guard>,
    window: Option<Arc<Window>>,
}

/// Something that lives for as long as anything works on the block.
type Guard = Arc<dyn Any + Send + Sync>;

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
        &self.inner.meta
    }

    /// Where it lies.
    pub fn path(&self) -> &BlockPath {
        &self.inner.path
    }

    /// Number of row groups: the real one, whatever the meta says.
    pub fn row_groups(&self) -> usize {
        self.inner.file.footer.row_groups.len()
    }

    /// Number of traces in a row group; 0 if there is no such.
    pub fn traces_in(&self, row_group: usize) -> u64 {
        self.inner.file.footer.row_groups.get(row_group).map_or(0, |group| group.rows)
    }

    /// What is known of the file.
    pub(crate) fn file(&self) -> &ParsedFile {
        &self.inner.file
    }

    /// The position of a column; `None` if it is not there.
    pub(crate) fn column_named(&self, name: &str) -> Option<usize> {
        self.inner.file.schema.find(name)
    }

    /// Bytes of a column in a row group; the greatest number if it is not there.
    pub(crate) fn stored_bytes(&self, row_group: usize, name: &str) -> u64 {
        let chunk = self.chunk_named(row_group, name);
        chunk.map_or(u64::MAX, |chunk| chunk.range.end - chunk.range.start)
    }

    /// Bytes that decoding columns of a row group takes in memory, roughly: what is stored, what it is uncompressed, and
    /// a row and a value for each entry.
    pub(crate) fn memory_of_columns(&self, row_group: usize, names: &[&str]) -> u64 {
        let chunks = names.iter().collect::<HashSet<_>>().into_iter();
        let chunks = chunks.filter_map(|name| self.chunk_named(row_group, name));
        let of_chunk = |chunk: &Chunk| {
            let stored = chunk.range.end - chunk.range.start;
            stored
                .saturating_add(chunk.uncompressed)
                .saturating_add(chunk.entries.saturating_mul(fetch::ENTRY))
        };
        chunks.map(of_chunk).fold(0, u64::saturating_add)
    }

    /// Whether a column's type is one of `types`.
    pub(crate) fn may_hold(&self, name: &str, types: Types) -> bool {
        let physical = self.inner.file.schema.find(name).map(|column| self.leaf(column).physical);
        physical.is_some_and(|physical| match physical {
            Physical::ByteArray => types.strings,
            Physical::Int32 | Physical::Int64 => types.ints,
            Physical::Double => types.floats,
            Physical::Boolean => types.bools,
            Physical::Other => false,
        })
    }

    /// What the footer says of a column in a row group.
    pub(crate) fn chunk_named(&self, row_group: usize, name: &str) -> Option<&Chunk> {
        let column = self.inner.file.schema.find(name)?;
        self.inner.file.footer.row_groups.get(row_group)?.chunks.get(column)
    }

    /// The error for damaged data; `column` names what was being read.
    pub(crate) fn damaged(&self, column: &str, malformed: Malformed) -> BlockError {
        let object =
            if column.is_empty() { BlockObject::Data.to_string() } else { format!("data.parquet, {column}") };
        BlockError::Corrupt { block: self.inner.path.clone(), object, what: malformed.to_string() }
    }

    /// The same reader, with a guard that is dropped only when neither the reader nor work that it started is left.
    /// A query that is cancelled leaves decoding under way behind: what bounds that work, like a permit, must be
    /// given back after it, not before.
    pub fn holding(&self, guard: impl Any + Send + Sync) -> Self {
        Self { guard: Some(Arc::new((self.guard.clone(), guard))), ..self.clone() }
    }

    /// Runs CPU-bound work off the threads that serve requests. A panic in it, were there one, is told as damage of
    /// this block instead of taking the process along. Work that has not begun when this is dropped never does.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let guard = self.guard.clone();
        let mut running = Running(tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(guard);
            outcome
        }));
        match (&mut running.0).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.damaged("", Malformed::new("could not be decoded"))),
        }
    }
}

/// Blocking work that is called off when nobody waits for it any more, if it has not begun.
struct Running<T>(JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod corruption_tests;
#[cfg(test)]
pub(crate) mod own_blocks_tests;
#[cfg(test)]
mod tests;
