//! Keeps acknowledged spans on disk, serves them while they are fresh, and builds blocks.
