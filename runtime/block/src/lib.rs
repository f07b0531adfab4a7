//! Tempo's blocks: vParquet columns, blooms, metas, tenant index, and the object store they live in.

pub mod bloom;
pub mod dedicated;
pub mod extra;
pub mod meta;
pub mod paths;
pub mod schema;
pub mod writer;

#[cfg(test)]
mod test_data;

pub use dedicated::{DedicatedColumn, DedicatedScope, DedicatedType};
pub use extra::Extra;
pub use meta::{BlockMeta, BlockVersion};
pub use paths::{BlockObject, BlockPath};
pub use writer::{
    BlockWriter, EncodedResource, EncodedScope, PageCompression, WriteError, WriterOptions, WrittenBlock,
};
