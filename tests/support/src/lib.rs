//! What whole-system tests and the load bench share: realistic load, running executables.

mod cli;
mod exporter;
mod load;
mod process;

pub use cli::Cli;
pub use exporter::Exporter;
pub use load::Load;
pub use process::{Server, ServerConfig, Usage, executable, free_port};
