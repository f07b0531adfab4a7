//! What whole-system tests and the load bench share: realistic load, running executables.

mod cli;
mod exporter;
mod load;
mod process;

pub use cli::Cli;
pub use exporter::Exporter;
pub use load::Load;
pub use process::{Server, ServerConfig, Usage, executable, free_port};

/// Says on standard error that a test does not run here, and why.
pub fn skipped(why: &str) {
    // A test that nobody watches is skipped all the same.
    drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {why}\n")));
}
