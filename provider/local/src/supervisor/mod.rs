//! The process that keeps the components running.

mod client;
mod instance;
mod protocol;
mod registry;
mod server;
mod socket;

pub use client::{Client, Launcher, SupervisorError, connect, connect_or_launch};
pub use protocol::{ExitRecord, Goal, InstanceStatus, ProcessSpec};
pub use registry::recorded;
pub use server::{Ended, RunError, run, supervise};

#[cfg(test)]
mod tests;
