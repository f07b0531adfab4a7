//! The process that keeps the components running.

mod client;
mod instance;
mod protocol;
mod registry;
mod server;
mod socket;

pub use client::{Client, Launcher, SupervisorError, connect, connect_or_launch};
pub use protocol::{ExitRecord, Goal, InstanceStatus, ProcessSpec};
pub use server::{Ended, run, supervise};

#[cfg(test)]
mod tests;
