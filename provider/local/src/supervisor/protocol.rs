//! What commands and the supervisor say to each other: one JSON line each way, a connection each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::process::ProcessIdentity;

/// Raised when a change makes older ones misunderstood; a command then replaces the supervisor.
pub(super) const PROTOCOL: u32 = 1;

/// Longest request or answer, in bytes.
pub(super) const LONGEST_LINE: u64 = 4 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub(super) enum Request {
    Hello,
    /// Runs a component; one of that name that runs is stopped first.
    Start {
        spec: ProcessSpec,
        /// The values of `spec.environment`. Never written to disk.
        environment: BTreeMap<String, String>,
    },
    /// From now on, does not start the component again when it ends.
    Retire {
        instance: String,
    },
    /// Ends the component: asks it to, and kills it when it takes longer than it may.
    Stop {
        instance: String,
    },
    /// Ends the component and forgets it.
    Remove {
        instance: String,
    },
    Status,
    /// Ends the supervisor, and leaves the components running.
    HandOver,
    /// Ends every component and the supervisor.
    Shutdown,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub(super) enum Response {
    Hello { protocol: u32, version: String },
    Done,
    Status { instances: Vec<InstanceStatus> },
    Failed { message: String },
}

/// How a component is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSpec {
    /// Its name.
    pub instance: String,
    /// The program.
    pub executable: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Names of the variables that it gets besides the supervisor's environment.
    pub environment: Vec<String>,
    /// Digest of everything that it reads at its start, but for the values of `environment`.
    pub digest: String,
    /// Digest of the values of `environment`.
    pub environment_digest: String,
    /// Its standard output and error are appended here.
    pub log: PathBuf,
    /// Seconds that it may take to stop when asked to.
    pub stop_grace_seconds: u32,
}

/// What the supervisor is to do about a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    /// Keep it running.
    Run,
    /// Let it run until it ends.
    Retire,
    /// Keep it stopped.
    Stop,
}

/// A component as the supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// How it is run.
    pub spec: ProcessSpec,
    /// What is to be done about it.
    pub goal: Goal,
    /// The process, while there is one.
    pub process: Option<ProcessIdentity>,
    /// Times it was started again by itself since it was last told to start.
    pub restarts: u32,
    /// How it ended the last time.
    pub last_exit: Option<ExitRecord>,
}

/// How a component ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitRecord {
    /// `exited with code 1`, `killed by signal 9`.
    pub reason: String,
    /// The exit code, if it had one.
    pub code: Option<i32>,
    /// When.
    pub at: Timestamp,
    /// The last lines of its log.
    pub log_tail: Vec<String>,
}

impl InstanceStatus {
    /// The process, if it runs at this moment.
    pub fn running(&self) -> Option<ProcessIdentity> {
        self.process.filter(ProcessIdentity::is_alive)
    }
}

impl ExitRecord {
    /// The reason, and the last line of the log.
    pub fn summary(&self) -> String {
        match self.log_tail.last() {
            Some(line) => format!("{}; its last log line: {line}", self.reason),
            None => self.reason.clone(),
        }
    }
}
