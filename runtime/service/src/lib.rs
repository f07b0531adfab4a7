//! Wires components into processes: targets, servers, membership, shutdown order, binaries.

mod admin;
mod args;
mod channels;
mod component_options;
mod ingester_rpc;
mod limits;
mod listen;
mod logging;
mod membership;
mod memory_limit;
mod overrides;
mod peers;
mod process;
mod receivers;
mod ring;
mod servers;
mod start;
mod tls;
mod tls_client;
mod watched;

use std::ffi::OsString;
use std::process::ExitCode;

use tempoform_config::Target;
use tikv_jemallocator::Jemalloc;

/// The allocator of every executable. Buffers are often freed on another thread than made them (reads from
/// the store, decoding); jemalloc uses such memory again where others keep it for the thread that made it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Runs the components that `arguments` (the program's name first) ask for until told to stop.
///
/// Exit codes: 0 ended as asked, 1 failed, 64 (`EX_USAGE`) bad arguments or configuration, before any
/// port was bound.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    start::run(arguments, None)
}

/// The same for the executable of one component.
pub fn run_component(target: Target) -> ExitCode {
    start::run(std::env::args_os(), Some(target))
}
