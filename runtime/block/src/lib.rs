//! Tempo's blocks: vParquet columns, blooms, metas, tenant index, and the object store they live in.
