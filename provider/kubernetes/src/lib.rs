//! The cluster target: a Tempo as objects of a Kubernetes cluster.
//!
//! * *What is ours* is known from the cluster alone: every object has the label `applyset.kubernetes.io/part-of`, and a
//!   config map beside them names their kinds (an ApplySet, KEP-3659). There is no state file.
//! * *What would change* is what the API server says: each object is applied in a dry run, so that defaults and
//!   admission are in the difference, and what other field managers own is told by name.
//! * *What is changed* is changed by server-side apply. Fields of others are never taken without a word.
//! * *Serving* is told by the workloads' own status, with the reason of the pods that keep it from coming.

mod change;
mod connection;
mod dry_run;
mod failure;
mod forward;
mod instances;
mod inventory;
mod kinds;
mod lock;
mod logs;
mod look;
mod pods;
mod readiness;
mod removal;
mod replicas;
mod requests;
mod target;

pub use connection::Access;
pub use target::{ClusterOptions, ClusterTarget};

/// By which name the API server knows what is ours to decide.
pub const FIELD_MANAGER: &str = "tempoform";
