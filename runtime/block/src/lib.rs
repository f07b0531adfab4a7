//! Tempo's blocks: vParquet columns, blooms, metas, tenant index, and the object store they live in.

pub mod dedicated;
pub mod meta;
pub mod paths;

pub use dedicated::{DedicatedColumn, DedicatedScope, DedicatedType};
pub use meta::{BlockMeta, BlockVersion};
pub use paths::{BlockObject, BlockPath};
