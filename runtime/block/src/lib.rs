//! Tempo's blocks: vParquet columns, blooms, metas, tenant index, and the object store they live in.

pub mod dedicated;
mod error;
pub mod meta;
pub mod paths;
mod reader;
mod store;
pub mod tenant_index;
#[cfg(test)]
mod test_blocks;

pub use dedicated::{DedicatedColumn, DedicatedScope, DedicatedType};
pub use error::{BlockError, Result};
pub use meta::{BlockMeta, BlockVersion};
pub use paths::{BlockObject, BlockPath};
pub use store::{BlockList, BlockObjects, BlockStore, BlockUpload, CompactedBlock, StoreOptions};
pub use tenant_index::{CompactedMeta, TenantIndex};
