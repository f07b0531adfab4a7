//! What whole-system tests and the load bench share: realistic load, running executables.

mod blocks;
mod cli;
mod cluster;
mod control_plane;
mod exporter;
mod gossip_relay;
mod load;
mod memory_group;
mod minio;
mod ports;
mod process;
mod slow_proxy;
mod store_proxy;

pub use blocks::write_block;
pub use cli::Cli;
pub use cluster::{Cluster, ClusterConfig};
pub use control_plane::ControlPlane;
pub use exporter::Exporter;
pub use gossip_relay::GossipNetwork;
pub use load::Load;
pub use memory_group::{GroupUsage, MemoryGroup};
pub use minio::{Minio, StoreRequest};
pub use ports::free_port;
pub use process::{Server, ServerConfig, Usage, executable};
pub use slow_proxy::SlowProxy;
pub use store_proxy::{StoreFault, StoreProxy};

/// Says that a test does not run here, and why: on standard error, and in the file that `TEMPOFORM_TEST_SKIPPED` names,
/// from which `cargo xtask test` reports at the end.
pub fn skipped(why: &str) {
    use std::io::Write as _;
    // A test that nobody watches is skipped all the same.
    drop(writeln!(std::io::stderr(), "skipped: {why}"));
    if let Some(file) = std::env::var_os("TEMPOFORM_TEST_SKIPPED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        drop(file.and_then(|mut file| writeln!(file, "{why}")));
    }
}
