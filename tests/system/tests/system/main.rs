//! Whole-system tests: the executables as a user runs them, against real parts. Run by `cargo xtask test`,
//! one at a time, since some use the fixed ports of the examples.

mod bad_input;
mod cli;
mod distributed;
mod durability;
mod erasure;
mod faults;
mod interoperability;
mod lifecycle;
mod lookups;
mod memory;
mod object_storage;
mod receivers;
mod replicated;
mod stores;
mod tls;
