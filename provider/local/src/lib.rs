//! The local target: components as supervised child processes on this machine.
//!
//! A detached *supervisor* process runs the components and starts them again when they end. It is
//! found by its socket in the state directory, so that any later command can talk to it; if it was
//! killed, the next command starts a new one, which adopts the components that still run.
//!
//! | file in the state directory | written by | holds |
//! |---|---|---|
//! | `owner.json` | `apply` | whose the folder is, and where data are: see `ownership` |
//! | `state.json` | `apply` | applied objects, chosen ports |
//! | `processes.json` | the supervisor | what runs: process ids, restarts, last crash |
//! | `config/` | `apply` | one configuration file an instance, and the values of its environment |
//! | `logs/` | the components | one log an instance, bounded |
//! | `data/` | the components | write-ahead logs and, by default, blocks |
//! | `apply.lock`, `supervisor.lock` | | held while an apply, the supervisor, runs |
//! | `supervisor.sock` | the supervisor | takes requests |

mod build;
mod definitions;
mod directory;
mod files;
mod literals;
mod lock;
mod logs;
mod ownership;
mod ports;
mod process;
mod state;
pub mod supervisor;
mod target;
#[cfg(test)]
mod test_support;

pub use directory::StateDirectory;
pub use lock::{ApplyLock, LockError};
pub use ownership::Owner;
pub use process::ProcessIdentity;
pub use state::{State, StateError};
pub use target::{LocalOptions, LocalTarget, Program};
