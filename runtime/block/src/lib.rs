//! Tempo's blocks: vParquet columns, blooms, metas, tenant index, and the object store they live in.

pub mod bloom;
mod columns;
mod combine;
pub mod copy;
pub mod dedicated;
mod error;
pub mod extra;
mod holding;
pub mod meta;
pub mod paths;
mod prune;
mod reader;
pub mod results;
pub mod schema;
mod search;
mod store;
pub mod tenant_index;
pub mod verify;
pub mod writer;

#[cfg(test)]
mod test_blocks;
#[cfg(test)]
mod test_data;

pub use columns::int_tag_value;
pub use combine::combine_traces;
pub use dedicated::{DedicatedColumn, DedicatedScope, DedicatedType};
pub use error::{BlockError, Result};
pub use extra::Extra;
pub use holding::{Holding, holding_of};
pub use meta::{BlockMeta, BlockVersion};
pub use paths::{BlockObject, BlockPath};
#[doc(hidden)]
pub use reader::examine;
pub use reader::{
    BlockLayout, BlockReader, ColumnLayout, RowGroupLayout, SpanFacts, TagNames, TagScope, TracePlace,
    TraceSummary, TracesPlan, may_contain,
};
pub use results::SearchLimits;
pub use search::{Evaluated, SearchError, SearchFound};
pub use store::preflight;
pub use store::{
    BlockFolder, BlockList, BlockObjects, BlockOutput, BlockState, BlockStore, BlockUpload, CompactedBlock,
    DiskCacheOptions, HalfWrittenBlock, ListedBlock, SetAside, StoreOptions, StoredObject, UnfinishedUpload,
};
pub use tenant_index::{CompactedMeta, TenantIndex};
pub use writer::{
    BlockWriter, EncodedResource, EncodedScope, EncodedTrace, NestedSetNode, NestedSetNumbers,
    PageCompression, WriteError, WriterOptions, WrittenBlock, nested_set_numbers,
};
